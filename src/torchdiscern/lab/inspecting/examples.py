"""Images that show when a feature fires: those that make it fire most, and others beside them."""

import numpy as np
from numpy.typing import NDArray

from torchdiscern.lab.inspecting.seen import Seen, SeenLayer
from torchdiscern.lab.report.contents import Examples
from torchdiscern.lab.seeds import derived

SHOWN = 8


def top_of(layer: SeenLayer) -> Examples:
    """The images that make each feature fire most, most first."""
    rows, activations, maps = layer.top
    return Examples(rows[:, :SHOWN], activations[:, :SHOWN], None if maps is None else maps[:, :SHOWN])


def random_of(seen: Seen, index: int) -> Examples:
    """Any images of the pool, drawn for each feature of a layer by itself.

    Args:
        seen: with the pool.
        index: of the layer.
    """
    rng = np.random.default_rng(derived(0, "examples", index))
    width = seen.layers[index].activation.shape[1]
    order = rng.random((width, len(seen.pool))).argsort(1)[:, :SHOWN]
    return _examples(seen, seen.layers[index], order, np.ones(order.shape, bool))


def middling_of(seen: Seen, index: int, median: NDArray[np.float64]) -> Examples:
    """The images of the pool on which each feature fires nearest to its median.

    Args:
        seen: with the pool.
        index: of the layer.
        median: `[D]`, of the activations above 0, over all images.
    """
    layer = seen.layers[index]
    activation = layer.activation[seen.pool].astype(np.float64)
    apart = np.where(activation > 0, np.abs(activation - median), np.inf).T
    order = apart.argsort(1, kind="stable")[:, :SHOWN]
    return _examples(seen, layer, order, np.take_along_axis(apart, order, 1) < np.inf)


def _examples(seen: Seen, layer: SeenLayer, order: NDArray[np.int64], there: NDArray[np.bool_]) -> Examples:
    """Images of the pool, `[D, at most 8]` places in it; -1 fills up to 8 and stands where none is there."""
    width, found = order.shape
    rows, activations = np.full((width, SHOWN), -1, np.int32), np.zeros((width, SHOWN), np.float32)
    features = np.arange(width)[:, None]
    rows[:, :found] = np.where(there, seen.pool[order], -1)
    activations[:, :found] = np.where(there, layer.activation[seen.pool[order], features], 0)
    maps = None
    if layer.pool_maps is not None:
        maps = np.zeros((width, SHOWN, *layer.pool_maps.shape[2:]), np.uint8)
        maps[:, :found] = np.where(there[..., None, None], layer.pool_maps[order, features], 0)
    return Examples(rows, activations, maps)
