"""Measured numbers in the pages are those of the results, written by the command and never by hand."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from torchdiscern.lab import arms_page
from torchdiscern.lab.settings_page import COMMAND, settings_page

ROOT = Path(__file__).resolve().parent.parent


def publish(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "publish.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_pages_say_what_the_results_say() -> None:
    assert publish(ROOT, "--check").returncode == 0


@pytest.mark.parametrize("page", ["README.md", "docs/cost.md", "docs/scale.md", "docs/experiments.md"])
def test_a_number_changed_by_hand_is_seen_and_written_back(page: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs" / "images", tmp_path / "docs" / "images")
    for name in ("README.md", "docs/cost.md", "docs/scale.md", "docs/experiments.md"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    shutil.copytree(ROOT / "results", tmp_path / "results")
    whole = (tmp_path / page).read_text(encoding="utf-8")
    (tmp_path / page).write_text(re.sub(r"(<!-- begin \S+ -->)", r"\g<1>0", whole, count=1), encoding="utf-8")
    assert page in publish(tmp_path, "--check").stdout
    assert publish(tmp_path).returncode == 0
    assert (tmp_path / page).read_text(encoding="utf-8") == whole


def test_a_plot_of_other_results_is_seen_and_replaced(tmp_path: Path) -> None:
    for folder in ("docs", "results"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "README.md", tmp_path)
    plot = tmp_path / "docs" / "images" / "growth.svg"
    plot.write_text("another")
    assert "growth.svg" in publish(tmp_path, "--check").stdout
    assert publish(tmp_path).returncode == 0
    assert plot.read_bytes() == (ROOT / "results" / "bench" / "growth.svg").read_bytes()


def test_the_page_of_settings_is_the_recipe_s() -> None:
    page = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == settings_page(), f"a setting has changed; run: {COMMAND}"


def test_the_page_of_arms_is_their_cards() -> None:
    page = (ROOT / "docs" / "arms.md").read_text(encoding="utf-8")
    assert page == arms_page.arms_page(), f"an arm has changed; run: {arms_page.COMMAND}"
