"""A finished run measured again, on its own test images or on a folder's."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from torchdiscern.lab import environment
from torchdiscern.lab.data import Images, load_images
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
    own = prepared_again(run, console)
    device = environment.device_of(environment.accelerator_of(own.recipe.accelerator))
    with environment.threads(own.recipe.threads):
        reader = Reader(own, device)
        means = class_means(reader)
        if data is None:
            if not len(own.labels.test):
                raise ValueError(
                    f"run: {str(run.folder)!r} held no image out for testing, expected some; name a folder with "
                    "--data."
                )
            return measured(reader, own.labels.test, own.labels.true, means)
        images, inputs, target = images_for(run, str(data), console)
        reader.prepared = replace(own, images=images, inputs=inputs)
        return measured(reader, torch.arange(len(target)), target, means)


def prepared_again(run: Run, console: Console, images: Images | None = None) -> Prepared:
    """A finished run's own images and labels, and its network with the trained weights.

    Args:
        run: a finished one.
        console: where to show how far it is.
        images: the run's, where they have been read already.

    Raises:
        ValueError: no finished run, or other images than it was trained on.
    """
    run.result  # noqa: B018, says what is missing
    made, recipe = run.made_with, run.recipe
    images, labels = load(recipe, console, images)
    if images.fingerprint != made["data"]["fingerprint"]:
        raise ValueError(
            f"data: the images of {recipe.data!r} are not those that {str(run.folder)!r} was trained on, "
            "expected the same, as its split and class means come from them; bring them back."
        )
    network = trained_network(run)
    network.module.to(memory_format=memory_format_of(network.module))
    layers, mean, std = tuple(made["layers"]), tuple(made["mean"]), tuple(made["std"])
    return Prepared(recipe, images, labels, network, network.module, images.pixels, False, [], layers, mean, std)


def images_for(
    run: Run, data: str, console: Console, images: Images | None = None
) -> tuple[Images, Inputs, Tensor]:
    """Other images for a run, with its classes.

    Args:
        run: a finished one.
        data: as for `load_images`, with some of the run's classes.
        console: where to show how far it is.
        images: those of `data`, where they have been read already.

    Returns:
        The images; what the run's network reads of them; and the run's class of each, `[N]`.

    Raises:
        ValueError, OSError: no such data, or classes that the run does not know.
    """
    made = run.made_with
    if images is None:
        with reading(console) as progress:
            images = load_images(data, made["image_size"], progress=progress)
    known = {name: index for index, name in enumerate(made["classes"])}
    strange = [name for name in images.classes if name not in known]
    if strange:
        raise ValueError(
            f"data: {data!r} has the class {strange[0]!r} that the run does not know ({len(strange)} such), "
            f"expected some of its {len(known)} classes; rename or remove its folder."
        )
    target = torch.tensor([known[name] for name in images.classes])[images.labels]
    return images, with_channels(images.pixels, made["channels"]), target


def with_channels(pixels: Inputs, channels: int) -> Inputs:
    """Images as a network for so many channels takes them: colours as grey, or grey three times."""
    return pixels if pixels.shape[1] == channels else _Channels(pixels, channels)


class _Channels:
    """Images with 1 channel in place of 3, or 3 in place of 1."""

    def __init__(self, pixels: Inputs, channels: int) -> None:
        self.pixels = pixels
        self.channels = channels

    @property
    def shape(self) -> torch.Size:
        images, _, *sides = self.pixels.shape
        return torch.Size((images, self.channels, *sides))

    def __getitem__(self, rows: Tensor) -> Tensor:
        found = self.pixels[rows]
        if found.shape[1] == 1:
            return found.repeat(1, self.channels, 1, 1)
        shares = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)  # ITU-R BT.601, as image libraries have it
        return (found * shares).sum(1, keepdim=True).round().to(torch.uint8)
