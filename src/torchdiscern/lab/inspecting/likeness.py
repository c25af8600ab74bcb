"""Which features go alike."""

import numpy as np
import torch
from numpy.typing import NDArray

from torchdiscern.lab.inspecting.blocks import row_blocks

PRODUCTS = 2**24  # correlations held at once: 64 MB


def most_alike(
    activation: NDArray[np.float32], mean: NDArray[np.float64], constant: NDArray[np.bool_], count: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The features whose activations go most alike: Pearson's correlation over the images.

    Args:
        activation: `[N, D]`, may be on disk.
        mean: `[D]`, of each feature.
        constant: `[D]`, the same on all images, so that it goes with none.
        count: K.

    Returns:
        Features `[D, K]`, most alike first, -1 where there is none, and their correlations `[D, K]` in [-1, 1],
        0 where there is none.

    Example:
        >>> a = np.array([[0, 0, 3], [1, 2, 2], [2, 4, 2]], np.float32)
        >>> nearest, likeness = most_alike(a, a.mean(0, dtype=np.float64), np.zeros(3, bool), 1)
        >>> nearest.ravel().tolist(), likeness[0]
        ([1, 0, 0], array([1.], dtype=float32))
    """
    width = activation.shape[1]
    nearest, likeness = np.full((width, count), -1, np.int32), np.zeros((width, count), np.float32)
    squares = np.zeros(width)
    for _, block in row_blocks(activation):
        squares += np.square(block - mean).sum(0)
    scale = 1 / np.sqrt(np.where(constant, np.inf, squares))
    step, kept = max(1, PRODUCTS // width), min(count, width)
    for start in range(0, width, step):
        columns = slice(start, min(start + step, width))
        found = np.zeros((columns.stop - start, width), np.float32)
        for _, block in row_blocks(activation):
            unit = ((block - mean) * scale).astype(np.float32)
            found += unit[:, columns].T @ unit
        found[:, constant] = -np.inf
        found[constant[columns]] = -np.inf
        found[np.arange(len(found)), np.arange(start, columns.stop)] = -np.inf
        values, at = torch.from_numpy(found).topk(kept, dim=1)
        none = values.isinf()
        nearest[columns, :kept] = at.masked_fill(none, -1).numpy()
        likeness[columns, :kept] = values.masked_fill(none, 0).clamp(-1, 1).numpy()
    return nearest, likeness
