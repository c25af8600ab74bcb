"""What a run would do, how much it would take, and how long: everything but training."""

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from torchdiscern import FeatureTap
from torchdiscern.lab import arms, environment
from torchdiscern.lab.data import Images, findings_table
from torchdiscern.lab.recipe import Recipe
from torchdiscern.lab.training.batches import EvalBatches, TrainBatches
from torchdiscern.lab.training.durations import duration
from torchdiscern.lab.training.learner import optimizer_of, ready
from torchdiscern.lab.training.prepared import Prepared, criterion_of, precision_of, prepare
from torchdiscern.lab.training.running import Runner

WARM, TIMED = 2, 5


def plan(recipe: Recipe, console: Console, images: Images | None = None) -> dict[str, Any]:
    """Prints what a run of the recipe would do, after a few timed steps on copies; trains and writes nothing.

    Args:
        recipe: of the run.
        console: where to print.
        images: the recipe's, where they have been read already.

    Returns:
        The same as numbers: `steps`, `parameters`, `memory_bytes`, `seconds`, ...

    Raises:
        ValueError, TypeError, OSError: what `train` would raise before training.
    """
    with environment.threads(recipe.threads):
        prepared = prepare(recipe, console, images)
        precision, why = precision_of(prepared)
        device = environment.device_of(environment.accelerator_of(recipe.accelerator))
        timed = _timed(prepared, device, precision)
    labels, images = prepared.labels, prepared.images
    batches = TrainBatches(prepared.inputs, labels.train, recipe.batch_size, recipe.seed)
    steps = recipe.epochs * len(batches)
    parameters = list(prepared.network.module.parameters())
    learning = [p for p in parameters if p.requires_grad]
    training = steps * timed["step"]
    validating = recipe.epochs * len(labels.val) * timed["image"]
    measuring = 2 * (len(labels.train) + len(labels.val) + len(labels.test)) * timed["image"]
    weights = sum(p.numel() * p.element_size() for p in parameters)
    states = sum(p.numel() * p.element_size() for p in learning) * (2 if recipe.optimizer == "sgd" else 3)
    data = prepared.inputs.numel() * prepared.inputs.element_size() if isinstance(prepared.inputs, Tensor) else 0
    found: dict[str, Any] = {
        "images": {"train": len(labels.train), "val": len(labels.val), "test": len(labels.test)},
        "classes": prepared.num_classes,
        "parameters": sum(p.numel() for p in parameters),
        "parameters_that_learn": sum(p.numel() for p in learning),
        "epochs": recipe.epochs,
        "steps": steps,
        "precision": precision,
        "memory_bytes": {"weights": weights + states, "activations": timed["bytes"], "data": data},
        "seconds": training + validating + measuring,
        "images_per_second": batches.batch_size / timed["step"],
    }
    if images.findings:
        console.print(findings_table(images.findings))
    table = Table(
        title=escape(f"The plan of {recipe.name or recipe.model}; nothing was trained"), box=box.SIMPLE_HEAD
    )
    table.add_column("what")
    table.add_column("how much")
    for what, how_much in _lines(prepared, found, precision, why, device):
        table.add_row(what, escape(how_much))
    console.print(table)
    return found


def _lines(
    prepared: Prepared, found: dict[str, Any], precision: str, why: str, device: torch.device
) -> Iterator[tuple[str, str]]:
    recipe, images, memory = prepared.recipe, found["images"], found["memory_bytes"]
    side = "x".join(map(str, prepared.images.pixels.shape[1:]))
    yield "data", f"{prepared.images.name}, {side}, {found['classes']} classes"
    yield "images", f"{images['train']:,} to train, {images['val']:,} to validate, {images['test']:,} to test"
    yield "network", f"{recipe.model}, tapped: {', '.join(prepared.layers)}"
    yield "parameters", f"{found['parameters']:,}, of which {found['parameters_that_learn']:,} learn"
    yield "loss", arms.in_words(recipe.arm)
    yield "steps", f"{found['steps']:,}: {recipe.epochs} epochs, batches of {recipe.batch_size}"
    yield "device", f"{device.type}, {precision} ({why})"
    parts = ", ".join(f"{name} {size / 2**20:,.0f}" for name, size in memory.items())
    yield "memory", f"about {sum(memory.values()) / 2**20:,.0f} MiB ({parts})"
    yield "speed", f"{found['images_per_second']:,.0f} images a second in {TIMED} steps on one device"
    yield "time", f"about {duration(found['seconds'])}, by those steps"
    for note in prepared.notes:
        yield "note", note


