"""Simulated data of known truth: how often intervals cover, verdicts are false and true differences are found."""

import math

import numpy as np
import pytest
from evidence_cases import arms, judged, judged_by_examples, with_examples

from torchdiscern.lab.evidence import Contrast, Metric, contrasts, interval_of_mean, smallest_difference


def _error(share: float, count: int) -> float:
    """Three standard errors of a binomial share."""
    return 3 * math.sqrt(share * (1 - share) / count)


def _covers(found: Contrast, truth: float = 0.0) -> tuple[bool, bool]:
    ends = found.low, found.high, found.boot_low, found.boot_high
    low, high, boot_low, boot_high = (math.nan if end is None else end for end in ends)
    return low <= truth <= high, boot_low <= truth <= boot_high


@pytest.mark.parametrize("seeds", [5, 10])
def test_intervals_over_seeds_cover(seeds: int) -> None:
    rng, count = np.random.default_rng(seeds), 700
    found = [judged(rng.normal(0.03, 0.01, seeds), seed=run, resamples=400) for run in range(count)]
    by_t, by_bootstrap = np.mean([_covers(one, 0.03) for one in found], axis=0)
    assert by_t == pytest.approx(0.95, abs=_error(0.95, count))
    assert by_bootstrap == pytest.approx(0.943, abs=_error(0.943, count))


@pytest.mark.parametrize("seeds", [5, 10])
@pytest.mark.parametrize(
    ("effects", "most"), [((0.3, 0.0, 1.0), 0.97), ((0.0, 0.0, 1.0), 1.0)], ids=["seeds", "examples"]
)
def test_intervals_cover_where_each_seed_has_its_own_examples(
    seeds: int, effects: tuple[float, float, float], most: float
) -> None:
    rng, count = np.random.default_rng(seeds), 500
    found = [
        judged_by_examples(with_examples(rng, seeds, 40, *effects), seed=run, resamples=400)
        for run in range(count)
    ]
    by_bootstrap = np.mean([_covers(one)[1] for one in found])
    assert 0.945 - _error(0.945, count) < by_bootstrap <= most + _error(most, count)


@pytest.mark.parametrize("seeds", [5, 10])
def test_the_bootstrap_covers_where_all_seeds_have_the_same_examples(seeds: int) -> None:
    rng, count = np.random.default_rng(seeds), 700
    found = [
        judged_by_examples(
            with_examples(rng, seeds, 60, 0.1, 0.5, 1.0), same_examples=True, seed=run, resamples=400
        )
        for run in range(count)
    ]
    by_t, by_bootstrap = np.mean([_covers(one) for one in found], axis=0)
    assert by_bootstrap == pytest.approx(0.95, abs=_error(0.95, count))
    assert by_t < 0.9  # knows the seeds alone
    false = np.mean([one.verdict in ("better", "worse") for one in found])
    assert false < 0.05 + _error(0.05, count)


def test_the_interval_of_a_mean_covers() -> None:
    rng, count = np.random.default_rng(0), 1500
    found = [interval_of_mean(list(rng.normal(0.8, 0.01, 5))) for _ in range(count)]
    covered = np.mean([(one.low or 1) <= 0.8 <= (one.high or 0) for one in found])
    assert covered == pytest.approx(0.95, abs=_error(0.95, count))


def test_no_more_than_one_comparison_of_many_arms_in_twenty_says_better_falsely() -> None:
    rng, count = np.random.default_rng(1), 250
    metrics = {"accuracy": Metric(1, 0.0)}
    false = 0
    for run in range(count):
        base = rng.normal(0, 0.01, 5)  # shared, as by arms against one baseline
        values = arms(**{f"arm{index}": rng.normal(0, 0.01, 5) - base for index in range(8)})
        found = contrasts(values, "ce", metrics, seed=run, resamples=100)
        false += any(one.verdict in ("better", "worse") for one in found)
    assert false / count < 0.05 + _error(0.05, count)


@pytest.mark.parametrize(
    ("truth", "wrong"), [(0.0, {"better", "worse"}), (0.002, {"better", "worse", "equivalent"})]
)
def test_the_named_contrast_is_rarely_judged_falsely(truth: float, wrong: set[str]) -> None:
    rng, count = np.random.default_rng(2), 800
    found = [
        judged(rng.normal(truth, 0.001, 6), seed=run, resamples=100, named=("ours", "accuracy"))
        for run in range(count)
    ]
    assert np.mean([one.verdict in wrong for one in found]) < 0.05 + _error(0.05, count)


@pytest.mark.parametrize("band", [0.0, 0.002])
def test_the_planned_power_is_had(band: float) -> None:
    seeds, spread, count = 8, 0.004, 800
    truth = smallest_difference(seeds, spread, band=band)
    rng = np.random.default_rng(3)
    found = [
        judged(rng.normal(truth, spread, seeds), band=band, seed=run, resamples=400, named=("ours", "accuracy"))
        for run in range(count)
    ]
    # the wider of two intervals costs a little of what the t-test alone would have
    assert (
        0.77 - _error(0.8, count) < np.mean([one.verdict == "better" for one in found]) < 0.8 + _error(0.8, count)
    )


def test_equivalence_is_found_where_it_is() -> None:
    rng, count = np.random.default_rng(4), 200
    found = [judged(rng.normal(0, 0.0005, 8), seed=run, resamples=100).verdict for run in range(count)]
    assert found.count("equivalent") > 0.95 * count
