"""What one pass over the images leaves of a network: what its statistics are computed from."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Small = NDArray[np.float32]
Rows = NDArray[np.int32]
Places = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SeenLayer:
    """One tapped layer of D features; N images were seen, a place is one of `0..N-1`.

    Args:
        name: of the layer in the network.
        activation: `[N, D]`, mean over the positions of a feature's absolute values, as `functional.activation`
            gives; 0 where that is NaN or infinite. On disk.
        broken: `[D]`, whether it was NaN or infinite on some image.
        top: the K images that each feature fires for most, most first and of equals the earlier: their places
            `[D, K]`, activations `[D, K]` and maps `[D, K, G, G]`, None where the layer has no positions. A place
            of -1 stands for no image, where a feature fires on fewer than K.
        pool_maps: `[n, D, G, G]`, maps of the images in `Seen.pool`; None where the layer has no positions. On
            disk.

    A map says where in the image a feature fires: 255 at its largest value on that image, 0 where it is silent.
    """

    name: str
    activation: Small
    broken: Flags
    top: tuple[Rows, Small, Bytes | None]
    pool_maps: Bytes | None


@dataclass(frozen=True, eq=False)
class Seen:
    """N images as a network saw them.

    Args:
        rows: `[N]`, of the images in `Subject.images`; places count these.
        labels: `[N]`, in `[0, num_classes)`.
        num_classes: C.
        layers: those inspected, in the network's order.
        read: `[N, F]`, what the classifier read, with its sign; 0 where that is NaN or infinite. On disk.
        weight: `[C, F]`, whose products with `read`, with `bias` added, are the network's logits; None where it
            was made for other classes.
        bias: `[C]`, None where there is none.
        by_direction: whether the logits are those of `read` at a length of 1, as classifiers of cosines have it.
        reads_last: whether the classifier reads the last layer's features, one to one.
        pool: `[n]`, the places, ascending, of which maps are kept, drawn at random.
        notes: what the reader must know, in sentences.
    """

    rows: Places
    labels: Places
    num_classes: int
    layers: list[SeenLayer]
    read: Small
    weight: Small | None
    bias: Small | None
    by_direction: bool
    reads_last: bool
    pool: Places
    notes: list[str] = field(default_factory=list)
