"""Two processes train what one does, on the real command line, by Lightning's launcher and by torchrun."""

import csv
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from rich.console import Console

from torchdiscern.lab import Recipe, Run, train
from torchdiscern.lab.training.batches import EvalBatches
from torchdiscern.lab.training.checkpoints import load_checkpoint

NETWORK = """
from torch import nn

def tiny(num_classes, channels):
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(32, 24), nn.ReLU(), nn.Linear(24, num_classes),
    )
"""
RECIPE = Recipe.named("digits").with_settings(
    model="network_without_norm:tiny",
    width=None,
    augment="shift",
    learning_rate=0.002,  # calm, so that rounding stays rounding
    warmup_epochs=0.0,
    epochs=4,
    accelerator="cpu",
    devices=1,
    threads=1,
    precision="32",
    log_every=1,
    loggers=(),
)
# by name, what a run in two processes must be told to agree with one, beside what RECIPE has
VARIANTS: dict[str, dict[str, object]] = {
    "memory": {"memory": 0.9, "prior": "train", "optimizer": "adamw", "learning_rate": 1e-3},
    "gini": {"arm": "gini", "ramp_epochs": 2, "layers": ("4", "5")},
    "clusters": {"term_labels": "kmeans:12", "cluster_every": 2, "epochs": 3},
    "centre": {"arm": "centre", "strength": 0.1, "epochs": 2},
    "cosface": {"arm": "cosface", "epochs": 2},
    # two processes take 257 and 256 of these: as the tally goes by batches of 256, one more for the first
    "odd": {"test_fraction": 0.0, "val_fraction": 0.285, "epochs": 2},
}
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
TWO = """
import os
import sys
import tempfile
from rich.console import Console
from torchdiscern.lab import Recipe, train

def fail(*args, **kwargs):
    raise AssertionError("a process that is not the first writes")

if os.environ["RANK"] != "0":
    tempfile.mkstemp = os.mkdir = os.replace = fail
for name in sys.argv[1:]:
    train(Recipe.named(f"{name}.yaml"), f"two-{name}", console=Console(quiet=True))
"""
MARK = "TORCHDISCERN_TEST_DEVICES"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working folder of every process here, with a network that Python finds in it."""
    found = tmp_path_factory.mktemp("devices")
    (found / "network_without_norm.py").write_text(NETWORK)
    (found / "recipe.yaml").write_text(RECIPE.to_yaml())
    (found / "two.py").write_text(TWO)
    before = Path.cwd()
    os.chdir(found)
    yield found
    os.chdir(before)
    sys.modules.pop("network_without_norm", None)


@pytest.fixture(scope="module")
def alone(folder: Path) -> Run:
    return train(RECIPE, folder / "alone", console=Console(quiet=True))


def start(folder: Path, *arguments: str, limit: int | None = None) -> subprocess.Popen[str]:
    """A process in its own group, it and all that it starts known by their environment.

    Args:
        folder: where it works.
        arguments: of Python.
        limit: bytes that a file may have, as on a full disk.
    """
    limited = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))) if limit else None
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {MARK: str(folder), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=limited,
    )


def ended(process: subprocess.Popen[str], folder: Path, timeout: float = 120) -> tuple[int, str]:
    """How a process ended and what it said on standard error; nobody that it started may outlive it for long."""
    try:
        _, said = process.communicate(timeout=timeout)
        for _ in range(100):
            if not members(folder):
                break
            time.sleep(0.1)
        assert members(folder) == []
    finally:
        for pid in members(folder):
            os.kill(pid, signal.SIGKILL)
    return process.returncode, said


def members(folder: Path) -> list[int]:
    mark, found = f"{MARK}={folder}".encode(), []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (path / "environ").read_bytes().split(b"\0"):
                found.append(int(path.name))
        except OSError:
            continue  # it has ended, or is another's
    return found


def until(process: subprocess.Popen[str], happened: Callable[[], bool]) -> None:
    start = time.monotonic()
    while process.poll() is None and not happened():
        assert time.monotonic() - start < 120
        time.sleep(0.01)
    assert process.poll() is None


def assert_same(found: Run, expected: Run) -> None:
    for name, value in expected.weights.items():
        torch.testing.assert_close(found.weights[name], value, rtol=0, atol=2e-5)
    last = [load_checkpoint(run.checkpoints / "last.ckpt")["state_dict"] for run in (found, expected)]
    torch.testing.assert_close(last[0], last[1], rtol=0, atol=2e-5)
    for part in ("best", "last"):
        for where in ("validation", "test"):
            one, other = found.result[part][where], expected.result[part][where]
            assert (one and one["accuracy"]) == (other and other["accuracy"])
    for name in ("val_accuracy", "val_loss", "cross_entropy", "loss"):
        assert logged(found, name) == pytest.approx(logged(expected, name), abs=1e-4), name
    assert sorted(path.name for path in found.folder.rglob("*")) == sorted(
        path.name for path in expected.folder.rglob("*")
    )


def logged(run: Run, name: str) -> list[float]:
    with (run.folder / "metrics.csv").open() as file:
        return [float(row[name]) for row in csv.DictReader(file) if row[name]]


@pytest.mark.parametrize("launcher", ["lightning", pytest.param("torchrun", marks=pytest.mark.long)])
def test_two_processes_give_the_weights_of_one(folder: Path, alone: Run, launcher: str) -> None:
    by = TORCHRUN if launcher == "torchrun" else []
    out = folder / launcher
    command = [*by, "-m", "torchdiscern", "train", "recipe.yaml", "--set", "devices=2", "--out", str(out)]
    code, said = ended(start(folder, *command), folder)
    assert code == 0, said
    assert said == ""
    assert_same(Run(out), alone)
    code, said = ended(start(folder, *command, "--resume"), folder)  # there is nothing left to train together
    assert code == 0, said


@pytest.mark.long
def test_several_trainings_in_a_script_of_ones_own(folder: Path) -> None:
    recipes = {name: RECIPE.with_settings(**settings) for name, settings in VARIANTS.items()}
    # with batch norm two processes give other weights; here it is its buffers that are shared in each batch
    recipes["norm"] = recipes["odd"].with_settings(model="small", width=8)
    for name, recipe in recipes.items():
        (folder / f"{name}.yaml").write_text(recipe.with_settings(devices=2).to_yaml())
    code, said = ended(start(folder, *TORCHRUN, "two.py", *recipes), folder, timeout=240)
    assert code == 0, said
    assert Run(folder / "two-norm").result["best"]["validation"]["images"] == 513
    for name in VARIANTS:
        assert_same(Run(folder / f"two-{name}"), train(recipes[name], folder / name, console=Console(quiet=True)))


@pytest.mark.long
def test_a_killed_pair_resumes(folder: Path, alone: Run) -> None:
    out = folder / "killed"
    command = ["-m", "torchdiscern", "train", "recipe.yaml", "--set", "devices=2", "--out", str(out)]
    process = start(folder, *command)
    until(process, (out / "checkpoints" / "last.ckpt").exists)
    os.killpg(process.pid, signal.SIGKILL)
    ended(process, folder)
    code, said = ended(start(folder, *command, "--resume"), folder)
    assert code == 0, said
    assert_same(Run(out), alone)


def _interrupt(process: subprocess.Popen[str], folder: Path) -> None:
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does


def _kill_the_other(process: subprocess.Popen[str], folder: Path) -> None:
    (other,) = set(members(folder)) - {process.pid}
    os.kill(other, signal.SIGKILL)


def _nothing(process: subprocess.Popen[str], folder: Path) -> None:
    """The disk is full soon enough."""


@pytest.mark.long
@pytest.mark.parametrize(
    ("happens", "limit", "expected", "says"),
    [
        (_interrupt, None, 130, "Stopped. Finished epochs are kept; --resume --out "),
        (_kill_the_other, None, 1, "torchdiscern: devices: one of 2 processes ended early"),
        (_nothing, 100_000, 1, "torchdiscern: out: "),
    ],
    ids=["ctrl-c", "one-is-killed", "full-disk"],
)
def test_two_processes_end_with_one_sentence(
    folder: Path,
    happens: Callable[[subprocess.Popen[str], Path], None],
    limit: int | None,
    expected: int,
    says: str,
) -> None:
    out = folder / happens.__name__
    command = ["train", "recipe.yaml", "--set", "devices=2", "--set", "epochs=5000", "--out", str(out)]
    process = start(folder, "-m", "torchdiscern", *command, limit=limit)
    until(process, (out / "checkpoints" / "last.ckpt").exists)
    happens(process, folder)
    code, said = ended(process, folder)
    assert code == expected, said
    assert said.startswith(says)
    assert said.count("\n") == 1
    assert "--resume" in said


def test_a_batch_that_cannot_be_shared_is_one_sentence(folder: Path) -> None:
    recipe = RECIPE.with_settings(devices=2, batch_size=33)
    with pytest.raises(ValueError, match=r"^batch_size: got 33 for 2 processes, .*; set batch_size=32\.$"):
        train(recipe, folder / "uneven", console=Console(quiet=True))


@pytest.mark.parametrize("images", [1, 2, 3, 7, 512, 513, 514, 1000])
@pytest.mark.parametrize("processes", [1, 2, 3, 8])
def test_processes_validate_all_images_in_equally_many_batches(images: int, processes: int) -> None:
    parts = []
    for process in range(processes):
        batches = EvalBatches(torch.arange(images), torch.arange(images))
        batches.process, batches.processes = process, processes
        parts.append([batch.rows for batch in batches])
        assert len(batches) == len(parts[-1])
        assert all(len(rows) for rows in parts[-1])
    assert len({len(part) for part in parts}) == 1
    found = torch.cat([rows for part in parts for rows in part]).sort().values
    times = 1 if images >= processes else processes  # too few to share: each takes all
    assert torch.equal(found, torch.arange(images).repeat_interleave(times))
