"""A finished run measured again, on its own test images or on a folder's."""

from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from torchdiscern.lab import environment
from torchdiscern.lab.data import load_images
from torchdiscern.lab.training.batches import Inputs
from torchdiscern.lab.training.folder import Run
from torchdiscern.lab.training.measure import Reader, class_means, measured
from torchdiscern.lab.training.prepared import Prepared, load, memory_format_of
from torchdiscern.lab.training.showing import reading
from torchdiscern.lab.training.trained import trained_network


def evaluate(run: Run, data: Path | None = None, console: Console | None = None) -> dict[str, Any]:
    """Measures the weights of a finished run.

    Args:
        run: the run.
        data: a folder with a folder of images a class, some of the run's classes, all of whose images are
            measured; by default the run's own test images.
        console: where to show how far it is.

    Returns:
        As `measured` gives.

    Raises:
        ValueError: no finished run, no test images, or classes that the run does not know.
    """
    console = console or Console(quiet=True)
    run.result  # noqa: B018, says what is missing
    made, recipe = run.made_with, run.recipe
    images, labels = load(recipe, console)
    if images.fingerprint != made["data"]["fingerprint"]:
        raise ValueError(
            f"data: the images of {recipe.data!r} are not those that {str(run.folder)!r} was trained on, "
            "expected the same, as its split and class means come from them; bring them back."
        )
    network = trained_network(run)
    network.module.to(memory_format=memory_format_of(network.module))
    layers, mean, std = tuple(made["layers"]), tuple(made["mean"]), tuple(made["std"])
    own = Prepared(recipe, images, labels, network, network.module, images.pixels, False, [], layers, mean, std)
    device = environment.device_of(environment.accelerator_of(recipe.accelerator))
    with environment.threads(recipe.threads):
        reader = Reader(own, device)
        means = class_means(reader)
        if data is None:
            if not len(labels.test):
                raise ValueError(
                    f"run: {str(run.folder)!r} held no image out for testing, expected some; name a folder with "
                    "--data."
                )
            return measured(reader, labels.test, labels.true, means)
        other, target = _others(data, own, console)
        reader.prepared = other
        return measured(reader, torch.arange(len(target)), target, means)


class _Grey:
    """Colour images as a network for one channel takes them; a folder's are read as colour."""

    def __init__(self, pixels: Inputs) -> None:
        self.pixels = pixels

    @property
    def shape(self) -> torch.Size:
        images, _, *sides = self.pixels.shape
        return torch.Size((images, 1, *sides))

    def __getitem__(self, rows: Tensor) -> Tensor:
        shares = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)  # ITU-R BT.601, as image libraries have it
        return (self.pixels[rows] * shares).sum(1, keepdim=True).round().to(torch.uint8)


def _others(data: Path, own: Prepared, console: Console) -> tuple[Prepared, torch.Tensor]:
    with reading(console) as progress:
        images = load_images(str(data), own.images.pixels.shape[-1], progress=progress)
    known = {name: index for index, name in enumerate(own.labels.classes)}
    strange = [name for name in images.classes if name not in known]
    if strange:
        raise ValueError(
            f"data: {str(data)!r} has the class {strange[0]!r} that the run does not know ({len(strange)} such), "
            f"expected some of its {len(known)} classes; rename or remove its folder."
        )
    target = torch.tensor([known[name] for name in images.classes])[images.labels]
    grey = own.images.pixels.shape[1] == 1 and images.pixels.shape[1] == 3
    prepared = Prepared(
        own.recipe,
        images,
        own.labels,
        own.network,
        own.module,
        _Grey(images.pixels) if grey else images.pixels,
        False,
        [],
        own.layers,
        own.mean,
        own.std,
    )
    return prepared, target
