"""The command line as a real process."""

import subprocess
import sys
from pathlib import Path

import pytest

import torchdiscern


def run(*arguments: str, cwd: Path | None = None, code: str | None = None) -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "torchdiscern"]
    return subprocess.run(
        [sys.executable, *start, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300
    )


def test_version() -> None:
    assert run("--version").stdout.strip() == torchdiscern.__version__


def test_no_arguments_show_the_commands() -> None:
    result = run()
    assert "demo" in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "nowhere"], "data: 'nowhere' is no folder"),
        (["--seeds", "0"], "seeds: got 0, expected at least 1"),
        (["--label-noise", "1.5"], "label_noise: got 1.5, expected a share"),
        (["--out", "/dev/null/here"], "out: cannot write to '/dev/null/here'"),
    ],
)
def test_an_error_is_one_sentence(tmp_path: Path, arguments: list[str], says: str) -> None:
    result = run("demo", *arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(f"torchdiscern: {says}")
    assert len(result.stderr.strip().splitlines()) == 1
    debugged = run("demo", *arguments, "--debug", cwd=tmp_path)
    assert "Traceback" in debugged.stderr


HIDE = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {hidden}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Hide())
"""


def test_a_missing_extra_says_how_to_install_it() -> None:
    code = HIDE.format(hidden={"typer"}) + "from torchdiscern.__main__ import main; main()"
    result = run("demo", code=code)
    assert result.returncode == 1
    assert "needs typer" in result.stderr
    assert "pip install 'torchdiscern[lab]'" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_ground_floor_imports_no_optional_package() -> None:
    extras = {"jinja2", "numpy", "PIL", "rich", "scipy", "sklearn", "torchvision", "typer", "torch._dynamo"}
    code = f"""
import sys, torch
before = set(sys.modules)
import torchdiscern
torchdiscern.DiscriminabilityLoss(3)(torch.rand(4, 2), torch.arange(4) % 3)
new = set(sys.modules) - before
print([name for name in new if any(name == extra or name.startswith(extra + ".") for extra in {extras})])
"""
    assert run(code=code).stdout.strip() == "[]"
