"""The commands that look at features, as real processes."""

import csv
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from cli_processes import several
from torchdiscern.lab.data import digits

TRAIN = ["train", "digits", "--set", "width=16", "--set", "epochs=6", "--set", "loggers="]
COMPARE = ["compare", "digits", "--arms", "gini", "--set", "width=8", "--set", "epochs=1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, a comparison with weights and one without, and digits of which five are in a wrong folder."""
    folder = tmp_path_factory.mktemp("cli")
    results = several(
        folder,
        [*TRAIN, "--out", "run"],
        [*COMPARE, "--seeds", "2", "--out", "kept", "--keep-weights"],
        [*COMPARE, "--seeds", "1", "--out", "light"],
    )
    assert [code for code, _ in results] == [0] * 3
    (folder / "printed").write_text("\n---\n".join(said for _, said in results))
    images = digits()
    for digit in (0, 1):
        (folder / "some" / str(digit)).mkdir(parents=True, exist_ok=True)
        for row in (images.labels == digit).nonzero().flatten()[:40].tolist():
            name = "1" if digit == 0 and row < 100 else str(digit)
            (folder / "some" / name).mkdir(exist_ok=True)
            Image.fromarray(images.tensor()[row, 0].numpy()).save(folder / "some" / name / f"{row}.png")
    return folder


def test_training_and_comparing_say_how_to_look(folder: Path) -> None:
    train, kept, light = (folder / "printed").read_text().split("\n---\n")
    assert "torchdiscern report run shows what each feature tells apart" in train
    assert (
        "`torchdiscern report run` shows what each feature tells apart" in (folder / "run/README.md").read_text()
    )
    assert kept.splitlines()[-1] == "torchdiscern report kept shows what each feature tells apart"
    assert "<code>torchdiscern report kept</code>" in (folder / "kept" / "comparison.html").read_text()
    assert "torchdiscern report" not in light
    assert "torchdiscern report" not in (folder / "light" / "comparison.html").read_text()


def test_pages_are_written_where_they_are_said_to_be(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    lines = {
        "report run": "run/features.html",
        "report kept": "kept/features.html",
        "report kept --arms gini,ce --layer features --out new/arms.html": "new/arms.html",
        "report kept/runs/ce-0 kept/runs/ce-1": "features.html",
        "inspect run --data some --split all --out some.html": "some.html",
    }
    for path in lines.values():
        (folder / path).unlink(missing_ok=True)
    results = several(folder, *(line.split() for line in lines))
    for (code, said), (line, path) in zip(results, lines.items(), strict=True):
        assert code == 0, (line, code)
        assert said.splitlines()[-1] == f"Page: {path}"
        assert (folder / path).read_text().startswith("<!doctype html>")
    assert "shown are the" in results[3][1]
    assert "Over all seeds" in (folder / "kept" / "features.html").read_text()


def test_labels_as_csv_and_the_files_that_are_left(folder: Path) -> None:
    shutil.rmtree(folder / "lists", ignore_errors=True)
    ((code, said),) = several(
        folder, ["labels", "run", "--data", "some", "--out", "lists/labels.csv", "--cleaned", "lists/kept.txt"]
    )
    assert code == 0
    assert "AUROC" in said
    assert "those of a network that was trained on other images find wrong labels better" in " ".join(
        said.split()
    )
    with (folder / "lists" / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    kept = (folder / "lists" / "kept.txt").read_text().splitlines()
    there = sorted(str(path.relative_to(folder / "some")) for path in (folder / "some").rglob("*.png"))
    assert list(rows[0]) == ["file", "label", "nearer", "margin", "features"]
    assert sorted([row["file"] for row in rows] + kept) == there
    margins = [float(row["margin"]) for row in rows]
    assert margins == sorted(margins)
    assert max(margins) < 0
    assert all(row["file"].split("/")[0] == row["label"] != row["nearer"] for row in rows)
    true = dict(zip(digits().files, digits().labels.tolist(), strict=True))
    wrong = {name for name in there if name.split("/")[0] != str(true[Path(name).stem])}
    assert len(wrong) > 3
    first = {row["file"] for row in rows[: len(wrong)]}
    assert len(first & wrong) >= len(wrong) - 1


def test_help_says_what_is_taken_where_nothing_is_given(folder: Path) -> None:
    defaults = {
        "inspect": "what the classifier reads",
        "report": "first rival",
        "train": "runs/NAME-ARM-SEED",
        "compare": "runs/compare-NAME",
        "evaluate": "test images",
        "export": "in the run's folder",
        "demo": "handwritten digits",
    }
    results = several(folder, *([name, "--help"] for name in defaults))
    for (_, said), default in zip(results, defaults.values(), strict=True):
        text = " ".join(said.replace("\N{BOX DRAWINGS LIGHT VERTICAL}", " ").split())
        assert re.search(rf"\[default: \([^]]*{default}\)\]", text), default


def test_errors_are_one_sentence(folder: Path) -> None:
    says = {
        "report nowhere": "run: 'nowhere' is no folder, expected the folder of a run",
        "report light": "run: 'light' holds weights of no seed for all of ce, gini, .*--keep-weights",
        "report kept --arms gin": "arms: got 'gin', .*did you mean 'gini'",
        "report run --layer featurs": "layers: the model has no layer 'featurs', .*did you mean 'features'",
        "inspect timm/resnet18 --data digits": "weights: got none for 'timm/resnet18', expected a file",
        "labels run --data nowhere": "data: 'nowhere' is no folder",
        "labels run --out /dev/null/a.csv": "out: cannot write to '/dev/null'",
        "labels run --out some": "out: 'some' is a folder, expected a file to write",
        "labels run --out a.csv --cleaned ./a.csv": "cleaned: 'a.csv' is the file of --out, expected another",
        "inspect run --out some": "out: 'some' is a folder, expected a file to write",
        "inspect ./runn --data some": "model: './runn' is no folder .* did you mean 'run'",
    }
    results = several(folder, *(line.split() for line in says))
    for (line, expected), (sentence, said) in zip(says.items(), results, strict=True):
        assert re.match(f"torchdiscern: ({expected})", str(sentence)), (line, sentence)
        assert "\n" not in sentence, line
        assert said == "", line
