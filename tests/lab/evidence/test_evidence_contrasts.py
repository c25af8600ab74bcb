"""Every number of a contrast against scipy, statsmodels, brute force or a computation by hand."""

import itertools
import json
import warnings
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from evidence_cases import arms, frozen_heap, judged  # noqa: F401
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from torchdiscern.lab.evidence import Metric, contrasts, interval_of_mean

SEVEN = [0.031, 0.012, -0.004, 0.022, 0.009, 0.0175, 0.02]
ACCURACY = {"accuracy": Metric(1, 0.002)}

differences = st.lists(st.integers(-400, 400).map(lambda one: one / 2**12), min_size=2, max_size=9)


def test_the_interval_and_p_are_those_of_the_paired_t_test() -> None:
    values = arms(ours=SEVEN)
    found = contrasts(values, "ce", ACCURACY)[0]
    own, base = ([float(one["accuracy"] or 0) for one in values[arm].values()] for arm in ("ours", "ce"))
    expected = stats.ttest_rel(own, base)
    interval = expected.confidence_interval(0.95)
    assert (found.low, found.high, found.p) == pytest.approx((interval.low, interval.high, expected.pvalue))
    assert (found.difference, found.spread) == pytest.approx((np.mean(SEVEN), np.std(SEVEN, ddof=1)))
    assert (found.arm, found.baseline, found.metric, found.seeds, found.band) == (
        "ours",
        "ce",
        "accuracy",
        7,
        0.002,
    )


def test_another_confidence() -> None:
    found = judged(SEVEN, confidence=0.8)
    expected = stats.ttest_1samp(SEVEN, 0).confidence_interval(0.8)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.boot_low is not None
    assert judged(SEVEN).boot_low is not None
    assert found.boot_low > (judged(SEVEN).boot_low or 0)


@pytest.mark.parametrize("own", [SEVEN, [0.5, 0.25, -0.125], [1.0, 1.0, 1.0, 1.0, 1.0]])
def test_the_permutation_p_is_that_of_all_flips_of_sign(own: list[float]) -> None:
    flips = np.array(list(itertools.product([-1, 1], repeat=len(own))))
    means = (flips * own).mean(axis=1)
    expected = (abs(means) >= abs(np.mean(own)) - 1e-12).mean()
    assert judged(own).p_permutation == pytest.approx(expected)


def test_more_permutations_than_can_be_counted_are_drawn_and_repeatable() -> None:
    own = np.random.default_rng(0).normal(0.3, 1, 40)
    found = judged(own)
    assert found.p_permutation == judged(own).p_permutation
    assert found.p_permutation == pytest.approx(found.p, abs=0.02)


def test_holm_by_hand() -> None:
    rng = np.random.default_rng(3)
    values = arms(**{f"arm{index}": rng.normal(0.01 * index, 0.01, 6) for index in range(4)})
    found = contrasts(values, "ce", ACCURACY, named=("arm2", "accuracy"))
    ps = {one.arm: one.p for one in found if one.arm != "arm2" and one.p is not None}
    largest, expected = 0.0, {}
    for rank, (arm, p) in enumerate(sorted(ps.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, (len(ps) - rank) * p))
        expected[arm] = largest
    assert {one.arm: one.p_holm for one in found if one.arm != "arm2"} == pytest.approx(expected)
    own = next(one for one in found if one.arm == "arm2")
    assert own.p_holm == own.p


def test_holm_takes_in_every_measure() -> None:
    values = arms(one=SEVEN, two=SEVEN)
    for arm in values:
        for seed, measured in values[arm].items():
            measured["speed"] = 1.0 + 0.125 * seed * (arm != "ce")
    metrics = ACCURACY | {"speed": Metric(-1, 0.0)}
    found = contrasts(values, "ce", metrics)
    assert [(one.arm, one.metric) for one in found] == [
        (arm, metric) for arm in ("one", "two") for metric in ("accuracy", "speed")
    ]
    assert min(one.p_holm or 0 for one in found) == pytest.approx(4 * min(one.p or 0 for one in found))


def test_the_named_contrast_is_judged_by_its_own_p() -> None:
    weak = [0.004, 0.03, 0.02, 0.001, 0.024]
    values = arms(ours=weak, **{f"arm{index}": [0.01, -0.01, 0.02, -0.02, 0.0] for index in range(4)})
    metrics = {"accuracy": Metric(1, 0.0)}
    assert contrasts(values, "ce", metrics)[0].verdict == "undecided"
    assert contrasts(values, "ce", metrics, named=("ours", "accuracy"))[0].verdict == "better"


