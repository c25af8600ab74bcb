"""Where in an image a feature fires."""

from collections.abc import Sequence
from math import isqrt
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from torchdiscern.lab.networks import probe

GRID = 8


class Source(NamedTuple):
    """The module whose output has the positions of a layer's features.

    Args:
        module: its name.
        axis: of the features in its output.
        pooled: whether the layer itself gives the mean over these positions and has none of its own.
    """

    module: str
    axis: int
    pooled: bool


def axis_of(values: Tensor, feature_dim: int) -> int:
    """The axis of the features in a layer's output.

    Args:
        values: `[B, D]`, `[B, T, D]`, `[B, D, H, W]` or `[B, H, W, D]`.
        feature_dim: of the network, which decides where the shape does not: images are square, and so are maps.
    """
    if values.ndim != 4:
        return -1 if values.ndim == 3 else 1
    first, middle, last = values.shape[1:]
    if (first == middle) != (middle == last):
        return -1 if first == middle else 1
    return feature_dim


def tensor_of(output: object) -> Tensor | None:
    """What a layer gave, as `FeatureTap` takes it."""
    if isinstance(output, tuple | list) and output:
        output = output[0]
    return output if isinstance(output, Tensor) else None


def positions(values: Tensor, axis: int) -> Tensor | None:
    """A layer's output as maps.

    Args:
        values: `[B, D]`, `[B, T, D]` with a class token first or without one, `[B, D, H, W]` or `[B, H, W, D]`.
        axis: of the features.

    Returns:
        `[B, D, H, W]`; None where there is one position alone, or tokens that form no square.
    """
    if values.ndim == 4:
        maps = values.movedim(axis, 1)
        return maps if maps.shape[2] * maps.shape[3] > 1 else None
    if values.ndim != 3:
        return None
    for other in (0, 1):
        tokens = values.shape[1] - other
        side = isqrt(max(tokens, 0))
        if side > 1 and side * side == tokens:
            maps = values[:, other:].transpose(1, 2)
            return maps.reshape(*maps.shape[:2], side, side)
    return None


def source_of(runs: Sequence[probe.Run], layer: nn.Module, name: str, feature_dim: int) -> Source | None:
    """Finds the positions of a layer's features: in its own output, or in what it is the mean of.

    Args:
        runs: of all modules on a few images, as `probe.trace` gives them.
        layer: which has run.
        name: its name.
        feature_dim: of the network.

    Returns:
        None where no module gives maps of this layer's features.
    """
    last = {id(run.module): index for index, run in enumerate(runs)}
    at = last[id(layer)]
    gave = tensor_of(runs[at].gave)
    assert gave is not None
    axis = axis_of(gave, feature_dim)
    if positions(gave, axis) is not None:
        return Source(name, axis, False)
    if gave.flatten(1).shape[1] != gave.shape[axis]:
        return None  # tokens that form no square
    pooled = gave.flatten(1).float()
    whole = pooled.isfinite().all(1)
    if not bool((pooled[whole] != 0).any()):
        return None  # zeros are the mean of anything
    for index in reversed(range(at)):
        run = runs[index]
        values = tensor_of(run.gave)
        if values is None or last[id(run.module)] != index or len(values) != len(pooled):
            continue
        for axis in (1, -1) if values.ndim == 4 else (-1,):
            maps = positions(values, axis)
            if (
                maps is not None
                and maps.shape[1] == pooled.shape[1]
                and _close(maps[whole].mean((2, 3)), pooled[whole])
            ):
                return Source(run.name, axis, True)
    return None


def _close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one.float(), other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))


def drawn(maps: Tensor, pooled: bool) -> Tensor:
    """Where features fire.

    A mean over positions of both signs is made by those that have the mean's sign: the others are silent.

    Args:
        maps: `[B, D, H, W]` or `[n, H, W]`, of `positions`.
        pooled: whether the feature is the mean of its map; otherwise it is the mean of its magnitudes.

    Returns:
        `[B, D, G, G]` or `[n, G, G]`, uint8, G as `side_of` says: each map by its own largest value, which is
        255.
    """
    found = maps.float().nan_to_num(0, 0, 0)
    towards = found.mean((-2, -1), keepdim=True).sign()
    found = (found * towards).clamp_min(0) if pooled else found.abs()
    side = side_of(maps)
    if found.shape[-2:] != (side, side):
        found = adaptive_avg_pool2d(found, side)
    most = found.amax((-2, -1), keepdim=True)
    return torch.where(most > 0, found / most * 255, 0).round().to(torch.uint8)


def side_of(maps: Tensor) -> int:
    """G, the side of a drawn map, at most 8."""
    return min(GRID, max(maps.shape[-2:]))
