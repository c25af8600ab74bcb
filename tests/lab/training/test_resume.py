"""Runs that are really killed."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from rich.console import Console

from torchdiscern.lab import Recipe, Run, train

# everything that a run must remember: dropout, augmentation, running class means, clusters, a ramp, an
# optimizer's moments
RECIPE = Recipe.named("digits").with_settings(
    epochs=30,
    dropout=0.2,
    augment="shift",
    term_labels="kmeans:12",
    cluster_every=2,
    memory=0.9,
    ramp_epochs=3,
    optimizer="adamax",
    learning_rate=2e-3,
    width=16,
    log_every=3,
)
# a child need not import everything anew, and has none of the threads that earlier tests of this process began
FORK = multiprocessing.get_context("forkserver")
FORK.set_forkserver_preload(["torchdiscern.lab.training.run", "lightning", "torchmetrics.classification"])


def start(recipe: Recipe, folder: Path, resume: bool) -> "multiprocessing.process.BaseProcess":
    child = FORK.Process(target=_train, args=(recipe, folder, resume))
    child.start()
    return child


def _train(recipe: Recipe, folder: Path, resume: bool) -> None:
    train(recipe, folder, resume=resume, console=Console(quiet=True))
    os._exit(0)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, float]:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    first = FORK.Process(target=int)  # waits until the server has imported everything
    first.start()
    first.join()
    began = time.monotonic()
    child = start(RECIPE, folder, False)
    child.join()
    assert child.exitcode == 0
    return Run(folder), time.monotonic() - began


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
def test_a_killed_run_ends_as_one_that_was_not(tmp_path: Path, unbroken: tuple[Run, float], seed: int) -> None:
    expected, seconds = unbroken
    moments = random.Random(seed)
    folder, kills = tmp_path / "run", 0
    for attempt in range(40):
        child = start(RECIPE, folder, resume=Run(folder).started)
        child.join(moments.uniform(0.05, 0.3) * seconds if attempt < 12 else None)
        if child.is_alive():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGKILL)
            child.join()
            kills += 1
        else:
            assert child.exitcode == 0
            break
    assert kills >= 2
    found = Run(folder)
    for name, value in expected.weights.items():
        assert torch.equal(found.weights[name], value), name
    assert found.result["last"] == expected.result["last"]
    assert found.result["best"] == expected.result["best"]
    assert _without_speed(found) == _without_speed(expected)
    assert [path.name for path in found.checkpoints.iterdir() if path.name[0] == "."] == []


def _without_speed(run: Run) -> list[list[str]]:
    lines = [line.split(",") for line in (run.folder / "metrics.csv").read_text().splitlines()]
    at = lines[0].index("images_per_second")
    return [line[:at] + line[at + 1 :] for line in lines]


def test_resuming_needs_the_same_recipe_and_images(tmp_path: Path) -> None:
    recipe = RECIPE.with_settings(epochs=1, term_labels="target", memory=0.0, loggers=())
    folder = tmp_path / "run"
    child = start(recipe, folder, False)
    child.join()
    with pytest.raises(ValueError, match="holds a finished run, expected nothing"):
        train(recipe, folder)
    before = (folder / "result.json").read_bytes()
    with pytest.raises(ValueError, match=r"holds a run with epochs=1, expected 2 to resume it"):
        train(recipe.with_settings(epochs=2), folder, resume=True)
    train(None, folder, resume=True, console=Console(quiet=True))
    assert (folder / "result.json").read_bytes() == before
    with pytest.raises(ValueError, match=r"holds no run, expected a run or nothing"):
        train(None, tmp_path / "nowhere", resume=True)


def test_two_processes_do_not_tread_on_each_other(tmp_path: Path) -> None:
    from torchdiscern.lab.training.folder import held

    with held(Run(tmp_path / "run")):
        child = start(RECIPE, tmp_path / "run", False)
        child.join()
        assert child.exitcode == 1
    assert not Run(tmp_path / "run").started
