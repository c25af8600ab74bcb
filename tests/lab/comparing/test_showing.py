"""How far a comparison is, as someone who waits for it sees it."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from torchdiscern.lab import Recipe
from torchdiscern.lab.comparing.design import Design, chosen_arms, key_of
from torchdiscern.lab.comparing.folder import Folder
from torchdiscern.lab.comparing.showing import Live
from torchdiscern.lab.comparing.task import Task
from torchdiscern.lab.comparing.todo import Todo

RECIPE = Recipe.named("digits").with_settings(epochs=1, width=8)


def todo_of(path: Path, accuracies: dict[str, list[float]], tune: int = 0) -> Todo:
    """A comparison of ce and gini on four seeds, of which some runs are done."""
    design = Design(RECIPE, chosen_arms(["ce", "gini"]), (0, 1, 2, 3), tune=tune)
    (path / "records").mkdir()
    for arm, values in accuracies.items():
        for seed, value in enumerate(values):
            record = {"arm": arm, "seed": seed, "seconds": 60.0, "metrics": {"accuracy": value}, "settings": {}}
            record["settings"] = {"seed": seed, "arm": arm}
            (path / "records" / f"{key_of(arm, seed)}.json").write_text(json.dumps(record))
    return Todo(design, Folder(path))


def task_of(arm: str, seed: int, kind: str = "run") -> Task:
    return Task(key_of(arm, seed), arm, {"seed": seed}, kind="trial" if kind == "trial" else "run")


def lines_of(live: Live) -> list[list[str]]:
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(live.table())
    return [line.split() for line in console.export_text().splitlines() if line.strip()]


def test_the_table_has_runs_done_and_running_means_of_every_arm(tmp_path: Path) -> None:
    live = Live(todo_of(tmp_path, {"ce": [0.5, 0.7, 0.6], "gini": [0.8]}), Console(quiet=True), 1)
    live.ended(task_of("gini", 1), None)
    lines = lines_of(live)
    assert ["ce", "3", "of", "4", "60.00", "±", "10.00"] in lines
    assert ["gini", "1", "of", "4,", "1", "failed", "80.00"] in lines


def test_the_time_left_follows_what_each_arm_took(tmp_path: Path) -> None:
    live = Live(todo_of(tmp_path, {"ce": [0.5, 0.7], "gini": [0.8]}), Console(quiet=True), 2)
    live.ended(task_of("ce", 1), 100)
    assert live.seconds_left() == pytest.approx((2 * 100 + 3 * 100) / 2)  # gini as the others
    live.ended(task_of("gini", 0), 300)
    assert live.seconds_left() == pytest.approx((2 * 100 + 3 * 300) / 2)
    assert "5 left, about 9 minutes" in " ".join(lines_of(live)[0])


def test_trials_and_the_best_of_them_stand_in_the_table(tmp_path: Path) -> None:
    todo = todo_of(tmp_path, {}, tune=3)
    live = Live(todo, Console(quiet=True), 1)
    for value in (0.4, 0.9):
        _, settings = todo.tunings["gini"].next(todo.design.defaults("gini"))
        todo.tunings["gini"].tell(settings, value)
    lines = lines_of(live)
    assert ["gini", "2", "of", "3", "0", "of", "4", "-", "90.00"] in lines
    assert ["ce", "0", "of", "3", "0", "of", "4", "-", "-"] in lines
    live.ended(task_of("ce", 0, "trial"), 10)
    assert live.seconds_left() == pytest.approx(8 * 10 + (3 + 1) * 10)


def test_a_terminal_gets_the_table_and_a_file_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    todo = todo_of(tmp_path, {"ce": [0.5], "gini": [0.8]})
    monkeypatch.setattr("torchdiscern.lab.comparing.showing.LINE_EVERY", -1.0)
    shown = {}
    for terminal in (True, False):
        file = io.StringIO()
        with Live(todo, Console(file=file, force_terminal=terminal, width=100), 1) as live:
            live.ended(task_of("ce", 0), 60)
        shown[terminal] = file.getvalue()
    assert "runs" in shown[True]
    assert "1 of 4" in shown[True]
    assert shown[False].splitlines() == ["ce-0 done; 1 done, 6 left, about 6 minutes"]
