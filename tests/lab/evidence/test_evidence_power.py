import math
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from statsmodels.stats.power import TTestPower

from torchdiscern.lab.evidence import seeds_needed, smallest_difference


@pytest.mark.parametrize("seeds", [5, 10, 30])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_the_smallest_difference_is_that_of_statsmodels(seeds: int, power: float) -> None:
    expected = TTestPower().solve_power(nobs=seeds, alpha=0.05, power=power)
    assert smallest_difference(seeds, 0.5, power) == pytest.approx(0.5 * expected, rel=1e-3)


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
@pytest.mark.parametrize("power", [0.3, 0.8, 0.9, 0.999])
def test_the_power_by_integration(seeds: int, power: float) -> None:
    shift = smallest_difference(seeds, 1.0, power) * math.sqrt(seeds)
    critical = float(stats.t.ppf(0.975, seeds - 1))

    def given_spread(quantile: float) -> float:
        spread = math.sqrt(float(stats.chi2.ppf(quantile, seeds - 1)) / (seeds - 1))
        return float(stats.norm.sf(critical * spread - shift))

    assert integrate.quad(given_spread, 0, 1, limit=200)[0] == pytest.approx(power, abs=1e-3)


@pytest.mark.parametrize("effect", [0.2, 0.4, 1.0])
def test_the_seeds_needed_are_those_of_statsmodels(effect: float) -> None:
    expected = TTestPower().solve_power(effect_size=effect, alpha=0.05, power=0.8)
    assert seeds_needed(0.5 * effect, 0.5) == math.ceil(expected)
    assert seeds_needed(-0.5 * effect, 0.5) == math.ceil(expected)


@pytest.mark.parametrize("effect", [2.0, 10.0, 1e6])
def test_never_fewer_than_give_a_verdict(effect: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert seeds_needed(effect, 1.0) == 5


def test_the_band_comes_on_top() -> None:
    assert smallest_difference(10, 0.5, band=0.2) == pytest.approx(0.2 + smallest_difference(10, 0.5))
    assert seeds_needed(0.5, 0.5, band=0.2) == seeds_needed(0.3, 0.5)


@given(st.integers(5, 300), st.floats(0.01, 10), st.floats(0.3, 0.99))
@settings(max_examples=30, deadline=None)
def test_one_inverts_the_other(seeds: int, spread: float, power: float) -> None:
    difference = smallest_difference(seeds, spread, power)
    assert seeds_needed(difference, spread, power) == seeds
    assert (
        seeds_needed(1.2 * difference, spread, power) <= seeds <= seeds_needed(0.99 * difference, spread, power)
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: smallest_difference(1, 0.5), "seeds: got 1, expected a whole number from 2 on"),
        (lambda: smallest_difference(True, 0.5), "seeds: got True"),
        (lambda: smallest_difference(5, 0.0), "spread: got 0.0, expected a finite standard deviation above 0"),
        (lambda: smallest_difference(5, math.nan), "spread: got nan"),
        (
            lambda: smallest_difference(5, 0.5, power=0.05),
            r"power: got 0.05, expected .* between alpha \(0.05\) and",
        ),
        (lambda: smallest_difference(5, 0.5, alpha=5), "alpha: got 5, expected a number between 0 and 1"),
        (lambda: smallest_difference(5, 0.5, band=-1), "band: got -1, expected a finite number of at least 0"),
        (lambda: seeds_needed(0.0, 0.5), "difference: got 0.0, expected a finite one beyond 0 to either side"),
        (lambda: seeds_needed(-0.2, 0.5, band=0.2), "difference: got -0.2, expected a finite one beyond 0.2"),
        (lambda: seeds_needed(math.inf, 0.5), "difference: got inf"),
    ],
)
def test_errors_say_what_to_do(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
