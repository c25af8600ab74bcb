"""The bootstrap of two levels against drawing one by one and against what its variance should be."""

import time
from typing import Any

import numpy as np
import pytest
from evidence_cases import Numbers, judged, judged_by_examples, with_examples
from scipy import stats

from torchdiscern.lab.evidence import Contrast, Metric, contrasts
from torchdiscern.lab.evidence import bootstrap as module

MANY = 20_000


def _half(found: Contrast) -> float:
    assert found.boot_low is not None
    assert found.boot_high is not None
    return (found.boot_high - found.boot_low) / 2


def _expected(table: Numbers, same_examples: bool) -> float:
    """Half the interval by variances alone, were all distributions normal."""
    seeds, examples = table.shape
    of_seed, t = table.mean(axis=1).var(ddof=1), stats.t.ppf(0.975, seeds - 1)
    if not same_examples:
        return float(t * np.sqrt(max(of_seed, (table.var(axis=1) / examples).mean()) / seeds))
    rest = table - table.mean(axis=0) - table.mean(axis=1, keepdims=True) + table.mean()
    of_both = (rest**2).sum() / (seeds - 1) / (examples - 1) / examples
    of_example = table.mean(axis=0).var() / examples
    z = stats.norm.ppf(0.975)
    return float(np.sqrt(t**2 * max(0, of_seed - of_both) / seeds + z**2 * of_example))


@pytest.mark.parametrize("same_examples", [False, True])
@pytest.mark.parametrize(
    "effects", [(1.0, 0.0, 0.1), (0.1, 0.0, 2.0), (0.3, 3.0, 2.0)], ids=["seeds", "examples", "both"]
)
def test_the_width_is_that_of_the_variances(effects: tuple[float, float, float], same_examples: bool) -> None:
    table = with_examples(np.random.default_rng(2), 12, 80, *effects) / 100
    found = judged_by_examples(table, same_examples=same_examples, resamples=MANY)
    assert _half(found) == pytest.approx(_expected(table, same_examples), rel=0.05)
    assert found.boot_low is not None
    assert found.boot_low + _half(found) == pytest.approx(found.difference, abs=0.2 * _half(found))


@pytest.mark.parametrize("seeds", [6, 20])
def test_seeds_alone_are_about_as_wide_as_the_t_interval(seeds: int) -> None:
    found = judged(np.random.default_rng(0).normal(0, 0.1, seeds), resamples=MANY)
    assert found.high is not None
    assert _half(found) == pytest.approx(found.high - found.difference, rel=0.05)


def test_a_pair_without_examples_leaves_the_examples_out() -> None:
    table = with_examples(np.random.default_rng(2), 6, 80, 0.1, 0.0, 2.0) / 100
    values: dict[str, Any] = {
        "ce": {seed: {"accuracy": 0.5} for seed in range(6)},
        "ours": {seed: {"accuracy": 0.5 + one.mean()} for seed, one in enumerate(table)},
    }
    examples: dict[str, Any] = {
        "ce": {seed: {"accuracy": np.full(80, 0.5)} for seed in range(6)},
        "ours": {seed: {"accuracy": 0.5 + one} for seed, one in enumerate(table)},
    }
    metrics = {"accuracy": Metric(1, 0)}
    full, without = (contrasts(values, "ce", metrics, examples=given)[0] for given in (examples, None))
    del examples["ce"][3]
    assert full != without
    assert contrasts(values, "ce", metrics, examples=examples)[0] == without


@pytest.mark.parametrize(
    "values", [[-1.0, 0.0, 1.0, 0.0] * 25, list(np.linspace(-1, 2, 30))], ids=["counts", "drawn"]
)
def test_resampled_means_are_those_of_drawing_one_by_one(values: list[float]) -> None:
    rng = np.random.default_rng(0)
    numbers = np.array(values) + 0.0
    found = module._resampled_means(numbers, 4000, rng)
    expected = [rng.choice(numbers, len(numbers)).mean() for _ in range(4000)]
    assert found.shape == (4000,)
    assert stats.ks_2samp(found.round(9), np.round(expected, 9)).pvalue > 0.001
    assert not module._resampled_means(numbers, 0, rng).size


def test_large_test_sets_are_drawn_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CELLS", 100)
    found = module._resampled_means(np.arange(30.0), 10, np.random.default_rng(0))
    assert found.shape == (10,)
    assert len(set(found)) == 10


def test_equal_seeds_give_equal_intervals() -> None:
    table = with_examples(np.random.default_rng(2), 6, 50, 0.1, 0.1, 1.0) / 100
    one, same, other = (judged_by_examples(table, seed=seed) for seed in (0, 0, 1))
    assert one == same
    assert one.boot_low != other.boot_low
    assert one.low == other.low


def test_fifteen_arms_take_seconds() -> None:
    rng = np.random.default_rng(0)
    examples = {
        f"arm{arm}": {seed: {"accuracy": (rng.random(1500) < 0.8).astype(np.uint8)} for seed in range(10)}
        for arm in range(15)
    }
    values: dict[str, Any] = {
        arm: {seed: {"accuracy": float(one["accuracy"].mean())} for seed, one in runs.items()}
        for arm, runs in examples.items()
    }
    start = time.perf_counter()
    found = contrasts(values, "arm0", {"accuracy": Metric(1, 0.002)}, examples=examples)
    assert len(found) == 14
    assert time.perf_counter() - start < 5
