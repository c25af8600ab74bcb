"""Small pictures of the images, made when a page asks for them."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from torchdiscern.lab.data import Images
from torchdiscern.lab.inspecting.careful import Careful

SIDE, LARGE = 64, 128
FEW = 2_000  # images, of which large thumbnails weigh about 10 MB

Thumbnails = Callable[[NDArray[np.int32]], tuple[NDArray[np.uint8], NDArray[np.bool_]]]


def thumbnails_of(images: Images, rows: NDArray[np.int64]) -> Thumbnails:
    """What makes thumbnails, as `Contents.thumbnails` wants it.

    Args:
        images: where they are read.
        rows: `[N]`, the image at each place.

    Returns:
        Places `[n]` to pixels `[n, S, S, 3]`, uint8, S at most 64, or 128 of few images, and to `[n]`
        booleans, False for an image that has disappeared or changed since, and for a place of -1; their pixels
        are black.
    """
    side = min(LARGE if len(rows) <= FEW else SIDE, images.pixels.shape[-1])

    def thumbnails(places: NDArray[np.int32]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        found = np.zeros((len(places), side, side, 3), np.uint8)
        there = np.asarray(places) >= 0
        careful = Careful(images.pixels)
        for place in np.flatnonzero(there):
            row = torch.tensor([rows[places[place]]])
            pixels = careful[row][0].permute(1, 2, 0).numpy()
            there[place] = bool(careful.there(row))
            found[place] = _small(pixels, side)
        return found, there

    return thumbnails


def _small(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """`[S, S, 1 or 3]` to `[side, side, 3]`."""
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    if pixels.shape[0] == side:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS), dtype=np.uint8)
