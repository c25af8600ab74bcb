"""The command line as a real process."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

import torchdiscern
from cli_processes import run, several
from torchdiscern.lab import Recipe, Run
from torchdiscern.lab.data import digits


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
        pytest.param(["--label-noise", "1.5"], "label_noise: got 1.5, expected a share", marks=pytest.mark.long),
        pytest.param(
            ["--out", "/dev/null/here"], "out: cannot write to '/dev/null/here'", marks=pytest.mark.long
        ),
    ],
)
def test_an_error_is_one_sentence(tmp_path: Path, arguments: list[str], says: str) -> None:
    result = run("demo", *arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith(f"torchdiscern: {says}")
    assert len(result.stderr.strip().splitlines()) == 1


def test_debug_shows_the_traceback() -> None:
    assert "Traceback" in run("demo", "--seeds", "0", "--debug").stderr


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


@dataclass
class Stopped:
    """A run that Ctrl-C stopped, and that went on."""

    run: Run
    code: int
    said: str
    epochs_before: int


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Stopped:
    folder = tmp_path_factory.mktemp("cli")
    settings = ["--set", "width=8", "--set", "epochs=40", "--set", "loggers="]
    command = [sys.executable, "-m", "torchdiscern", "train", "digits", *settings, "--out", "run"]
    found = Run(folder / "run")
    with subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        start = time.monotonic()
        while not (found.checkpoints / "last.ckpt").exists() and time.monotonic() - start < 100:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGINT)
        _, said = process.communicate(timeout=100)
    epochs = len({line.split(",")[0] for line in (found.folder / "metrics.csv").read_text().splitlines()[1:]})
    assert run("train", "--resume", "--out", "run", cwd=folder).returncode == 0
    _digits_of(folder / "some", (3, 7))
    _digits_of(folder / "strange", (3, 7))
    (folder / "strange" / "7").rename(folder / "strange" / "seven")
    return Stopped(found, process.returncode, said, epochs)


def _digits_of(folder: Path, classes: tuple[int, ...]) -> None:
    images = digits()
    for digit in classes:
        (folder / str(digit)).mkdir(parents=True)
        for row in (images.labels == digit).nonzero().flatten().tolist():
            Image.fromarray(images.tensor()[row, 0].numpy()).save(folder / str(digit) / f"{row}.png")


def test_ctrl_c_says_how_to_go_on_and_nothing_is_lost(stopped: Stopped) -> None:
    assert stopped.code == 130
    assert stopped.said == "Stopped. Finished epochs are kept; --resume --out run goes on.\n"
    assert 1 <= stopped.epochs_before < 40
    assert stopped.run.result["epochs"] == 40


def test_recipes_are_listed_and_shown_and_planned(tmp_path: Path) -> None:
    listed, shown, planned = several(
        tmp_path, ["recipes"], ["recipes", "show", "digits"], ["train", "digits", "--dry-run"]
    )
    assert listed[0] == shown[0] == planned[0] == 0
    assert all(name in listed[1] for name in ("digits", "cifar100-thin", "caltech101-head"))
    assert Recipe.from_yaml(shown[1]) == Recipe.named("digits")
    assert "nothing was trained" in planned[1]
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_measured_again_and_exported(stopped: Stopped) -> None:
    folder = stopped.run.folder.parent
    results = several(
        folder,
        ["evaluate", "run", "--out", "again.json"],
        ["evaluate", "run", "--data", "some", "--out", "some.json"],
        ["data", "check", "some"],
        *(
            ["export", "run", "--format", format, "--out", f"kept/{format}"]
            for format in ("onnx", "torch.export", "safetensors")
        ),
    )
    assert [code for code, _ in results] == [0] * 6
    assert json.loads((folder / "again.json").read_text()) == stopped.run.result["best"]["test"]
    some = json.loads((folder / "some.json").read_text())
    assert some["images"] == int(((digits().labels == 3) | (digits().labels == 7)).sum())
    # written as grey pictures and read again they are what the network has learned
    assert some["accuracy"] > 0.8
    assert f"{some['images']} images of 2 classes" in results[2][1]
    assert sorted(path.name for path in (folder / "kept").iterdir()) == ["onnx", "safetensors", "torch.export"]
    assert all(
        f"Written: kept/{name}" in said
        for name, (_, said) in zip(("onnx", "torch.export", "safetensors"), results[3:], strict=True)
    )


def test_errors_of_a_run_are_one_sentence(stopped: Stopped) -> None:
    says = {
        "train": "recipe: got neither a recipe nor --data, expected one of them, or --resume --out RUN; ",
        "train digit": "recipe: got 'digit', expected .*; did you mean 'digits'",
        "train digits --set epoch=3": "epoch: no setting has that name, expected .*; did you mean 'epochs'",
        "train digits --set epochs": "set: got 'epochs', expected key=value; ",
        "train digits --out run": "out: 'run' holds a finished run, expected nothing; ",
        "train digits --out /dev/null/run": "out: cannot write to '/dev/null/run'",
        "train digits --model smal --set width=null": "network: got 'smal', expected .*; did you mean 'small'",
        "recipes show digit": "recipe: got 'digit', expected .*; did you mean 'digits'",
        "evaluate nowhere": "run: 'nowhere' holds no result.json, expected the folder of a run",
        "evaluate run --data strange": "data: 'strange' has the class 'seven' that the run does not know",
        "export run --format onxx": "format: got 'onxx', expected .*; did you mean 'onnx'",
        "evaluate run --out /dev/null/a/b": "out: cannot write to '/dev/null/a'",
        "export run --out /dev/null/a/b": "out: cannot write to '/dev/null/a'",
        "data check nowhere": "data: 'nowhere' is no folder, expected ",
    }
    results = several(stopped.run.folder.parent, *(line.split() for line in says))
    for (line, expected), (sentence, said) in zip(says.items(), results, strict=True):
        assert re.match(f"torchdiscern: {expected}", str(sentence)), line
        assert "\n" not in sentence, line
        assert said == "", line
