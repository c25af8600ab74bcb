"""What a run leaves when training is over: weights, numbers, model card."""

import json
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors.torch import save
from torch import Tensor

from torchdiscern.lab import arms, environment
from torchdiscern.lab.data import findings_table
from torchdiscern.lab.files import write_atomically
from torchdiscern.lab.training.card import card
from torchdiscern.lab.training.checkpoints import KeepBestAndLast, load_checkpoint
from torchdiscern.lab.training.folder import Run
from torchdiscern.lab.training.measure import Reader, class_means, measured
from torchdiscern.lab.training.prepared import Prepared
from torchdiscern.lab.training.results import result_table


def made_with(prepared: Prepared, precision: str, because: str) -> dict[str, Any]:
    """What a run was made with, beside its settings."""
    images, labels = prepared.images, prepared.labels
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "git": environment.git_state(),
        "data": {
            "name": images.name,
            "fingerprint": images.fingerprint,
            "images": len(images.labels),
            "train": len(labels.train),
            "val": len(labels.val),
            "test": len(labels.test),
            "held_out": len(labels.held_out),
            "findings": {one.kind: one.count for one in images.findings},
        },
        "classes": labels.classes,
        "channels": images.pixels.shape[1],
        "image_size": images.pixels.shape[-1],
        "mean": list(prepared.mean),
        "std": list(prepared.std),
        "layers": list(prepared.layers),
        "precision": precision,
        "precision_because": because,
        "notes": prepared.notes,
    }


def say(prepared: Prepared, run: Run, precision: str, because: str, console: Console) -> None:
    """Prints what is about to be trained."""
    recipe, labels, images = prepared.recipe, prepared.labels, prepared.images
    if images.findings:
        console.print(findings_table(images.findings))
    learning = sum(p.numel() for p in prepared.network.module.parameters() if p.requires_grad)
    lines = [
        f"{images.name}: {len(labels.train):,} images to train, {len(labels.val):,} to validate, "
        f"{len(labels.test):,} to test, {prepared.num_classes} classes, {images.pixels.shape[-1]} pixels",
        f"{recipe.model}: {learning:,} parameters learn; loss: {arms.in_words(recipe.arm)}"
        + (f" on {', '.join(prepared.layers)}" if arms.moves_features(recipe.arm) else ""),
        f"{recipe.epochs} epochs, batches of {recipe.batch_size}, {precision} ({because})",
        *prepared.notes,
        f"results go to {run.folder}",
    ]
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def finish(run: Run, prepared: Prepared, keep: KeepBestAndLast, console: Console, seconds: float) -> None:
    """Measures the best and the last weights, and writes everything; `result.json` comes last."""
    last = load_checkpoint(run.checkpoints / "last.ckpt")
    has_best = keep.best_epoch > 0
    best = load_checkpoint(run.checkpoints / "best.ckpt") if has_best else last
    best_epoch = keep.best_epoch if has_best else prepared.recipe.epochs
    with console.status("Measuring"):
        found = {"last": _measure(prepared, last, prepared.recipe.epochs)}
        same = best_epoch == prepared.recipe.epochs
        found["best"] = found["last"] if same else _measure(prepared, best, best_epoch)
    _load(prepared, best)
    parameters = list(prepared.network.module.parameters())
    result: dict[str, Any] = {
        "recipe": prepared.recipe.name,
        "data": prepared.images.name,
        "model": prepared.recipe.model,
        "arm": prepared.recipe.arm,
        "seed": prepared.recipe.seed,
        "classes": prepared.num_classes,
        "epochs": prepared.recipe.epochs,
        "selected": "best validation epoch" if has_best else "last epoch, as nothing was held out",
        "best": found["best"],
        "last": found["last"],
        "parameters": sum(p.numel() for p in parameters),
        "parameters_that_learned": sum(p.numel() for p in parameters if p.requires_grad),
        "seconds": {"training": keep.seconds, "this_start": seconds},
        "images_per_second": len(prepared.labels.train) * prepared.recipe.epochs / max(keep.seconds, 1e-9),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_weights(run.weights_file, prepared.network.module.state_dict())
    write_atomically(run.folder / "README.md", card(run, result))
    write_atomically(run.result_file, json.dumps(result, indent=2, allow_nan=False) + "\n")
    console.print(result_table(result))
    console.print(f"Model, numbers, log and card: {run.folder}", markup=False, soft_wrap=True)
    command = shlex.join(["torchdiscern", "report", str(run.folder)])
    console.print(f"{command} shows what each feature tells apart", markup=False, soft_wrap=True, highlight=False)


def write_weights(path: Path, state: dict[str, Tensor]) -> None:
    """Writes weights as safetensors."""
    plain = {name: value.detach().cpu().contiguous() for name, value in state.items()}
    write_atomically(path, save(plain, metadata={"format": "pt"}))


def _measure(prepared: Prepared, checkpoint: dict[str, Any], epoch: int) -> dict[str, Any]:
    _load(prepared, checkpoint)
    device = environment.device_of(environment.accelerator_of(prepared.recipe.accelerator))
    reader = Reader(prepared, device)
    means = class_means(reader)
    labels = prepared.labels
    found: dict[str, Any] = {"epoch": epoch, "validation": None, "test": None}
    if len(labels.val):
        found["validation"] = measured(reader, labels.val, labels.target, means)
    if len(labels.test):
        found["test"] = measured(reader, labels.test, labels.true, means)
    prepared.module.to("cpu")
    return found


def _load(prepared: Prepared, checkpoint: dict[str, Any]) -> None:
    mark = "network."
    state = {name.removeprefix(mark): v for name, v in checkpoint["state_dict"].items() if name.startswith(mark)}
    with torch.no_grad():
        prepared.module.load_state_dict(state)
