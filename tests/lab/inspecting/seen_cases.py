"""What a pass over random images might have left, for the tests of its statistics."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchdiscern.lab.inspecting.seen import Seen, SeenLayer

GRID = 2
TOP = 12


def seen_of(
    read: NDArray[Any],
    labels: list[int] | NDArray[Any],
    num_classes: int,
    *,
    weight: NDArray[Any] | None = None,
    bias: NDArray[Any] | None = None,
    by_direction: bool = False,
    reads_last: bool = True,
    pool: list[int] | None = None,
    maps: bool = True,
    earlier: NDArray[Any] | None = None,
    broken: Sequence[int] = (),
) -> Seen:
    """One layer, whose activations are the magnitudes of what is read, or two."""
    read = np.asarray(read, np.float32)
    places = np.arange(len(read)) if pool is None else np.array(pool)
    layers = [layer_of("last", np.abs(read), len(places), maps, broken)]
    if earlier is not None:
        layers.insert(0, layer_of("earlier", np.asarray(earlier, np.float32), len(places), maps))
    return Seen(
        rows=10 * np.arange(len(read)),
        labels=np.asarray(labels, np.int64),
        num_classes=num_classes,
        layers=layers,
        read=read,
        weight=None if weight is None else np.asarray(weight, np.float32),
        bias=None if bias is None else np.asarray(bias, np.float32),
        by_direction=by_direction,
        reads_last=reads_last,
        pool=places.astype(np.int64),
    )


def layer_of(
    name: str, activation: NDArray[np.float32], pool: int, maps: bool, broken: Sequence[int] = ()
) -> SeenLayer:
    width = activation.shape[1]
    rng = np.random.default_rng(width)
    order = np.full((width, TOP), -1, np.int32)
    values = np.zeros((width, TOP), np.float32)
    found = (-activation).argsort(0, kind="stable")[:TOP].T
    order[:, : found.shape[1]] = found
    values[:, : found.shape[1]] = np.take_along_axis(activation.T, found, 1)
    order[values <= 0] = -1
    return SeenLayer(
        name=name,
        activation=activation,
        broken=np.isin(np.arange(width), broken),
        top=(order, values, rng.integers(256, size=(width, TOP, GRID, GRID)).astype(np.uint8) if maps else None),
        pool_maps=rng.integers(256, size=(pool, width, GRID, GRID)).astype(np.uint8) if maps else None,
    )


def random_seen(
    seed: int, images: int = 60, features: int = 7, classes: int = 4, *, own: bool = False, **settings: Any
) -> Seen:
    """Signed features of which some are silent and one is dead, that tell the classes apart in part; the last
    class has no image."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes - 1, size=images)
    read = 0.7 * rng.normal(size=(classes, features))[labels] + rng.normal(size=(images, features))
    read[rng.random(read.shape) < 0.3] = 0
    read[:, features // 2] = 0
    weight = rng.normal(size=(classes, features)) if own else None
    return seen_of(
        read, labels, classes, weight=weight, bias=rng.normal(size=classes) if own else None, **settings
    )


EDGES: dict[str, Seen] = {
    "one class": seen_of(np.array([[1.0, 0.0], [2.0, 3.0]]), [0, 0], 1),
    "one class, own": seen_of(
        np.array([[1.0, 0.0], [2.0, 3.0]]), [0, 0], 1, weight=np.ones((1, 2)), bias=np.ones(1)
    ),
    "one class with images": seen_of(np.array([[1.0, 0.0], [2.0, 3.0]]), [1, 1], 3),
    "a class without images": seen_of(np.array([[1.0, 0.0], [2.0, 3.0], [0.0, 2.0]]), [0, 2, 2], 3),
    "an image a class": seen_of(np.eye(4), [0, 1, 2, 3], 4),
    "one feature": seen_of(np.array([[1.0], [2.0], [0.0]]), [0, 1, 1], 2, maps=False),
    "one feature, own": seen_of(np.array([[1.0], [2.0], [0.0]]), [0, 1, 1], 2, weight=np.array([[1.0], [-1.0]])),
    "all dead": seen_of(np.zeros((5, 3)), [0, 1, 1, 0, 2], 4),
    "all dead, own": seen_of(np.zeros((5, 3)), [0, 1, 1, 0, 2], 4, weight=np.ones((4, 3)), bias=np.zeros(4)),
    "one image": seen_of(np.array([[1.0, -2.0, 0.0]]), [1], 2),
    "one image, one feature, one class": seen_of(np.array([[3.0]]), [0], 1),
    "huge": seen_of(np.array([[3e38, 3e38], [3e38, 1.0], [2e38, 0.0]]), [0, 1, 1], 2),
    "tiny": seen_of(np.array([[1e-44, 3e-40], [1e-42, 0.0], [0.0, 2e-39]]), [0, 1, 1], 2),
    "a pool of one": seen_of(np.ones((3, 2)), [0, 1, 1], 2, pool=[1]),
}