@pytest.mark.parametrize(
    ("better", "expected"), [(1, 3.5 / 5), (-1, 1.5 / 5), (0, 3.5 / 5)], ids=["higher", "lower", "neither"]
)
def test_probability_of_being_better(better: int, expected: float) -> None:
    found = judged([0.25, 0.5, 0.0, -0.125, 0.125], better=better)
    assert found.probability == expected
    z, n = stats.norm.ppf(0.975), 5
    middle = (expected + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(expected * (1 - expected) / n + z**2 / (4 * n**2))
    assert (found.probability_low, found.probability_high) == pytest.approx((middle - half, middle + half))


NARROW = [-0.0002, 0.0002, 0.0001, -0.0001, 0.0]


@pytest.mark.parametrize(
    ("shift", "better", "verdict"),
    [
        (0.05, 1, "better"),
        (-0.05, 1, "worse"),
        (0.05, -1, "worse"),
        (-0.05, -1, "better"),
        (0.05, 0, "higher"),
        (-0.05, 0, "lower"),
        (0.0, 1, "equivalent"),
        (0.001, 1, "equivalent"),  # far from zero by its p, and yet within the band
        (0.002, 1, "undecided"),  # beyond zero, but not beyond the band
        (-0.002, 0, "undecided"),
    ],
)
def test_the_verdict_by_where_the_interval_lies(shift: float, better: int, verdict: str) -> None:
    assert judged([shift + one for one in NARROW], better=better).verdict == verdict


def test_a_wide_interval_is_no_equivalence() -> None:
    assert judged([0.05, -0.05, 0.02, -0.02, 0.0]).verdict == "undecided"


def test_both_intervals_have_to_agree() -> None:
    rng = np.random.default_rng(0)
    right = {seed: np.r_[np.ones(24), np.zeros(6)][rng.permutation(30)] for seed in range(6)}
    more = {seed: one.copy() for seed, one in right.items()}
    for seed, one in more.items():
        one[np.flatnonzero(one == 0)[: 1 + seed % 2]] = 1
    examples = {"ce": right, "ours": more}
    values: dict[str, Any] = {
        arm: {seed: {"accuracy": one.mean()} for seed, one in given.items()} for arm, given in examples.items()
    }
    per_example = {arm: {s: {"accuracy": one} for s, one in given.items()} for arm, given in examples.items()}
    metrics = {"accuracy": Metric(1, 0.03)}
    one = contrasts(values, "ce", metrics)[0]
    other = contrasts(values, "ce", metrics, examples=per_example)[0]
    assert one.boot_low is not None
    assert other.boot_low is not None
    assert one.boot_low > 0.03 > other.boot_low
    assert (one.verdict, other.verdict) == ("better", "undecided")
    beside: dict[str, Any] = {"boot_low": 0, "boot_high": 0, "verdict": ""}
    assert asdict(one) | beside == asdict(other) | beside
    assert one.verdict == "better"


@pytest.mark.parametrize("seeds", [1, 2, 3, 4])
@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_never_a_verdict_below_five_seeds(seeds: int, shift: float) -> None:
    assert judged([shift + one for one in NARROW[:seeds]]).verdict == "too few seeds"
    assert judged([shift] * seeds).verdict == "too few seeds"


def test_one_pair_has_a_difference_and_nothing_else() -> None:
    found = judged([0.25])
    assert found.difference == 0.25
    unknown = ["spread", "low", "high", "boot_low", "boot_high", "p", "p_permutation", "p_holm"]
    assert [getattr(found, name) for name in unknown] == [None] * len(unknown)


@pytest.mark.parametrize(
    ("shift", "verdict"),
    [(0.0, "equivalent"), (0.001, "equivalent"), (0.3, "undecided"), (-0.3, "undecided")],
)
def test_equal_differences_are_a_point_without_a_p(shift: float, verdict: str) -> None:
    levels = [0.1, 0.7, 0.3, 0.9, 0.55]  # whose differences are equal but for rounding
    values: dict[str, Any] = {
        "ce": {seed: {"accuracy": one} for seed, one in enumerate(levels)},
        "ours": {seed: {"accuracy": one + shift} for seed, one in enumerate(levels)},
    }
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = contrasts(values, "ce", ACCURACY)[0]
    ends = found.difference, found.low, found.high, found.boot_low, found.boot_high
    assert ends == pytest.approx((shift,) * 5)
    assert (found.spread, found.p, found.p_holm) == (0, None, None)
    assert found.p_permutation == pytest.approx(1.0 if shift == 0 else 2 / 2**5)
    assert found.verdict == verdict
    json.dumps(asdict(found), allow_nan=False)


def test_what_differs_by_rounding_is_a_tie() -> None:
    values: dict[str, Any] = {"ce": {seed: {"accuracy": 0.3} for seed in range(5)}}
    values["ours"] = {seed: {"accuracy": 0.1 + 0.2} for seed in range(5)}
    found = contrasts(values, "ce", ACCURACY)[0]
    assert (found.difference, found.probability, found.p_permutation) == (0, 0.5, 1)


def test_equal_accuracies_of_different_answers_have_a_bootstrap_interval() -> None:
    examples = {
        "ce": {seed: {"accuracy": np.arange(20) % 2} for seed in range(5)},
        "ours": {seed: {"accuracy": (np.arange(20) + seed) % 2} for seed in range(5)},
    }
    values: dict[str, Any] = {arm: {seed: {"accuracy": 0.5} for seed in range(5)} for arm in examples}
    found = contrasts(values, "ce", ACCURACY, examples=examples)[0]
    assert (found.low, found.high) == (0, 0)
    assert found.boot_low is not None
    assert found.boot_high is not None
    assert found.boot_low < -0.002 < 0.002 < found.boot_high


def test_pairs_only_seeds_that_both_have() -> None:
    values = arms(ours=SEVEN)
    values["ours"][0]["accuracy"] = None
    del values["ce"][1]
    del values["ours"][2]["accuracy"]
    found = contrasts(values, "ce", ACCURACY)[0]
    assert found.seeds == 4
    assert found.difference == pytest.approx(np.mean(SEVEN[3:]))


def test_what_no_seed_has_is_left_out() -> None:
    values = arms(ours=SEVEN, other=SEVEN)
    for measured in values["other"].values():
        measured["accuracy"] = None
    assert [one.arm for one in contrasts(values, "ce", ACCURACY | {"speed": Metric(-1, 0)})] == ["ours"]


def test_the_results_are_json() -> None:
    examples = {
        arm: {seed: {"accuracy": np.array([level, 0.5], dtype=np.float32)} for seed in range(5)}
        for arm, level in {"ce": 0.5, "ours": 0.75}.items()
    }
    values: dict[str, Any] = {
        arm: {seed: {"accuracy": np.float32(level)} for seed in range(5)}
        for arm, level in {"ce": 0.5, "ours": 0.625}.items()
    }
    assert json.dumps(
        [asdict(one) for one in contrasts(values, "ce", ACCURACY, examples=examples)], allow_nan=False
    )


@given(differences)
@settings(max_examples=40, deadline=None)
def test_swapping_arm_and_baseline_mirrors(own: list[float]) -> None:
    values = arms(ours=own)
    one = contrasts(values, "ce", ACCURACY)[0]
    other = contrasts(values, "ours", ACCURACY)[0]
    assert other.difference == -one.difference
    assert (other.spread, other.p_permutation) == (one.spread, one.p_permutation)
    assert (other.p is None) == (one.p is None)
    assert other.probability == pytest.approx(1 - one.probability)
    assert other.probability_low == pytest.approx(1 - one.probability_high)
    mirrored = {"better": "worse", "worse": "better"}
    assert other.verdict == mirrored.get(one.verdict, one.verdict)
    if one.low is None or one.high is None or one.boot_low is None or one.boot_high is None:
        raise AssertionError("two pairs have intervals")
    assert (other.low, other.high) == pytest.approx((-one.high, -one.low))
    if one.p is not None:
        assert other.p == pytest.approx(one.p)
    if one.difference != 0:
        assert (other.boot_low, other.boot_high) == (-one.boot_high, -one.boot_low)


@given(differences, st.sampled_from([-0.25, 0.125, 0.0625]))
@settings(max_examples=40, deadline=None)
def test_a_constant_added_shifts(own: list[float], constant: float) -> None:
    one, other = judged(own), judged([each + constant for each in own])
    assert other.spread == pytest.approx(one.spread)
    assert other.difference == pytest.approx(one.difference + constant)
    if one.low is None or one.high is None or one.boot_low is None or one.boot_high is None:
        raise AssertionError("two pairs have intervals")
    assert (other.low, other.high) == pytest.approx((one.low + constant, one.high + constant))
    if one.difference * other.difference > 0:  # else the draws are mirrored
        assert (other.boot_low, other.boot_high) == pytest.approx(
            (one.boot_low + constant, one.boot_high + constant)
        )


@given(differences, st.randoms())
@settings(max_examples=40, deadline=None)
def test_the_order_in_which_seeds_come_changes_nothing(own: list[float], random: Any) -> None:
    # numbers that a set of Python keeps in no order of their own
    values = {arm: {64 * s: run for s, run in runs.items()} for arm, runs in arms(ours=own).items()}
    shuffled = {}
    for arm, runs in values.items():
        order = list(runs)
        random.shuffle(order)
        shuffled[arm] = {seed: runs[seed] for seed in order}
    assert contrasts(shuffled, "ce", ACCURACY) == contrasts(values, "ce", ACCURACY)


def test_further_arms_change_nothing_but_holm() -> None:
    alone, beside = (
        contrasts(arms(ours=SEVEN, **more), "ce", ACCURACY)[0] for more in ({}, {"other": SEVEN[::-1]})
    )
    assert alone.p_holm != beside.p_holm
    assert asdict(alone) | {"p_holm": 0} == asdict(beside) | {"p_holm": 0}


def test_a_mean_comes_with_its_spread() -> None:
    found = interval_of_mean(SEVEN)
    expected = stats.ttest_1samp(SEVEN, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.mean, found.deviation, found.seeds) == pytest.approx((np.mean(SEVEN), np.std(SEVEN, ddof=1), 7))
    assert asdict(interval_of_mean([0.5])) == {
        "mean": 0.5,
        "deviation": None,
        "low": None,
        "high": None,
        "seeds": 1,
    }
    equal = interval_of_mean([0.1 + 0.2, 0.3])
    assert (equal.deviation, equal.low, equal.high) == (0, equal.mean, equal.mean)


def _two(own: float = 0.75, examples: Any = None, **settings: Any) -> None:
    values = {"ce": {0: {"accuracy": 0.5}}, "ours": {0: {"accuracy": own}}}
    contrasts(values, settings.pop("baseline", "ce"), ACCURACY, examples=examples, **settings)


def _examples(own: Any, base: Any) -> dict[str, dict[int, dict[str, Any]]]:
    return {"ce": {0: {"accuracy": base}}, "ours": {0: {"accuracy": own}}}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _two(baseline="xe"), r"baseline: got 'xe', expected one of the arms 'ce', 'ours'; mend"),
        (lambda: _two(named=("ce", "accuracy")), r"named: got \('ce', 'accuracy'\), expected an arm other than"),
        (
            lambda: _two(named=("ours", "speed")),
            r"named: got \('ours', 'speed'\), expected .* measure of `metrics`",
        ),
        (lambda: _two(named=("mine", "accuracy")), r"named: got \('mine', 'accuracy'\)"),
        (lambda: _two(own=float("nan")), r"values: got nan of 'ours' .* under seed 0, expected finite"),
        (lambda: _two(confidence=95.0), r"confidence: got 95.0, expected a number between 0 and 1; leave"),
        (lambda: _two(resamples=0), r"resamples: got 0, expected a whole number from 1 on; leave"),
        (
            lambda: _two(examples=_examples([1, 1, 0.25], [0, 1])),
            r"examples: got shapes \[3\] of 'ours' and \[2\]",
        ),
        (lambda: _two(examples=_examples([[0.75]], [[0.5]])), r"examples: got shapes \[1, 1\] .* expected \[m\]"),
        (lambda: _two(examples=_examples([], [])), r"examples: got shapes \[0\]"),
        (
            lambda: _two(examples=_examples([1, 1], [0, 1])),
            r"examples: got a mean of 1 of 'ours' .* `values`, 0.75",
        ),
        (lambda: _two(examples=_examples([0.75, np.nan], [0, 1])), r"examples: got a mean of nan of 'ours'"),
        (lambda: Metric(2, 0.1), r"better: got 2, expected 1, -1 or 0; pass 1 where"),
        (lambda: Metric(1, -0.1), r"band: got -0.1, expected a finite number of at least 0; pass"),
        (lambda: interval_of_mean([]), r"values: got none, expected at least one number; run"),
        (lambda: interval_of_mean([1.0, float("inf")]), r"values: got NaN or infinite ones"),
        (lambda: interval_of_mean([1.0], confidence=1), r"confidence: got 1, expected a number between"),
    ],
)
def test_errors_say_what_to_do(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_the_same_examples_are_as_many_in_every_seed() -> None:
    values: dict[str, Any] = {arm: {seed: {"accuracy": 0.5} for seed in range(2)} for arm in ("ce", "ours")}
    examples = {arm: {seed: {"accuracy": np.full(3 + seed, 0.5)} for seed in range(2)} for arm in ("ce", "ours")}
    contrasts(values, "ce", ACCURACY, examples=examples)
    with pytest.raises(ValueError, match=r"examples: got \[3, 4\] of 'ours' .* expected as many in every seed"):
        contrasts(values, "ce", ACCURACY, examples=examples, same_examples=True)
