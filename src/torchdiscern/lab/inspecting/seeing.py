"""One pass of a network over images, which keeps what its statistics need and little in memory."""

import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from math import sqrt
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from rich.console import Console
from torch import Tensor, nn

from torchdiscern import FeatureTap, functional
from torchdiscern.lab.inspecting.careful import Careful
from torchdiscern.lab.inspecting.maps import (
    GRID,
    Source,
    axis_of,
    drawn,
    positions,
    side_of,
    source_of,
    tensor_of,
)
from torchdiscern.lab.inspecting.seen import Seen, SeenLayer
from torchdiscern.lab.inspecting.subject import Subject
from torchdiscern.lab.networks import probe
from torchdiscern.lab.networks.cosine import CosineLinear, weight_of
from torchdiscern.lab.seeds import generator
from torchdiscern.lab.training.batches import EvalBatches
from torchdiscern.lab.training.prepared import memory_format_of
from torchdiscern.lab.training.showing import reading

TOP = 12
POOL = 512
BATCH = 64  # maps of early layers are large
PROBED = 4  # images, on which the positions of pooled features are looked for


@torch.no_grad()
def see(subject: Subject, folder: Path, console: Console) -> Seen:
    """Shows the images to the network, once.

    Args:
        subject: of `subject_of`.
        folder: where activations are written, which `Seen` reads them from; it must stay for as long.
        console: where to show how far it is.

    Returns:
        What was seen. Images that cannot be read any more are left out and named in a note.

    Raises:
        ValueError: none of the images can be read.
        OSError: no room for the activations.
    """
    careful = Careful(subject.inputs)
    module = subject.network.module
    classifier = cast(nn.Linear, module.get_submodule(subject.network.classifier))
    of_pool = _of_pool(len(subject.rows))
    read = _File(folder / "read")
    right = _Right(classifier) if subject.classifies else None
    rows: list[Tensor] = []
    labels: list[Tensor] = []
    pool: list[Tensor] = []
    wordless: list[int] = []
    count = 0
    with reading(console, "Showing images to the network") as progress:
        batches = _batches(subject, careful, progress)
        first = next(batches, None)
        if first is None:
            raise ValueError(
                f"data: none of the {len(subject.rows):,} images of {subject.images.name!r} can be read any "
                "more, expected images that stay as they are; start again."
            )
        layers = _layers(subject, first.images, folder, classifier.in_features)
        sources = [layer.source.module for layer in layers if layer.source is not None]
        tapped = dict.fromkeys([*subject.layers, *sources])
        with FeatureTap(module, *tapped) as tap, _heard(classifier) as heard:
            for batch in chain([first], batches):
                module(batch.images)
                said, features = heard[0].flatten(1).float(), tap.features
                # one image without a number would count against every feature
                numbers = said.isfinite().any(1)
                planned = batch.planned[numbers.cpu()]
                wordless += batch.planned[~numbers.cpu()].tolist()
                if not len(planned):
                    continue
                if len(planned) < len(numbers):
                    said, features = said[numbers], {name: given[numbers] for name, given in features.items()}
                said = said.nan_to_num(0, 0, 0)
                read.add(said)
                chosen = of_pool[planned]
                for layer in layers:
                    layer.add(features, count, chosen)
                layers[-1].compare(said)
                target = subject.labels[planned]
                if right is not None:
                    right.add(said, target)
                rows.append(subject.rows[planned])
                labels.append(target)
                pool.append(count + chosen.nonzero().flatten())
                count += len(target)
    if not count:
        raise ValueError(
            f"model: gives NaN or infinity alone for all of {len(wordless):,} images, expected numbers; look at "
            "its weights."
        )
    places = torch.cat(pool)
    last = layers[-1]
    notes = [
        *_missing(subject, careful),
        *_wordless(subject, wordless),
        *(note for layer in layers for note in layer.notes()),
    ]
    if subject.by_order and right is not None:
        notes.append(right.in_words())
        right = None if right.by_chance() else right
    return Seen(
        rows=torch.cat(rows).numpy(),
        labels=torch.cat(labels).numpy(),
        num_classes=len(subject.classes),
        layers=[layer.done(len(places)) for layer in layers],
        read=read.done(count, (classifier.in_features,), np.float32),
        weight=None if right is None else right.weight.cpu().numpy(),
        bias=None if right is None or right.bias is None else right.bias.cpu().numpy(),
        by_direction=right is not None and isinstance(classifier, CosineLinear),
        reads_last=last.is_read,
        pool=places.numpy(),
        notes=notes,
    )


