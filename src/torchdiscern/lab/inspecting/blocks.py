"""Arrays that may not fit in memory, read a block at a time."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

CELLS = 2**20  # numbers in a block of rows: 8 MB of float64


def row_blocks(array: NDArray[np.float32]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Blocks of whole rows, with the rows that they are.

    Args:
        array: `[N, D]`, may be on disk.

    Example:
        >>> [(rows, block.tolist()) for rows, block in row_blocks(np.ones((2, 1), np.float32))]
        [(slice(0, 2, None), [[1.0], [1.0]])]
    """
    count, width = array.shape
    step = max(1, CELLS // max(1, width))
    for start in range(0, count, step):
        rows = slice(start, min(start + step, count))
        yield rows, array[rows].astype(np.float64)


def small(values: Tensor) -> NDArray[np.float32]:
    """The values as float32, finite ones finite still.

    Example:
        >>> import torch
        >>> small(torch.tensor([1e99], dtype=torch.float64)).tolist()
        [3.4028234663852886e+38]
    """
    largest = float(np.finfo(np.float32).max)
    return values.clamp(-largest, largest).float().numpy()


def strongest(parts: Tensor, count: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The columns with the largest parts above 0 in each row, largest first.

    Args:
        parts: `[n, D]`.
        count: K.

    Returns:
        Columns `[n, K]`, -1 for none, and their parts `[n, K]`, 0 for none.

    Example:
        >>> import torch
        >>> strongest(torch.tensor([[0.0, 1.0, 3.0, -2.0]]), 3)[0].tolist()
        [[2, 1, -1]]
    """
    shape = (len(parts), count)
    columns, values = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
    largest, at = parts.topk(min(count, parts.shape[1]), dim=1)
    none = largest <= 0
    columns[:, : at.shape[1]] = at.masked_fill(none, -1).numpy()
    values[:, : at.shape[1]] = small(largest.masked_fill(none, 0))
    return columns, values


def places_by_class(labels: NDArray[np.int64], num_classes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Images in the order of their classes, `[N]`, and where in it each class begins, `[C + 1]` with the end.

    Example:
        >>> order, begins = places_by_class(np.array([2, 0, 2]), 3)
        >>> order.tolist(), begins.tolist()
        ([1, 0, 2], [0, 1, 1, 3])
    """
    counts = np.bincount(labels, minlength=num_classes)
    return np.argsort(labels, kind="stable"), np.concatenate([[0], counts.cumsum()])
