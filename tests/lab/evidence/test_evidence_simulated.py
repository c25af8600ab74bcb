"""Simulated data of known truth: how often intervals cover, verdicts are false and true differences are found."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from evidence_cases import Numbers, arms, frozen_heap, judged, with_examples  # noqa: F401

from torchdiscern.lab.evidence import Metric, contrasts, interval_of_mean, smallest_difference
from torchdiscern.lab.evidence.bootstrap import bootstrap_interval


def _error(share: float, count: int) -> float:
    """Three standard errors of a binomial share."""
    return 3 * math.sqrt(share * (1 - share) / count)


def _coverage(truth: float, tables: Sequence[Numbers], **settings: Any) -> tuple[float, float]:
    """The share of intervals, by t and by the bootstrap, that hold the truth; tables `[seeds, examples]`."""
    by_t = by_bootstrap = 0
    for run, table in enumerate(tables):
        own = table.mean(axis=1)
        known = interval_of_mean(list(own))
        by_t += (known.low or math.inf) <= truth <= (known.high or -math.inf)
        examples = list(table) if table.shape[1] > 1 else None
        low, high = bootstrap_interval(
            own,
            examples,
            **{"same_examples": False} | settings,
            confidence=0.95,
            resamples=500,
            seed=run,
            scale=1.0,
        )
        by_bootstrap += (low or math.inf) <= truth <= (high or -math.inf)
    return by_t / len(tables), by_bootstrap / len(tables)


@pytest.mark.parametrize("seeds", [5, 10])
def test_intervals_over_seeds_cover(seeds: int) -> None:
    rng, count = np.random.default_rng(seeds), 2000
    by_t, by_bootstrap = _coverage(0.03, [rng.normal(0.03, 0.01, (seeds, 1)) for _ in range(count)])
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
    _, by_bootstrap = _coverage(0.0, [with_examples(rng, seeds, 40, *effects) for _ in range(count)])
    assert 0.945 - _error(0.945, count) < by_bootstrap <= most + _error(most, count)


@pytest.mark.parametrize("seeds", [5, 10])
def test_the_bootstrap_covers_where_all_seeds_have_the_same_examples(seeds: int) -> None:
    rng, count = np.random.default_rng(seeds), 1000
    tables = [with_examples(rng, seeds, 60, 0.1, 0.5, 1.0) for _ in range(count)]
    by_t, by_bootstrap = _coverage(0.0, tables, same_examples=True)
    assert by_bootstrap == pytest.approx(0.95, abs=_error(0.95, count))
    assert by_t < 0.9  # knows the seeds alone


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
        found = contrasts(values, "ce", metrics, seed=run, resamples=10)
        false += any(one.verdict in ("better", "worse") for one in found)
    assert false / count < 0.05 + _error(0.05, count)


@pytest.mark.parametrize(
    ("truth", "wrong"), [(0.0, {"better", "worse"}), (0.002, {"better", "worse", "equivalent"})]
)
def test_the_named_contrast_is_rarely_judged_falsely(truth: float, wrong: set[str]) -> None:
    rng, count = np.random.default_rng(2), 600
    found = [
        judged(rng.normal(truth, 0.001, 6), seed=run, resamples=10, named=("ours", "accuracy"))
        for run in range(count)
    ]
    assert np.mean([one.verdict in wrong for one in found]) < 0.05 + _error(0.05, count)


@pytest.mark.parametrize("band", [0.0, 0.002])
def test_the_planned_power_is_had(band: float) -> None:
    seeds, spread, count = 8, 0.004, 600
    truth = smallest_difference(seeds, spread, band=band)
    rng = np.random.default_rng(3)
    found = [
        judged(rng.normal(truth, spread, seeds), band=band, seed=run, resamples=10, named=("ours", "accuracy"))
        for run in range(count)
    ]
    assert np.mean([one.verdict == "better" for one in found]) == pytest.approx(0.8, abs=_error(0.8, count))


def test_equivalence_is_found_where_it_is() -> None:
    rng, count = np.random.default_rng(4), 200
    found = [judged(rng.normal(0, 0.0005, 8), seed=run, resamples=10).verdict for run in range(count)]
    assert found.count("equivalent") > 0.95 * count
