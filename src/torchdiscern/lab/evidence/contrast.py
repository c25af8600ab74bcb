"""What is known of one arm against the baseline in one measure, and what it comes to."""

import math
from dataclasses import dataclass

from torchdiscern.lab.evidence.power import FEWEST


@dataclass(frozen=True)
class Metric:
    """How a measure is judged.

    Args:
        better: 1 where higher is better, -1 where lower is, 0 where neither is.
        band: of practical equivalence, at least 0, in the measure's own unit: differences up to it mean nothing
            in practice. 0.2 points of a share in [0, 1] are 0.002.

    Raises:
        ValueError: a number out of its range.
    """

    better: int
    band: float

    def __post_init__(self) -> None:
        if self.better not in (-1, 0, 1):
            raise ValueError(
                f"better: got {self.better!r}, expected 1, -1 or 0; pass 1 where higher is better, "
                "-1 where lower is."
            )
        if not (math.isfinite(self.band) and self.band >= 0):
            raise ValueError(
                f"band: got {self.band!r}, expected a finite number of at least 0; pass the largest "
                "difference that means nothing in practice."
            )


@dataclass(frozen=True)
class Contrast:
    """An arm against the baseline in one measure, over the seeds that both have.

    What the pairs do not give is None: of one pair all but the difference and the probability; of equal
    differences the p of the t-test, as a spread of zero by a few seeds is no certainty.

    The verdict, from five pairs on (`"too few seeds"` below, always):

    - `"equivalent"`: both intervals, of the t-test and of the bootstrap, lie inside the band, from -band to band.
    - `"better"`, `"worse"` (`"higher"`, `"lower"` where the measure has no direction): both lie wholly beyond the
      band, to one side, and the corrected p is below 1 - confidence. Beyond the band and not just
      beyond zero: of a difference shown to be there, but not to be larger than what means nothing, it would be
      too much to say "better". With a band of 0 it is beyond zero.
    - `"undecided"`: all else. This is no evidence of equivalence.

    No interval can be both inside the band and beyond it, so that the rules never conflict. Both, since the t
    interval alone speaks of the test examples at hand: where all seeds have the same ones, it knows nothing of
    their luck, and the bootstrap, told so, does. Where all differences are equal, the t interval is the point
    itself and there is no p: inside the band they are `"equivalent"`, beyond it `"undecided"`. Holm's correction
    guards "better" and "worse", with respect to a difference of zero; "equivalent" is each contrast's own, at
    half of 1 - confidence to either side.

    The permutation p is told beside and decides nothing: it cannot fall below 2/32 by five pairs.

    Args:
        arm: which.
        baseline: against which.
        metric: in which measure.
        seeds: pairs.
        difference: mean over the pairs of arm minus baseline.
        spread: standard deviation of the differences, 0 where all are equal.
        low: lower end of the paired t interval.
        high: its upper end.
        boot_low: lower end of the bootstrap interval over seeds and, where given, test examples.
        boot_high: its upper end.
        p: of the paired t-test, two-sided.
        p_permutation: of the sign-flip permutation test of the mean, two-sided, exact up to 13 pairs.
        p_holm: `p` after Holm's correction over all contrasts but the one named beforehand; of that one, `p`.
        probability: of being better, the share of the seeds in which the arm is, ties half; of being higher where
            the measure has no direction.
        probability_low: lower end of its Wilson interval.
        probability_high: its upper end.
        band: of practical equivalence.
        verdict: as above.
    """

    arm: str
    baseline: str
    metric: str
    seeds: int
    difference: float
    spread: float | None
    low: float | None
    high: float | None
    boot_low: float | None
    boot_high: float | None
    p: float | None
    p_permutation: float | None
    p_holm: float | None
    probability: float
    probability_low: float
    probability_high: float
    band: float
    verdict: str


def verdict_of(one: Contrast, better: int, alpha: float) -> str:
    """By the rules that `Contrast` states."""
    if one.seeds < FEWEST:
        return "too few seeds"
    if one.low is None or one.high is None:
        return "undecided"
    low = one.low if one.boot_low is None else min(one.low, one.boot_low)
    high = one.high if one.boot_high is None else max(one.high, one.boot_high)
    if -one.band <= low and high <= one.band:
        return "equivalent"
    beyond = low > one.band or high < -one.band
    if not beyond or one.p_holm is None or one.p_holm >= alpha:
        return "undecided"
    if better == 0:
        return "higher" if one.difference > 0 else "lower"
    return "better" if one.difference * better > 0 else "worse"