@dataclass(frozen=True, eq=False)
class _Batch:
    """Images that are there, normalised, and which of the planned ones they are."""

    images: Tensor
    planned: Tensor


def _batches(
    subject: Subject, careful: Careful, progress: Callable[[Iterable[Any]], Iterable[Any]]
) -> Iterator[_Batch]:
    std = torch.tensor(subject.std, device=subject.device).view(1, -1, 1, 1)
    mean = torch.tensor(subject.mean, device=subject.device).view(1, -1, 1, 1)
    scale, shift = 1 / (255 * std), -mean / std
    layout = memory_format_of(subject.network.module)
    count = 0
    for batch in progress(EvalBatches(careful, subject.rows, BATCH)):
        there = careful.there(batch.rows)
        planned = count + there.nonzero().flatten()
        count += len(there)
        if len(planned):
            images = batch.inputs[there].to(subject.device).to(torch.float32, memory_format=layout)
            yield _Batch(images.mul_(scale).add_(shift), planned)


def _layers(subject: Subject, images: Tensor, folder: Path, width: int) -> list["_Layer"]:
    """What gathers each layer, after a look at what the layers give for a few images."""
    module = subject.network.module
    runs = probe.trace(module, images[:PROBED])[1]
    found = []
    for index, name in enumerate(subject.layers):
        layer = module.get_submodule(name)
        gave = tensor_of(next(run.gave for run in reversed(runs) if run.module is layer))
        assert gave is not None
        axis = axis_of(gave, subject.feature_dim)
        source = source_of(runs, layer, name, subject.feature_dim)
        found.append(_Layer(name, axis, gave.shape[axis], source, folder / f"layer{index}", subject.device))
    pool = min(POOL, len(subject.rows))
    needed = 4 * len(subject.rows) * (width + sum(layer.features for layer in found))
    needed += sum(pool * layer.features * GRID * GRID for layer in found if layer.source is not None)
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OSError(
            f"layers: the activations of {len(subject.rows):,} images take {needed / 2**30:.1f} GiB and "
            f"{str(folder)!r} has {free / 2**30:.1f} GiB left, expected room for them; set TMPDIR to a folder "
            "with more, or inspect fewer layers."
        )
    return found


def _of_pool(count: int) -> Tensor:
    """`[count]` booleans: the images of which maps are kept."""
    chosen = torch.zeros(count, dtype=torch.bool)
    chosen[torch.randperm(count, generator=generator(0, "pool"))[:POOL]] = True
    return chosen


@contextmanager
def _heard(classifier: nn.Linear) -> Iterator[list[Tensor]]:
    heard: list[Tensor] = []

    def hear(_: nn.Module, args: Any) -> None:
        heard[:] = [args[0]]

    handle = classifier.register_forward_pre_hook(hear)
    try:
        yield heard
    finally:
        handle.remove()


