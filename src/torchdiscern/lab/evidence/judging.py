"""Arms against a baseline: intervals, tests and a verdict for every measure."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from torchdiscern.lab.evidence.bootstrap import bootstrap_interval
from torchdiscern.lab.evidence.contrast import Contrast, Metric, verdict_of
from torchdiscern.lab.evidence.intervals import NO_SPREAD, Numbers, check_share, deviation_of, t_interval

PERMUTATIONS = 10_000  # up to 13 seeds have fewer, and the test is exact
AGREE = 1e-4  # by how much the mean of the examples may differ from the number: rounding, but no other unit

Values = Mapping[str, Mapping[int, Mapping[str, float | None]]]
Examples = Mapping[str, Mapping[int, Mapping[str, npt.ArrayLike]]]


def contrasts(
    values: Values,
    baseline: str,
    metrics: Mapping[str, Metric],
    *,
    named: tuple[str, str] | None = None,
    examples: Examples | None = None,
    same_examples: bool = False,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> list[Contrast]:
    """Judges every arm against the baseline in every measure, by the seeds that both have.

    Args:
        values: arm, seed, measure: the number. None or absent where it was not measured; a measure that `metrics`
            lacks is passed over.
        baseline: one of the arms.
        metrics: how each measure is judged.
        named: arm and measure of the one contrast that was named before the runs; Holm's correction leaves it
            out, and its corrected p is its own.
        examples: arm, seed, measure: `[m]`, one number a test example, whose mean is the measure's number (1
            where the image was classified right, else 0). Examples of an arm and of the baseline are of the same
            images in the same order; m may differ from seed to seed. Where a pair lacks them, that contrast's
            bootstrap resamples seeds alone.
        same_examples: all seeds have the same test examples in the same order; one resampled set then serves all.
        confidence: of the intervals, in (0, 1); a corrected p below 1 - confidence counts.
        resamples: of the bootstrap.
        seed: of the bootstrap and of the permutations; equal seeds give equal results.

    Returns:
        The contrasts, arm by arm, measure by measure; none where no seed has both numbers.

    Raises:
        ValueError: a baseline or named contrast that is not there, numbers that are not finite, a number out of
            its range, examples whose numbers do not fit each other or the measure's number.

    Source:
        Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6, 1979.
        Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.

    Example:
        >>> ce = {seed: {"accuracy": 0.80 + 0.01 * seed} for seed in range(5)}
        >>> ours = {seed: {"accuracy": 0.83 + 0.011 * seed} for seed in range(5)}
        >>> found = contrasts({"ce": ce, "ours": ours}, "ce", {"accuracy": Metric(better=1, band=0.002)})
        >>> found[0].arm, round(found[0].difference, 3), found[0].verdict
        ('ours', 0.032, 'better')
    """
    check_share(confidence, "confidence", "leave it at 0.95")
    if resamples < 1:
        raise ValueError(f"resamples: got {resamples!r}, expected a whole number from 1 on; leave it at 2000.")
    if baseline not in values:
        raise ValueError(
            f"baseline: got {baseline!r}, expected one of the arms {', '.join(map(repr, values))}; mend the name."
        )
    if named is not None and (named[0] not in values or named[0] == baseline or named[1] not in metrics):
        raise ValueError(
            f"named: got {named!r}, expected an arm other than the baseline and a measure of `metrics`; "
            "mend the name."
        )
    found = []
    for arm in values:
        if arm == baseline:
            continue
        for name, metric in metrics.items():
            pairs = _pairs(values, arm, baseline, name)
            if not pairs:
                continue
            per_example = _per_example(examples, arm, baseline, name, pairs, same_examples) if examples else None
            found.append(
                _measured(
                    (arm, baseline, name),
                    metric,
                    pairs,
                    per_example,
                    same_examples=same_examples,
                    confidence=confidence,
                    resamples=resamples,
                    seed=seed,
                )
            )
    return [
        replace(one, verdict=verdict_of(one, metrics[one.metric].better, 1 - confidence))
        for one in _corrected(found, named)
    ]


def _pairs(values: Values, arm: str, baseline: str, name: str) -> dict[int, tuple[float, float]]:
    found = {}
    for seed in sorted(set(values[arm]) & set(values[baseline])):  # sorted: their order is to change nothing
        own, base = values[arm][seed].get(name), values[baseline][seed].get(name)
        if own is None or base is None:
            continue
        if not (math.isfinite(own) and math.isfinite(base)):
            raise ValueError(
                f"values: got {own!r} of {arm!r} and {base!r} of {baseline!r} in {name!r} under seed {seed}, "
                "expected finite numbers; pass None for what was not measured, and say so."
            )
        found[seed] = (float(own), float(base))
    return found


def _per_example(
    examples: Examples,
    arm: str,
    baseline: str,
    name: str,
    pairs: Mapping[int, tuple[float, float]],
    same_examples: bool,
) -> list[Numbers] | None:
    """The differences of the examples of each pair; None where a pair lacks them."""
    found = []
    for seed, numbers in pairs.items():
        given = [examples.get(which, {}).get(seed, {}).get(name) for which in (arm, baseline)]
        own, base = (None if one is None else np.asarray(one, dtype=np.float64) for one in given)
        if own is None or base is None:
            return None
        if own.ndim != 1 or own.shape != base.shape or not own.size:
            raise ValueError(
                f"examples: got shapes {list(own.shape)} of {arm!r} and {list(base.shape)} of {baseline!r} in "
                f"{name!r} under seed {seed}, expected [m] of both; pass one number for each of the same test "
                "examples."
            )
        for which, one, number in ((arm, own, numbers[0]), (baseline, base, numbers[1])):
            if not abs(float(one.mean()) - number) <= AGREE * max(1.0, abs(number)):
                raise ValueError(
                    f"examples: got a mean of {float(one.mean()):.6g} of {which!r} in {name!r} under seed "
                    f"{seed}, expected that of `values`, {number:.6g}; pass the examples that it is the mean of, "
                    "or none."
                )
        found.append(own - base)
    if same_examples and len({len(one) for one in found}) > 1:
        raise ValueError(
            f"examples: got {sorted({len(one) for one in found})} of {arm!r} in {name!r}, expected as many in "
            "every seed, as same_examples is set; leave it out where each seed has its own test examples."
        )
    return found


def _measured(
    names: tuple[str, str, str],
    metric: Metric,
    pairs: Mapping[int, tuple[float, float]],
    examples: list[Numbers] | None,
    *,
    same_examples: bool,
    confidence: float,
    resamples: int,
    seed: int,
) -> Contrast:
    numbers = np.array(list(pairs.values()))
    scale = float(abs(numbers).max())
    differences = numbers[:, 0] - numbers[:, 1]
    differences[abs(differences) <= NO_SPREAD * scale] = 0.0
    n = len(differences)
    spread = deviation_of(differences, scale)
    better = (metric.better or 1) * differences
    wins = float((better > 0).sum() + (better == 0).sum() / 2)
    probability_low, probability_high = proportion_confint(wins, n, 1 - confidence, method="wilson")
    low, high = t_interval(differences, confidence, scale)
    boot_low, boot_high = bootstrap_interval(
        differences,
        examples,
        same_examples=same_examples,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        scale=scale,
    )
    return Contrast(
        *names,
        seeds=n,
        difference=float(differences.mean()),
        spread=spread,
        low=low,
        high=high,
        boot_low=boot_low,
        boot_high=boot_high,
        p=float(stats.ttest_1samp(differences, 0.0).pvalue) if spread else None,
        p_permutation=_permutation(differences, seed) if n > 1 else None,
        p_holm=None,
        probability=wins / n,
        probability_low=float(probability_low),
        probability_high=float(probability_high),
        band=float(metric.band),
        verdict="",
    )


def _permutation(differences: Numbers, seed: int) -> float:
    def mean(numbers: Numbers, axis: int) -> Numbers:
        return np.asarray(numbers.mean(axis=axis))

    found = stats.permutation_test(
        (differences,),
        mean,
        permutation_type="samples",  # of one sample: flips signs, which swaps arm and baseline within pairs
        vectorized=True,
        n_resamples=PERMUTATIONS,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def _corrected(found: list[Contrast], named: tuple[str, str] | None) -> list[Contrast]:
    family = {
        index: one.p for index, one in enumerate(found) if one.p is not None and (one.arm, one.metric) != named
    }
    corrected: dict[int, float] = {}
    if family:
        corrected = dict(
            zip(family, multipletests(list(family.values()), method="holm")[1].tolist(), strict=True)
        )
    # the one named is its own family, and where there is no p there is none to correct
    return [replace(one, p_holm=corrected.get(index, one.p)) for index, one in enumerate(found)]
