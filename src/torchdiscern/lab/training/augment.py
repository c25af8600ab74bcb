"""Augmentation of whole batches on their device, from numbers that were drawn before."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, pad

DRAWS = 5  # numbers that each image needs


class Move(NamedTuple):
    """What one augmentation does."""

    flip: bool = False
    shift: bool = False
    resize: bool = False


MOVES = {
    "none": Move(),
    "flip": Move(flip=True),
    "shift": Move(shift=True),
    "shift-flip": Move(flip=True, shift=True),
    "resized-crop": Move(flip=True, resize=True),
}


def augmented(images: Tensor, how: str, draws: Tensor) -> Tensor:
    """Moves each image of a batch by its own numbers, so that the same numbers give the same images anywhere.

    Args:
        images: `[B, channels, S, S]`, uint8.
        how: one of `MOVES`.
        draws: `[B, 5]`, uniform in [0, 1), on the images' device.

    Returns:
        Images of the same shape, uint8; floats in [0, 255] of `"resized-crop"`.

    Example:
        >>> images = torch.arange(9, dtype=torch.uint8).view(1, 1, 3, 3)
        >>> augmented(images, "flip", torch.tensor([[0.2, 0, 0, 0, 0]]))[0, 0, 0]
        tensor([2, 1, 0], dtype=torch.uint8)
    """
    move = MOVES[how]
    if move.shift:
        images = _shifted(images, draws[:, 1], draws[:, 2])
    flipped = draws[:, 0] < 0.5
    if move.resize:
        return _resized(images, flipped, draws)
    if move.flip:
        images = torch.where(flipped.view(-1, 1, 1, 1), images.flip(3), images)
    return images


def _shifted(images: Tensor, down: Tensor, right: Tensor) -> Tensor:
    """A crop of the same size after padding by an eighth of the side with black."""
    size = images.shape[2]
    border = max(1, size // 8)
    places = 2 * border + 1
    windows = pad(images, [border] * 4).unfold(2, size, 1).unfold(3, size, 1)
    rows = torch.arange(len(images), device=images.device)
    return windows[rows, :, (down * places).long(), (right * places).long()]


def _resized(images: Tensor, flipped: Tensor, draws: Tensor) -> Tensor:
    """A part of a quarter to all of the area, sides at most a third apart, scaled to the whole."""
    area, slant = 0.25 + 0.75 * draws[:, 1], (draws[:, 2] - 0.5) * 2 * torch.log(torch.tensor(4 / 3))
    high = (area.sqrt() * (slant / 2).exp()).clamp_max(1)
    wide = (area.sqrt() * (-slant / 2).exp()).clamp_max(1)
    where = torch.zeros(len(images), 2, 3, device=images.device)
    where[:, 0, 0] = torch.where(flipped, -wide, wide)
    where[:, 0, 2] = (1 - wide) * (2 * draws[:, 3] - 1)
    where[:, 1, 1] = high
    where[:, 1, 2] = (1 - high) * (2 * draws[:, 4] - 1)
    grid = affine_grid(where, list(images.shape), align_corners=False)
    return grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
