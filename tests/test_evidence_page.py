"""The page of the evidence says what the kept runs say."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import evidence
from torchdiscern.lab.comparing.folder import Folder
from torchdiscern.lab.comparing.results import gather

ROOT = Path(__file__).resolve().parent.parent
KEPT = sorted(path.parent.name for path in (ROOT / "results" / "compare").glob("*/comparison.json"))
SAID = (" points below to ", " points below, up to ")


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "benchmarks" / "evidence.py")
    return subprocess.run([sys.executable, script, *arguments], cwd=folder, capture_output=True, text=True)


def test_the_pages_say_what_the_results_say_and_a_number_changed_by_hand_is_seen(tmp_path: Path) -> None:
    for folder in ("docs", "results"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copyfile(ROOT / "README.md", tmp_path / "README.md")
    assert command(tmp_path, "--check").returncode == 0
    table = ("| Cross-entropy alone | ", "| Cross-entropy alone | 1")
    changes = {"docs/evidence.md": table, "README.md": SAID, "docs/use.md": SAID}
    for name, (old, new) in changes.items():
        page = tmp_path / name
        page.write_text(page.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
    found = command(tmp_path, "--check")
    assert found.returncode == 1
    assert found.stdout.startswith(f"{', '.join(changes)}: not what the results say")


def test_every_picture_of_the_page_is_there() -> None:
    page = (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8")
    shown = [found[0] for found in evidence.SHOWN.finditer(page)]
    assert shown
    assert all((ROOT / "docs" / name).exists() for name in shown)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] if KEPT.index(name) else []) for name in KEPT]
)
def test_results_are_those_of_the_kept_runs(name: str) -> None:
    folder = ROOT / "results" / "compare" / name
    kept = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    found = json.loads(json.dumps(gather(Folder(folder)).as_dict()))
    assert found["runs"] == kept["runs"]
    for one, other in zip(found["contrasts"], kept["contrasts"], strict=True):
        assert {key: value for key, value in one.items() if not isinstance(value, float)} == {
            key: value for key, value in other.items() if not isinstance(value, float)
        }
        numbers = {key: value for key, value in one.items() if isinstance(value, float)}
        assert numbers == pytest.approx({key: other[key] for key in numbers}, rel=1e-6, abs=1e-9)
    assert found["arms"] == kept["arms"]


def test_no_folder_of_the_machine_is_kept() -> None:
    for path in (ROOT / "results" / "compare").rglob("*.json"):
        assert "/tmp" not in path.read_text(encoding="utf-8"), path
