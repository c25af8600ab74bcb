"""What a run would do, how much it would take, and how long: everything but training."""

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from torch import Tensor
from torch.nn.functional import cross_entropy

from torchdiscern import FeatureTap
from torchdiscern.lab import environment
from torchdiscern.lab.data import findings_table
from torchdiscern.lab.recipe import Recipe
from torchdiscern.lab.training.batches import EvalBatches, TrainBatches
from torchdiscern.lab.training.durations import duration
from torchdiscern.lab.training.learner import optimizer_of, ready
from torchdiscern.lab.training.prepared import Prepared, criterion_of, precision_of, prepare

WARM, TIMED = 2, 5


def plan(recipe: Recipe, console: Console) -> dict[str, Any]:
    """Prints what a run of the recipe would do, after a few timed steps on copies; trains and writes nothing.

    Returns:
        The same as numbers: `steps`, `parameters`, `memory_bytes`, `seconds`, ...

    Raises:
        ValueError, TypeError, OSError: what `train` would raise before training.
    """
    with environment.threads(recipe.threads):
        prepared = prepare(recipe, console)
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
    yield "loss", "cross-entropy alone" if recipe.arm == "ce" else f"cross-entropy and {recipe.arm}"
    yield "steps", f"{found['steps']:,}: {recipe.epochs} epochs, batches of {recipe.batch_size}"
    yield "device", f"{device.type}, {precision} ({why})"
    parts = ", ".join(f"{name} {size / 2**20:,.0f}" for name, size in memory.items())
    yield "memory", f"about {sum(memory.values()) / 2**20:,.0f} MiB ({parts})"
    yield "speed", f"{found['images_per_second']:,.0f} images a second in {TIMED} steps on one device"
    yield "time", f"about {duration(found['seconds'])}, by those steps"
    for note in prepared.notes:
        yield "note", note


def _timed(prepared: Prepared, device: torch.device, precision: str) -> dict[str, float]:
    """Seconds a training step and an evaluated image take, and the bytes that a step keeps for its gradient."""
    recipe, labels = prepared.recipe, prepared.labels
    module = prepared.module.to(device)
    criterion = criterion_of(prepared) if recipe.arm != "ce" else None
    if criterion is not None:
        criterion.to(device)
    optimizer = optimizer_of(recipe, module)
    half = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    batches = iter(TrainBatches(prepared.inputs, labels.train, recipe.batch_size, recipe.seed))
    batch = next(batches)
    target = labels.target[batch.rows].to(device)
    known = labels.term
    term = target % labels.term_classes if known is None else known[batch.rows].to(device)
    moved = type(batch)(batch.inputs.to(device), batch.rows, batch.draws.to(device), batch.whole)
    module.train()
    for one in prepared.frozen:
        one.eval()

    def step() -> None:
        with torch.autocast(device.type, half, enabled=half is not None):
            logits = module(ready(moved, prepared, recipe.augment))
            loss = cross_entropy(logits.float(), target)
            if criterion is not None:
                loss = loss + criterion(tap.features, term)
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = 0.0  # the timed steps leave the weights as they are
        optimizer.step()
        optimizer.zero_grad()
        loss.item()  # waits for the device

    times = []
    with FeatureTap(module, *prepared.layers) as tap:
        with _kept_bytes() as kept:
            step()
        for _ in range(WARM + TIMED):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
    module.eval()
    with torch.no_grad():
        rows = labels.train[:256]
        few = next(iter(EvalBatches(prepared.inputs, rows)))
        start = time.perf_counter()
        module(ready(type(few)(few.inputs.to(device), few.rows, few.draws, few.whole), prepared)).sum().item()
        image = (time.perf_counter() - start) / len(rows)
    return {"step": statistics.median(times[WARM:]), "image": image, "bytes": float(sum(kept.values()))}


@contextmanager
def _kept_bytes() -> Iterator[dict[int, int]]:
    """Gathers the bytes of what the forward pass keeps for the backward pass, each storage once."""
    kept: dict[int, int] = {}

    def keep(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        yield kept
