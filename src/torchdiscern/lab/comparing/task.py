"""One piece of a comparison, done by any process on any machine: settings in, numbers out."""

import hashlib
import math
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from torch import Tensor

from torchdiscern.lab import environment
from torchdiscern.lab.comparing.checking import checked, reader_of
from torchdiscern.lab.data import Images, load_images
from torchdiscern.lab.measures import ATTACKED
from torchdiscern.lab.measures.everything import measures_and_right
from torchdiscern.lab.measures.readout import read_out_measures
from torchdiscern.lab.recipe import Recipe
from torchdiscern.lab.training.cleaning import cross_validated
from torchdiscern.lab.training.fit import fit
from torchdiscern.lab.training.folder import Run
from torchdiscern.lab.training.plan import kept_bytes
from torchdiscern.lab.training.prepared import prepare
from torchdiscern.lab.training.run import train

QUIET = Console(quiet=True)
PATIENCE = 10  # seconds


class ComparisonError(RuntimeError):
    """What no run of a comparison could do, so that it ends; any other error ends the run alone."""


def in_words(error: Exception) -> str:
    """An error for a table: a ValueError is a sentence of its own; of another the kind is said too."""
    said = " ".join(str(error).split())
    return said if isinstance(error, ValueError) else f"{type(error).__name__}: {said}"


@dataclass(frozen=True)
class Task:
    """What is to be done.

    Args:
        key: its name in the comparison, also of its folder and record.
        arm: which arm.
        settings: the whole recipe.
        kind: `"run"` trains, keeps a folder and measures; `"trial"` trains and gives the validation accuracy;
            `"check"` attacks a trained network in other ways.
        folder: of the run.
        token: file beside the runs by which a process on another machine knows that it sees the same disk.
        robust: whether to attack.
        attacked: test images to attack.
        cross_validated: whether to look for wrong labels by networks that did not see them.
        keep_weights: whether the run's folder keeps its weights.
        others: folders of the other arms' runs, for a check.
    """

    key: str
    arm: str
    settings: dict[str, Any]
    kind: Literal["run", "trial", "check"] = "run"
    folder: str = ""
    token: str = ""
    robust: bool = False
    attacked: int = ATTACKED
    cross_validated: bool = False
    keep_weights: bool = False
    others: Mapping[str, str] = field(default_factory=dict)


def perform(task: Task) -> dict[str, Any]:
    """Does a task; where the run's folder is out of reach, in a folder of its own that comes back as `files`."""
    started = time.perf_counter()
    environment.code_state()  # now, as the code was imported; it may be committed while this runs
    recipe = Recipe(**task.settings)
    images = images_of(recipe.data, recipe.image_size)
    earlier = 0.0
    if task.kind == "trial":
        found: dict[str, Any] = {"value": _value(recipe, images)}
    elif task.kind == "check":
        found = checked(Path(task.folder), task.others, images, task.attacked)
    elif task.token and Path(task.token).exists():
        found, earlier = _measured(task, recipe, Path(task.folder), images)
    else:
        with tempfile.TemporaryDirectory(prefix="torchdiscern-") as own:
            folder = Path(own) / "run"
            found, earlier = _measured(task, recipe, folder, images)
            found["files"] = {
                str(path.relative_to(folder)): path.read_bytes()
                for path in sorted(folder.rglob("*"))
                if path.is_file() and (task.keep_weights or not _is_heavy(path))
            }
    seconds = time.perf_counter() - started + earlier
    return found | {"seconds": seconds, "hardware": environment.hardware(), "code": environment.code_state()}


def _value(recipe: Recipe, images: Images) -> float:
    """The best epoch's validation accuracy; the test images are left alone."""
    found = fit(prepare(recipe, QUIET, images))
    if not found:
        raise ComparisonError(
            "tune: got a recipe that holds no images out for validation, expected some to choose by; set "
            "val_fraction=0.1."
        )
    return max(epoch["val_accuracy"] for epoch in found)


def _measured(task: Task, recipe: Recipe, folder: Path, images: Images) -> tuple[dict[str, Any], float]:
    """What a run gives, and the seconds that a process which was killed had trained of it."""
    began = time.perf_counter()
    run = _trained(recipe, folder, images)
    here = time.perf_counter() - began
    judged = None
    if task.cross_validated and recipe.label_noise and not recipe.clean:
        judged = cross_validated(recipe, images, QUIET)[1]
    with environment.threads(recipe.threads):
        reader = reader_of(recipe, run.weights, images)
        prepared = reader.prepared
        attacks: dict[str, Any] = {"robust": task.robust, "attacked": task.attacked}
        if recipe.read_out:
            metrics, right = read_out_measures(reader, images, **attacks)
        else:
            metrics, right = measures_and_right(reader, **attacks, cross_validated=judged)
        metrics["memory_mb"] = kept_bytes(prepared) / 2**20
    if recipe.clean:  # of the wrong labels it has left out most
        metrics = {name: value for name, value in metrics.items() if not name.startswith("wrong_")}
    metrics["step_ms"] = 1000 * min(recipe.batch_size, len(prepared.labels.train)) / run.images_per_second
    result = run.result
    found = {
        "metrics": _finite(metrics),
        "versions": environment.versions(),
        "correct": {
            "images": len(prepared.labels.test),
            "bits": {name: np.packbits(one.numpy()).tobytes().hex() for name, one in right.items()},
            "of": _mark(prepared.labels.test),
        },
        "best_epoch": result["best"]["epoch"],
        "images": prepared.images.fingerprint,
    }
    return found, max(0.0, result["seconds"]["training"] - here)


def _trained(recipe: Recipe, folder: Path, images: Images) -> Run:
    """The run, begun, gone on with, or begun anew where its weights are gone and its numbers were not kept."""
    run = Run(folder)
    if run.finished and not run.weights_file.exists():
        shutil.rmtree(folder)
    for patience in range(PATIENCE, -1, -1):
        try:
            return train(recipe, folder, resume=True, console=QUIET, images=images)
        except OSError as error:  # a process that was killed may hold its folder a moment longer
            if not patience or "another process trains" not in str(error):
                raise
            time.sleep(1)
    raise AssertionError


def _finite(metrics: dict[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}


def _mark(rows: Tensor) -> str:
    """A name for some rows of the data, by which runs know that they were tested on the same images."""
    return hashlib.sha256(rows.numpy().tobytes()).hexdigest()[:16]


def _is_heavy(path: Path) -> bool:
    return path.suffix in (".ckpt", ".safetensors") or path.name == ".lock"


@lru_cache(maxsize=1)
def images_of(data: str, size: int | None) -> Images:
    """The images, read once by a process."""
    return load_images(data, size)
