"""The paired t-test of one measure, where no more is asked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy import stats

FLOAT32 = 1e-6  # relative; differences that are equal but for the rounding of float32 have no spread


@dataclass(frozen=True)
class PairedDifference:
    """Mean difference of paired values with its interval.

    `low`, `high` and `p` are NaN where the pairs say nothing of the spread: one alone, or all differences equal.
    """

    difference: float
    low: float
    high: float
    p: float

    @property
    def verdict(self) -> str:
        """`"higher"`, `"lower"`, `"no difference shown"` or, without a spread, `"too few seeds to say"`."""
        if math.isnan(self.low):
            return "too few seeds to say"
        if self.low > 0:
            return "higher"
        return "lower" if self.high < 0 else "no difference shown"


def paired_difference(
    values: Sequence[float], baseline: Sequence[float], confidence: float = 0.95
) -> PairedDifference:
    """Mean of `values - baseline`, pair by pair, with the interval and p-value of the paired t-test.

    Args:
        values: one number a seed.
        baseline: the baseline's numbers of the same seeds, in the same order.
        confidence: of the interval.

    Raises:
        ValueError: not as many values as in the baseline, or none.

    Example:
        >>> paired_difference([2.0, 3.0, 4.0], [1.0, 1.0, 1.0]).difference
        2.0
    """
    if len(values) != len(baseline):
        raise ValueError(
            f"values: got {len(values)} for {len(baseline)} of the baseline, expected pairs of the same seeds; "
            "leave out seeds that one of them lacks."
        )
    differences = [value - base for value, base in zip(values, baseline, strict=True)]
    if not differences:
        raise ValueError("values: got none, expected at least one pair; run at least one seed.")
    mean = fmean(differences)
    rounding = FLOAT32 * max(map(abs, (*values, *baseline)))
    if len(differences) == 1 or stdev(differences) <= rounding:
        return PairedDifference(mean, math.nan, math.nan, math.nan)
    test = stats.ttest_1samp(differences, 0.0)
    interval = test.confidence_interval(confidence)
    return PairedDifference(mean, float(interval.low), float(interval.high), float(test.pvalue))
