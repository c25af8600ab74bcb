import json
import subprocess
from pathlib import Path

import pytest
import torch

from torchdiscern.lab import environment
from torchdiscern.lab.environment import code_state, git_state, hardware, one_thread, precision_of, versions


def test_is_complete_and_fits_into_json() -> None:
    assert versions()["torch"] == torch.__version__.split("+")[0] or versions()["torch"] == torch.__version__
    assert json.loads(json.dumps(hardware()))["cores"] >= 1


def test_one_thread_gives_the_threads_back_after_an_error() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyError), one_thread():
            assert torch.get_num_threads() == 1
            raise KeyError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_half_precision_only_where_the_hardware_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for has, expected in [(True, "bf16-mixed"), (False, "32-true")]:
        monkeypatch.setattr("torchdiscern.lab.environment.bfloat16_on_cpu", lambda has=has: has)
        chosen, why = precision_of("auto", "cpu")
        assert chosen == expected
        assert "bfloat16" in why
    assert precision_of("auto", "cpu", small=True)[0] == "32-true"
    assert [precision_of(name, "cpu")[0] for name in ("32", "bf16", "16")] == [
        "32-true",
        "bf16-mixed",
        "16-mixed",
    ]
    assert precision_of("auto", "mps")[0] == "32-true"


def test_git_state_is_empty_outside_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_state() == ""
    for command in (
        ["init", "-q"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x"],
    ):
        subprocess.run(["git", *command], check=True)
    assert len(git_state()) >= 12
    assert "changed" not in git_state()


def test_the_commit_of_the_code_is_not_that_of_a_repository_it_merely_lies_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / ".venv" / "environment.py"
    installed.parent.mkdir()
    installed.write_text("")
    monkeypatch.setattr(environment, "__file__", str(installed))
    named = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], [*named, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    assert code_state.__wrapped__() == ""
    subprocess.run(["git", "-C", str(tmp_path), "add", ".venv/environment.py"], check=True)
    subprocess.run(["git", "-C", str(tmp_path), *named, "commit", "-q", "-m", "ours"], check=True)
    assert len(code_state.__wrapped__()) == 12
