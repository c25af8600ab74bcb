"""How sure a feature's class distribution is: a bootstrap over the images of each class."""

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import stats

REPLICATES = 200
CONFIDENCE = 0.95


def draws_of(begins: NDArray[np.int64], seed: int) -> NDArray[np.uint8]:
    """How often each replicate takes each image, classes resampled one by one to their own size.

    Args:
        begins: `[C + 1]`, where each class begins among images that are ordered by class.
        seed: equal seeds give equal draws.

    Returns:
        `[N, R]` for R replicates.

    Example:
        >>> draws_of(np.array([0, 3, 3, 5]), 0)[:3].sum(0).tolist() == [3] * REPLICATES
        True
    """
    rng = np.random.default_rng(seed)
    found = np.empty((begins[-1], REPLICATES), np.uint8)
    for start, end in pairwise(begins.tolist()):
        for replicate in range(REPLICATES if end > start else 0):
            drawn = rng.integers(end - start, size=end - start)
            found[start:end, replicate] = np.bincount(drawn, minlength=end - start)
    return found


def share_intervals(
    activation: NDArray[np.float32], begins: NDArray[np.int64], draws: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """95% percentile intervals of the features' shares `P`, the images of each class resampled.

    A plain percentile interval is too narrow for few images, as `evidence.bootstrap` says; what the draws of a
    class deviate is stretched by `sqrt(n/(n - 1)) t/z` (Hesterberg), and a mean that falls below 0 by it counts
    as 0. By simulation, with exponential activations of 10 classes, the interval then covers 93% at 5 and at 20
    images a class (82% and 91% without); with features that fire on a third of a class's images 74% and 89%
    (69% and 87%). A class of a single image adds no spread.

    Args:
        activation: `[d, N]`, at least 0, of images ordered by class.
        begins: `[C + 1]`, where each class begins.
        draws: `[N, R]`, of `draws_of`.

    Returns:
        Low and high, `[C, d]`; 0 for a class without images and for a dead feature.

    Source: extension. Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69,
    2015.

    Example:
        >>> begins = np.array([0, 2, 3])
        >>> low, high = share_intervals(np.array([[1.0, 3.0, 2.0]], np.float32), begins, draws_of(begins, 0))
        >>> bool(low[0, 0] < 0.5 < high[0, 0])
        True
    """
    means = np.zeros((len(begins) - 1, len(activation), draws.shape[1]), np.float32)
    for mean, (start, end) in zip(means, pairwise(begins.tolist()), strict=True):
        if end > start:
            weight = 1 + np.float32(_stretch(end - start)) * (draws[start:end].astype(np.float32) - 1)
            np.matmul(activation[:, start:end], weight / np.float32(end - start), out=mean)
    means.clip(0, None, out=means)
    total = means.sum(0)
    means /= np.where(total > 0, total, 1)
    return _ends(means)


@lru_cache(maxsize=1024)  # asked for every class of every block
def _stretch(images: int) -> float:
    if images < 2:
        return 1.0
    quantile = (1 + CONFIDENCE) / 2
    return math.sqrt(images / (images - 1)) * float(stats.t.ppf(quantile, images - 1) / stats.norm.ppf(quantile))


def _ends(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What `np.quantile` gives along the last axis, in place and in a fraction of its time."""
    last = values.shape[-1] - 1
    places = [last * (1 - CONFIDENCE) / 2, last * (1 + CONFIDENCE) / 2]
    values.partition([near for place in places for near in (math.floor(place), math.ceil(place))], axis=-1)
    low, high = (
        values[..., math.floor(place)] * np.float32(1 - place % 1)
        + values[..., math.ceil(place)] * np.float32(place % 1)
        for place in places
    )
    return low, high
