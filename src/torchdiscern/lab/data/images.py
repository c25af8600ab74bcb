"""Labelled images, in memory or read from their files when they are asked for."""

import hashlib
import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from torchdiscern.lab.data.decode import NoImageError, decode, digest, in_threads
from torchdiscern.lab.data.findings import Finding
from torchdiscern.lab.files import available_memory


@dataclass(frozen=True, eq=False)
class StoredPixels:
    """Images that stay in their files: `stored[rows]` reads those rows, to the pixels memory would hold.

    Args:
        paths: N files.
        size: S, pixels a side.
        digests: of each image's pixels `[3, S, S]`, as they were when the folder was read.
    """

    paths: list[Path]
    size: int
    digests: list[bytes]

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), 3, self.size, self.size))

    def __getitem__(self, rows: Tensor) -> Tensor:
        chosen = torch.arange(len(self))[rows]  # so that masks and negative rows mean what they mean to a tensor
        pixels = np.empty((chosen.numel(), *self.shape[1:]), np.uint8)
        for place, image in enumerate(in_threads(self._read, chosen.flatten().tolist())):
            pixels[place] = image
        return torch.from_numpy(pixels).view(*chosen.shape, *self.shape[1:])

    def _read(self, row: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
        try:
            pixels = decode(self.paths[row], self.size).pixels
        except NoImageError as error:
            raise ValueError(self._changed(row)) from error
        if digest(pixels.tobytes()) != self.digests[row]:
            raise ValueError(self._changed(row))
        return pixels

    def _changed(self, row: int) -> str:
        return (
            f"data: {str(self.paths[row])!r} is another than when the folder was read, expected images that stay "
            "as they are; start again."
        )


@dataclass(frozen=True, eq=False)
class Images:
    """Labelled images.

    Args:
        name: where they come from, for people.
        pixels: `[N, channels, S, S]`, uint8; `pixels[rows]` gives a tensor for `rows` of int64, in memory or not.
        labels: `[N]`, indices into `classes`.
        classes: the C classes' names.
        files: N unique names: paths in the folder, or numbers.
        parts: the rows of `"train"`, `"val"` and `"test"` where the source has such parts.
        coarse: `[C]`, the coarse class of each class, where the set has some.
        coarse_classes: the coarse classes' names.
        findings: what was found and done on reading.

    Example:
        >>> from torchdiscern.lab.data import digits
        >>> images = digits()
        >>> images.pixels.shape, len(images.classes), images.files[-1]
        (torch.Size([1797, 1, 8, 8]), 10, '1796')
    """

    name: str
    pixels: Tensor | StoredPixels
    labels: Tensor
    classes: list[str]
    files: list[str] = field(default_factory=list)
    parts: dict[str, Tensor] = field(default_factory=dict)
    coarse: Tensor | None = None
    coarse_classes: list[str] = field(default_factory=list)
    findings: tuple[Finding, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """The same for the same pixels, labels, class names and parts, in memory or not."""
        parts = {name: rows.tolist() for name, rows in self.parts.items()}
        shape = list(self.pixels.shape)
        whole = hashlib.sha256(json.dumps([self.classes, shape, self.labels.tolist(), parts]).encode())
        if isinstance(self.pixels, StoredPixels):
            digests = self.pixels.digests
        else:
            digests = [digest(row.tobytes()) for row in self.pixels.numpy()]
        for one in digests:
            whole.update(one)
        return whole.hexdigest()[:16]

    def tensor(self) -> Tensor:
        """All pixels at once, `[N, channels, S, S]`; they have to fit into memory."""
        if isinstance(self.pixels, StoredPixels):
            return self.pixels[torch.arange(len(self.pixels))]
        return self.pixels


def fits_in_memory(needed: int) -> bool:
    """Whether so many bytes take at most half of the memory that is free now."""
    return needed <= available_memory() / 2
