"""Engines: real processes and a real Ray cluster, workers killed in the middle."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from torchdiscern.lab import Recipe, Results, compare
from torchdiscern.lab.comparing.task import Task, perform

QUIET = Console(quiet=True)
RECIPE = Recipe.named("digits").with_settings(epochs=2, width=8, threads=1)
ARMS = ["ce", "renyi"]


def numbers(results: Results) -> dict[tuple[str, int], dict[str, float | None]]:
    return {
        (run.arm, run.seed): {name: value for name, value in run.metrics.items() if name != "step_ms"}
        for run in results.runs
    }


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return compare(RECIPE, ARMS, 2, out=tmp_path_factory.mktemp("alone"), console=QUIET)


class Killer(threading.Thread):
    """Kills one worker, known by its command line, as soon as the work has begun."""

    def __init__(self, mark: str, ready: Callable[[], bool]) -> None:
        super().__init__(daemon=True)
        self.mark, self.ready = mark, ready
        self.killed = False
        self.start()

    def run(self) -> None:
        for _ in range(6000):
            for process in psutil.Process().children(recursive=True) if self.ready() else []:
                with suppress(psutil.Error):  # it has ended meanwhile
                    if self.mark in " ".join(process.cmdline()) and process.cpu_times().user > 1:
                        process.kill()
                        self.killed = True
                        return
            time.sleep(0.02)


def test_processes_give_the_same_numbers_though_one_is_killed(alone: Results, tmp_path: Path) -> None:
    killer = Killer("spawn_main", lambda: any(tmp_path.glob("runs/*/recipe.yaml")))
    results = compare(RECIPE, ARMS, 2, out=tmp_path, jobs=2, console=QUIET)
    assert killer.killed
    assert numbers(results) == numbers(alone)


ENDS_AT_ONCE = """
import os, signal
from torchdiscern.lab.comparing.engines import Local
from torchdiscern.lab.comparing.task import Task

if __name__ == "__main__":
    engine = Local(1)
    engine.submit(Task("ce-0", "ce", {}, folder=os.devnull, token=""))
    print(*engine._pool._processes, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_worker_ends_though_its_parent_was_gone_before_it_had_begun(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text(ENDS_AT_ONCE)
    program = [sys.executable, str(tmp_path / "ends.py")]
    # its output ends when the worker, which holds it too, has ended
    ended = subprocess.run(program, capture_output=True, text=True, timeout=180)
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.strip().isdigit()


HOLDS_A_LOCK = """
import multiprocessing
from torchdiscern.lab.comparing import engines
from torchdiscern.lab.comparing.task import Task

held = []

def holds(task):
    held.append(multiprocessing.RLock())  # a progress bar of the attacks does
    return {"done": True}

if __name__ == "__main__":
    engines.perform = holds
    with engines.Local(1) as engine:
        engine.submit(Task("ce-0", "ce", {}, folder="", token=""))
        print(engine.wait()[0][1])
"""


def test_idle_workers_give_back_what_they_hold(tmp_path: Path) -> None:
    (tmp_path / "holds.py").write_text(HOLDS_A_LOCK)
    ended = subprocess.run([sys.executable, str(tmp_path / "holds.py")], capture_output=True, text=True)
    assert ended.stdout == "{'done': True}\n"
    assert "leaked" not in ended.stderr


@pytest.mark.long
def test_a_ray_cluster_gives_the_same_numbers_though_a_worker_is_killed(alone: Results, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    killer = Killer("ray::", lambda: any(tmp_path.glob("runs/*/recipe.yaml")))
    results = compare(RECIPE, ARMS, 2, out=tmp_path, jobs=2, engine="ray", console=QUIET)
    assert killer.killed
    assert numbers(results) == numbers(alone)


def test_a_machine_with_another_disk_sends_its_files(alone: Results, tmp_path: Path) -> None:
    task = Task(
        "ce-0", "ce", RECIPE.with_settings(arm="ce", loggers=()).as_dict(), folder="/nowhere/ce-0", token=""
    )
    found: dict[str, Any] = perform(task)
    metrics = {name: value for name, value in found["metrics"].items() if name != "step_ms"}
    assert metrics == numbers(alone)["ce", 0]
    assert {"recipe.yaml", "result.json", "metrics.csv"} <= set(found["files"])
    assert not any(name.endswith((".ckpt", ".safetensors")) for name in found["files"])
