"""What accuracy loses when a single feature is removed."""

import numpy as np
from numpy.typing import NDArray

from torchdiscern.lab.inspecting.blocks import CELLS, row_blocks

SLACK = 1e-9  # of a logit's size: far above its rounding


def accuracy_change(
    read: NDArray[np.float32], labels: NDArray[np.int64], weight: NDArray[np.float64], bias: NDArray[np.float64]
) -> NDArray[np.float64]:
    """By how much the accuracy of a linear classifier changes when a feature is set to zero, for each.

    Feature j takes `f[i,j] * weight[c,j]` from each logit of image i. That can cost a right prediction p only
    where the largest of `f[i,j] * (weight[p,j] - weight[c,j])` over c reaches the image's margin, and mend a
    wrong one only where that for the label reaches the label's gap. Few pairs of image and feature do; for these
    the logits are computed.

    Args:
        read: what the classifier reads, `[N, F]`, may be on disk.
        labels: `[N]`, of classes whose bias is finite.
        weight: `[C, F]`.
        bias: `[C]`; minus infinity for a class that is never predicted.

    Returns:
        `[F]`, in [-1, 1], below 0 where the feature helps.

    Source: extension.

    Example:
        >>> read = np.array([[1.0, 0.5], [0.5, 2.0]], np.float32)
        >>> accuracy_change(read, np.array([0, 1]), np.array([[3.0, 1.0], [0.0, 2.0]]), np.zeros(2)).tolist()
        [-0.5, -0.5]
    """
    possible = np.isfinite(bias)
    weight, bias, labels = weight[possible], bias[possible], (possible.cumsum() - 1)[labels]
    lowest, highest = weight.min(0), weight.max(0)
    by_feature = np.ascontiguousarray(weight.T)
    changed = np.zeros(read.shape[1], np.int64)
    for rows, features in row_blocks(read):
        logits = features @ by_feature + bias
        label, images = labels[rows], np.arange(len(features))
        predicted = logits.argmax(1)
        right = predicted == label
        first = logits[images, predicted]
        logits[images, predicted] = -np.inf
        gap = first - np.where(right, logits.max(1), logits[images, label])
        logits[images, predicted] = first
        gap -= SLACK * np.abs(logits).max(1)
        own = weight[predicted]
        other = np.where(features > 0, lowest, highest)
        wrong = np.flatnonzero(~right)
        other[wrong] = weight[label[wrong]]
        reach = (own - other) * features
        image, feature = np.nonzero((reach > 0) & (reach >= gap[:, None]))
        step = max(1, CELLS // len(weight))
        for start in range(0, len(image), step):
            i, j = image[start : start + step], feature[start : start + step]
            without = logits[i] - features[i, j, None] * by_feature[j]
            now = without.argmax(1) == label[i]
            changed += np.bincount(j[now & ~right[i]], minlength=len(changed))
            changed -= np.bincount(j[~now & right[i]], minlength=len(changed))
    return changed / len(read)
