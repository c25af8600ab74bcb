"""A bootstrap of two levels: seeds, and the test examples of each."""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from torchdiscern.lab.evidence.intervals import NO_SPREAD, Numbers

CELLS = 4_000_000  # numbers drawn at once, so that large test sets do not fill the memory


def bootstrap_interval(
    differences: Numbers,
    examples: Sequence[Numbers] | None,
    *,
    same_examples: bool,
    confidence: float,
    resamples: int,
    seed: int,
    scale: float,
) -> tuple[float, float] | tuple[None, None]:
    """Percentile interval of a mean over seeds, resampled by seeds and by test examples, widened for few seeds.

    A plain percentile interval is too narrow for few seeds: it takes the variance as (n - 1)/n of what it is and
    knows nothing of Student's t. The deviations are therefore stretched by sqrt(n/(n - 1)) t/z (Hesterberg). And
    a seed's difference holds the luck of its test examples already, so that resampling both levels would count it
    twice: the seeds' deviations are shrunk by the share of their variance that the examples explain (Davison and
    Hinkley). By simulation the interval of 95% covers 94% at 5 seeds and 94.5% at 10, and more than 95% where
    each seed has its own examples and they explain most of the variance.

    Where all seeds have the same examples, their luck does not show in the spread over seeds at all; one
    resampled set of examples for all seeds is then added to the resampled seeds, each level alone, and the
    interaction counted once.

    Args:
        differences: `[n]`, of each seed.
        examples: `[m]` of each seed, the differences of the test examples; None resamples seeds alone.
        same_examples: the examples are the same in all seeds, in the same order.
        confidence: of the interval.
        resamples: how many.
        seed: equal seeds give equal intervals.
        scale: size of the numbers, by which rounding is told from a spread.

    Returns:
        Low and high; None for one seed, the point itself where nothing varies.

    Source:
        Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8 (hierarchical data).
        Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69, 2015.
        Owen, The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007 (crossed data).
    """
    n = len(differences)
    if n < 2:
        return None, None
    rng = np.random.default_rng(seed)
    mean = float(differences.mean())
    # arm and baseline swapped then draw the same numbers, and their intervals mirror each other exactly
    sign = -1.0 if mean < 0 else 1.0
    centred = sign * (differences - mean)
    variance = float(differences.var(ddof=1))
    stretch = float(stats.t.ppf((1 + confidence) / 2, n - 1) / stats.norm.ppf((1 + confidence) / 2))
    chosen = rng.integers(n, size=(resamples, n))
    explained = 0.0
    within = np.zeros(resamples)
    if examples is not None and same_examples:
        table = np.stack(examples)
        of_example = sign * table.mean(axis=0)
        residual = table - sign * of_example - table.mean(axis=1, keepdims=True) + table.mean()
        explained = float((residual**2).sum()) / (n - 1) / max(table.shape[1] - 1, 1) / table.shape[1]
        within = _resampled_means(of_example, resamples, rng) - of_example.mean()
    elif examples is not None:
        explained = float(np.mean([one.var() / len(one) for one in examples]))
        means = np.empty(chosen.shape)
        for index, one in enumerate(examples):
            places = chosen == index
            means[places] = _resampled_means(sign * one, int(places.sum()), rng) - sign * one.mean()
        # unstretched, 5 seeds would cover 92% where both levels matter
        within = stretch * means.mean(axis=1)
    own = max(0.0, 1 - explained / variance) if variance > 0 else 0.0
    between = stretch * math.sqrt(own * n / (n - 1)) * centred[chosen].mean(axis=1)
    ends = np.quantile(between + within, [(1 - confidence) / 2, (1 + confidence) / 2])
    if ends[1] - ends[0] <= NO_SPREAD * scale:
        return mean, mean
    low, high = sorted(float(sign * end) + mean for end in ends)
    return low, high


def _resampled_means(values: Numbers, size: int, rng: np.random.Generator) -> Numbers:
    """Means of `size` resamples of the values, with replacement."""
    levels, counts = np.unique(values, return_counts=True)
    if len(levels) * 16 <= len(values):
        # the same distribution as by drawing one by one, and fast: right or wrong differ by -1, 0 or 1
        drawn = rng.multinomial(len(values), counts / len(values), size)
        return np.asarray(drawn @ levels / len(values), dtype=np.float64)
    rows = max(1, CELLS // len(values))
    found = [
        values[rng.integers(len(values), size=(min(rows, size - start), len(values)), dtype=np.int32)].mean(
            axis=1
        )
        for start in range(0, size, rows)
    ]
    return np.concatenate(found) if found else np.empty(0)
