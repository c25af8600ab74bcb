import math

import numpy as np
import pytest
from scipy import stats

from torchdiscern.lab.evidence import paired_difference


def test_is_the_paired_t_test() -> None:
    values, baseline = [3.1, 2.9, 3.4, 3.3, 3.0], [2.8, 2.9, 3.1, 3.1, 2.6]
    found = paired_difference(values, baseline)
    expected = stats.ttest_rel(values, baseline)
    interval = expected.confidence_interval(0.95)
    assert found.difference == pytest.approx(0.24)
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, expected.pvalue))
    assert found.verdict == "higher"
    assert paired_difference(baseline, values).verdict == "lower"


def test_a_wide_interval_shows_no_difference() -> None:
    assert paired_difference([1.0, 3.0, 0.0], [0.0, 1.0, 2.0]).verdict == "no difference shown"


def test_one_pair_is_too_few() -> None:
    found = paired_difference([2.0], [1.0])
    assert found.difference == 1
    assert math.isnan(found.low)
    assert found.verdict == "too few seeds to say"


@pytest.mark.parametrize("gain", [0.0, 0.1])
def test_equal_differences_are_no_certainty(gain: float) -> None:
    found = paired_difference([1.0 + gain, 2.0 + gain], [1.0, 2.0])
    assert found.difference == pytest.approx(gain)
    assert math.isnan(found.low)
    assert math.isnan(found.p)
    assert found.verdict == "too few seeds to say"


def test_unpaired_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="values: got 1 for 2 of the baseline"):
        paired_difference([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="values: got none"):
        paired_difference([], [])


def test_differences_that_are_equal_but_for_the_rounding_of_float32_say_nothing_of_the_spread() -> None:
    right = np.array([881, 892])  # of 899 images
    values, baseline = ((images / np.float32(899)).astype(np.float32).tolist() for images in (right + 1, right))
    assert values[0] - baseline[0] != values[1] - baseline[1]
    found = paired_difference(values, baseline)
    assert found.difference == pytest.approx(1 / 899, rel=1e-3)
    assert math.isnan(found.low)
    assert math.isnan(found.p)
