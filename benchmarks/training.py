"""Images a second of `torchdiscern train` against a bare PyTorch loop over tensors in memory.

    python benchmarks/training.py [--rounds 7] [--threads 1]

The recipe `cifar100-thin` (a ResNet-18 of width 16, batches of 128, shift and flip, Renyi terms, half precision
where the hardware has it), on 5,120 random images of 32 pixels in 100 classes. `train` is the command's own
function, one epoch of 40 steps, with log, TensorBoard and progress; its speed is the one that it logs, from the
start of the epoch to the end of the last step. `bare` is a plain loop of the same steps: index, augment,
normalise, forward, loss, backward, step. Each round runs either once, in turn, and a ratio is taken within the
round. What stands outside of steps (reading images, validation, checkpoints, measuring) is no part of either.
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.loggers import Logger
from PIL import Image
from rich.console import Console
from rich.progress import track
from torch.nn.functional import cross_entropy

from timing import arguments, ratio, report, spread
from torchdiscern import FeatureTap
from torchdiscern.lab import Recipe, environment, train
from torchdiscern.lab.training.batches import TrainBatches
from torchdiscern.lab.training.learner import optimizer_of, ready
from torchdiscern.lab.training.prepared import Prepared, criterion_of, load, prepare

CLASSES, IMAGES, STEPS = 100, 52, 40
QUIET = Console(quiet=True)


class Speed(Logger):
    """Keeps the images a second of the epoch."""

    found = 0.0
    name, version = "speed", ""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.found = metrics.get("images_per_second", self.found)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None: ...


def folder_of_images(folder: Path) -> None:
    random = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / f"{label:03d}").mkdir(parents=True)
        for index in range(IMAGES):
            pixels = random.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{label:03d}" / f"{index}.png")


def by_train(recipe: Recipe, folder: Path) -> float:
    speed = Speed()
    train(recipe, folder, console=QUIET, loggers=[speed])
    return speed.found


def by_hand(recipe: Recipe, prepared: Prepared) -> float:
    accelerator = environment.accelerator_of(recipe.accelerator)
    device = environment.device_of(accelerator)
    precision, _ = environment.precision_of(recipe.precision, accelerator)
    half = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    model = prepared.module.to(device).train()
    criterion = criterion_of(prepared)
    assert criterion is not None
    criterion.to(device)
    optimizer = optimizer_of(recipe, model)
    pixels, target = prepared.images.pixels, prepared.labels.target
    with FeatureTap(model, *prepared.layers) as tap:
        seen, start = 0, time.perf_counter()
        for batch in TrainBatches(pixels, prepared.labels.train, recipe.batch_size, recipe.seed):
            moved = replace(batch, inputs=batch.inputs.to(device), draws=batch.draws.to(device))
            labels = target[batch.rows].to(device)
            with torch.autocast(device.type, half, enabled=half is not None):
                logits = model(ready(moved, prepared, recipe.augment))
                loss = cross_entropy(logits, labels) + criterion(tap.features, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            seen += len(labels)
        loss.item()
        return seen / (time.perf_counter() - start)


def main() -> None:
    options = arguments(__doc__, 7)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder_of_images(folder / "images")
        accelerator = {"cuda": "gpu"}.get(options.device, options.device)
        recipe = Recipe.named("cifar100-thin").with_settings(
            data=str(folder / "images"),
            image_size=32,
            epochs=1,
            warmup_epochs=0,
            val_fraction=0.0,
            test_fraction=0.01,
            log_every=10**6,
            threads=options.threads,
            accelerator=accelerator,
            devices=1,
        )
        images, _ = load(recipe, QUIET)
        arms: dict[str, list[float]] = {"train": [], "bare": []}
        by_hand(recipe, prepare(recipe, QUIET, images))  # the first pass meets a cold machine
        for number in track(range(options.rounds), "Measuring"):
            for arm in sorted(arms, reverse=number % 2 == 0):
                if arm == "train":
                    speed = by_train(recipe, folder / f"run-{number}")
                else:  # a network of its own each time, as a run has
                    speed = by_hand(recipe, prepare(recipe, QUIET, images))
                arms[arm].append(speed)
    found = ratio(arms["train"], arms["bare"])
    rows = [[arm, str(spread(values))] for arm, values in arms.items()] + [["train/bare", str(found)]]
    results = [{"arm": arm, "images_per_second": values} for arm, values in arms.items()]
    title = f"Training a thin ResNet, {options.threads} thread(s), {options.device}"
    report(
        f"training-{options.threads}",
        title,
        ["arm", "images a second: median (quartiles)"],
        rows,
        [*results, {"ratio": found}],
        options,
    )


if __name__ == "__main__":
    main()