def kept_bytes(prepared: Prepared) -> int:
    """Bytes that one training step keeps for its gradient, on the device that training would take."""
    device = environment.device_of(environment.accelerator_of(prepared.recipe.accelerator))
    with _stepping(prepared, device, precision_of(prepared)[0]) as (step, _), _kept() as kept:
        step()
    return kept.most


def _timed(prepared: Prepared, device: torch.device, precision: str) -> dict[str, float]:
    """Seconds a training step and an evaluated image take, and the bytes that a step keeps for its gradient."""
    times = []
    with _stepping(prepared, device, precision) as (step, module):
        with _kept() as kept:
            step()
        for _ in range(WARM + TIMED):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
    with torch.no_grad():
        rows = prepared.labels.train[:256]
        few = next(iter(EvalBatches(prepared.inputs, rows)))
        start = time.perf_counter()
        module(ready(replace(few, inputs=few.inputs.to(device)), prepared)).sum().item()
        image = (time.perf_counter() - start) / len(rows)
    return {"step": statistics.median(times[WARM:]), "image": image, "bytes": float(kept.most)}


@contextmanager
def _stepping(
    prepared: Prepared, device: torch.device, precision: str
) -> Iterator[tuple[Callable[[], None], nn.Module]]:
    """A training step that leaves the weights as they are, and the network, in evaluation mode afterwards."""
    recipe, labels = prepared.recipe, prepared.labels
    module = prepared.module.to(device)
    criterion = criterion_of(prepared)
    if criterion is not None:
        criterion.to(device)
    optimizer = optimizer_of(recipe, module, *([] if criterion is None else [criterion]))
    half = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    batch = next(iter(TrainBatches(prepared.inputs, labels.train, recipe.batch_size, recipe.seed)))
    target = labels.target[batch.rows].to(device)
    known = labels.term
    term = target % labels.term_classes if known is None else known[batch.rows].to(device)
    moved = replace(batch, inputs=batch.inputs.to(device), draws=batch.draws.to(device))
    module.train()
    for one in prepared.frozen:
        one.eval()

    def step() -> None:
        inputs = ready(moved, prepared, recipe.augment)
        with torch.autocast(device.type, half, enabled=half is not None):
            if isinstance(criterion, arms.Objective):
                loss = runner.loss(criterion, runner.step(inputs, target, term, 1 / batch.whole))
            else:
                loss = cross_entropy(module(inputs).float(), target)
                if criterion is not None:
                    loss = loss + criterion(tap.features, term)
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = 0.0
        optimizer.step()
        optimizer.zero_grad()
        loss.item()  # waits for the device

    tap = FeatureTap(module, *prepared.layers)
    runner = Runner(prepared, tap)
    runner.attach()
    try:
        yield step, module
    finally:
        runner.detach()
        module.eval()


class _Kept:
    """Bytes of what forward passes keep for backward passes, each storage once."""

    def __init__(self) -> None:
        self.now = self.most = 0
        self.holders: Counter[int] = Counter()

    def take(self, storage: torch.UntypedStorage) -> None:
        self.holders[storage.data_ptr()] += 1
        if self.holders[storage.data_ptr()] == 1:
            self.now += storage.nbytes()
            self.most = max(self.most, self.now)

    def release(self, storage: torch.UntypedStorage) -> None:
        self.holders[storage.data_ptr()] -= 1
        if not self.holders[storage.data_ptr()]:
            self.now -= storage.nbytes()


@dataclass
class _Saved:
    """A tensor that a graph keeps; gone with the graph, as that of an attack before the next one's is made."""

    value: Tensor
    kept: _Kept

    def __post_init__(self) -> None:
        self.kept.take(self.value.untyped_storage())

    def __del__(self) -> None:
        self.kept.release(self.value.untyped_storage())


@contextmanager
def _kept() -> Iterator[_Kept]:
    """Watches what a step keeps."""
    kept = _Kept()
    # detached: a graph that keeps its own output would never be gone
    with torch.autograd.graph.saved_tensors_hooks(
        lambda value: _Saved(value.detach(), kept), lambda saved: saved.value
    ):
        yield kept