class _File:
    """An array that grows at its end, on disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("wb")

    def add(self, values: Tensor) -> None:
        values.cpu().contiguous().numpy().tofile(self._file)

    def done(self, count: int, shape: tuple[int, ...], kind: DTypeLike) -> NDArray[Any]:
        self._file.close()
        if not count:
            return np.empty((0, *shape), kind)
        return np.memmap(self.path, kind, "r", shape=(count, *shape))


class _Layer:
    """Gathers one layer."""

    def __init__(
        self, name: str, axis: int, features: int, source: Source | None, path: Path, device: torch.device
    ) -> None:
        self.name = name
        self.axis = axis
        self.features = features
        self.source = source
        self.count = 0
        self.broken = torch.zeros(features, dtype=torch.bool, device=device)
        self._activation = _File(path.with_suffix(".activation"))
        self._maps = None if source is None else _File(path.with_suffix(".maps"))
        self._rows = torch.full((features, TOP), -1, dtype=torch.int32, device=device)
        self._values = torch.zeros(features, TOP, device=device)
        self._drawn: Tensor | None = None
        self._last = torch.empty(0)
        self._largest, self._apart = 0.0, 0.0

    def add(self, given: dict[str, Tensor], place: int, chosen: Tensor) -> None:
        """Adds a batch: what the modules gave, the place of its first image, and whose maps are kept."""
        found = functional.activation(given[self.name], feature_dim=self.axis).float()
        self.broken |= ~found.isfinite().all(0)
        found = found.nan_to_num(0, 0, 0)
        self._activation.add(found)
        self.count += len(found)
        self._last = found
        maps = None
        if self.source is not None and self._maps is not None:
            maps = positions(given[self.source.module], self.source.axis)
            assert maps is not None
            self._maps.add(drawn(maps[chosen.to(maps.device)], self.source.pooled))
        self._merge(found, place, maps)

    def _merge(self, found: Tensor, place: int, maps: Tensor | None) -> None:
        # stable, and earlier images first, so that equals are kept by their places, whatever the batches
        values = torch.cat([self._values, found.T], 1)
        order = values.sort(dim=1, descending=True, stable=True).indices[:, :TOP]
        self._values = values.gather(1, order)
        places = torch.arange(place, place + len(found), dtype=torch.int32, device=found.device)
        self._rows = torch.cat([self._rows, places.expand(self.features, -1)], 1).gather(1, order)
        if maps is not None and self.source is not None:
            if self._drawn is None:
                side = side_of(maps)
                self._drawn = torch.zeros(self.features, TOP, side, side, dtype=torch.uint8, device=maps.device)
            every = torch.arange(self.features, device=order.device)[:, None]
            self._drawn = self._drawn[every, order.clamp_max(TOP - 1)]
            # the few that are new alone: to draw every image's maps takes longer than some networks
            feature, rank = (order >= TOP).nonzero(as_tuple=True)
            new = maps[order[feature, rank] - TOP, feature]
            self._drawn[feature, rank] = drawn(new, self.source.pooled)

    def compare(self, read: Tensor) -> None:
        """Remembers how far the batch's activations are from what the classifier read, in magnitude."""
        if read.shape != self._last.shape:
            self._apart = float("inf")
            return
        self._largest = max(self._largest, float(self._last.max()))
        self._apart = max(self._apart, float((read.abs() - self._last).abs().max()))

    @property
    def is_read(self) -> bool:
        return self._apart <= 1e-4 * self._largest

    def notes(self) -> list[str]:
        bad = self.broken.nonzero().flatten().tolist()
        if not bad:
            return []
        first = ", ".join(map(str, bad[:5])) + (", ..." if len(bad) > 5 else "")
        return [
            f"{len(bad)} feature(s) of {self.name} gave NaN or infinity on some images and are left out of the "
            f"numbers of features; in decisions such an activation counts as 0: {first}."
        ]

    def done(self, pool: int) -> SeenLayer:
        maps = None
        if self._maps is not None and self._drawn is not None:
            maps = self._maps.done(pool, (self.features, *self._drawn.shape[2:]), np.uint8)
        none = (self._values <= 0).cpu().numpy()
        rows = np.where(none, -1, self._rows.cpu().numpy()).astype(np.int32)
        return SeenLayer(
            name=self.name,
            activation=self._activation.done(self.count, (self.features,), np.float32),
            broken=self.broken.cpu().numpy(),
            top=(rows, self._values.cpu().numpy(), None if self._drawn is None else self._drawn.cpu().numpy()),
            pool_maps=maps,
        )


class _Right:
    """Counts the images that a classifier gets right."""

    def __init__(self, classifier: nn.Linear) -> None:
        self.weight = weight_of(classifier).detach().float()
        self.bias = None if classifier.bias is None else classifier.bias.detach().float()
        self.correct, self.total = 0, 0

    def add(self, read: Tensor, target: Tensor) -> None:
        logits = nn.functional.linear(read, self.weight, self.bias)
        self.correct += int((logits.argmax(1).cpu() == target).sum())
        self.total += len(target)

    def by_chance(self) -> bool:
        """Whether guessing does as well, up to twice its standard deviation."""
        share = 1 / len(self.weight)
        return self.correct <= self.total * share + 2 * sqrt(self.total * share * (1 - share))

    def in_words(self) -> str:
        if self.by_chance():
            return (
                f"The classifier is right for {self.correct:,} of {self.total:,} images, no more than by chance: "
                "its classes are others or in another order than by name, its images were normalised otherwise, "
                "or it has learned nothing."
            )
        return (
            f"The classifier's {len(self.weight):,} outputs are taken for the data's classes in the order of "
            "their names, since weights name no classes."
        )


def _wordless(subject: Subject, planned: list[int]) -> list[str]:
    if not planned:
        return []
    first = subject.images.files[int(subject.rows[planned[0]])]
    return [
        f"{len(planned):,} image(s), for which the classifier reads NaN or infinity alone, are left out; the "
        f"first is {first!r}."
    ]


def _missing(subject: Subject, careful: Careful) -> list[str]:
    gone = sorted(careful.missing)
    if not gone:
        return []
    return [
        f"{len(gone):,} image(s) disappeared or changed while they were read and are left out, the first is "
        f"{subject.images.files[gone[0]]!r}."
    ]
