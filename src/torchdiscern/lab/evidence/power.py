"""What so many seeds can show, asked before anything is trained."""

import math

from statsmodels.stats.power import TTestPower

from torchdiscern.lab.evidence.intervals import check_share

FEWEST = 5  # seeds below which there is no verdict
SLACK = 1e-4  # statsmodels' roots are no exacter: 20.0003 seeds are 20


def smallest_difference(
    seeds: int, spread: float, power: float = 0.8, alpha: float = 0.05, band: float = 0.0
) -> float:
    """The smallest true difference that a paired t-test of so many seeds would show with this power.

    This is for one contrast named beforehand; each further one that Holm's correction takes in makes it larger.

    Args:
        seeds: paired seeds, at least 2. Below five `contrasts` gives no verdict all the same.
        spread: standard deviation of the paired differences, above 0.
        power: probability that the test shows such a difference, in its true direction, between alpha and 1.
        alpha: level of the two-sided test.
        band: of practical equivalence, in the unit of `spread`, that the difference is to be shown to exceed; 0
            for a difference from zero.

    Returns:
        The difference, in the unit of `spread`.

    Raises:
        ValueError: a number out of its range.

    Source:
        Cohen, Statistical Power Analysis for the Behavioral Sciences, 1988; computed by statsmodels'
        `TTestPower`.

    Example:
        >>> round(smallest_difference(10, spread=0.5), 2)
        0.5
    """
    if isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 2:
        raise ValueError(
            f"seeds: got {seeds!r}, expected a whole number from 2 on, as one pair has no spread; plan "
            "more seeds."
        )
    _check(spread, power, alpha, band)
    return band + spread * _effect(seeds, power, alpha)


def seeds_needed(
    difference: float, spread: float, power: float = 0.8, alpha: float = 0.05, band: float = 0.0
) -> int:
    """How many paired seeds show a true difference with this power: the inverse of `smallest_difference`.

    Args:
        difference: true difference, of either sign, larger than the band.
        spread: standard deviation of the paired differences, above 0, in the same unit.
        power: probability that the test shows it, between alpha and 1.
        alpha: level of the two-sided test.
        band: of practical equivalence that the difference is to be shown to exceed; 0 for a difference from zero.

    Returns:
        The number of seeds, at least the five below which there is no verdict.

    Raises:
        ValueError: a number out of its range, or a difference within the band, which no number of seeds can show
            to exceed it.

    Source:
        As `smallest_difference`.

    Example:
        >>> seeds_needed(0.2, spread=0.5)
        52
    """
    _check(spread, power, alpha, band)
    if not math.isfinite(difference) or abs(difference) <= band:
        raise ValueError(
            f"difference: got {difference!r}, expected a finite one beyond {band:g} to either side, as no "
            "number of seeds can show another; state a larger one."
        )
    effect = (abs(difference) - band) / spread
    if effect >= _effect(FEWEST, power, alpha):
        return FEWEST
    found = TTestPower().solve_power(effect, nobs=None, alpha=alpha / 2, power=power, alternative="larger")
    return math.ceil(float(found) * (1 - SLACK))


def _effect(seeds: int, power: float, alpha: float) -> float:
    # one side of the two-sided test, since statsmodels finds wrong roots where the other side underflows; that
    # one would show a difference in the wrong direction only
    found = TTestPower().solve_power(None, nobs=seeds, alpha=alpha / 2, power=power, alternative="larger")
    return float(found)


def _check(spread: float, power: float, alpha: float, band: float) -> None:
    check_share(alpha, "alpha", "leave it at 0.05")
    if not alpha < power < 1:
        raise ValueError(
            f"power: got {power!r}, expected a number between alpha ({alpha:g}) and 1; leave it at 0.8."
        )
    if not (math.isfinite(spread) and spread > 0):
        raise ValueError(
            f"spread: got {spread!r}, expected a finite standard deviation above 0; take that of a pilot's "
            "differences."
        )
    if not (math.isfinite(band) and band >= 0):
        raise ValueError(f"band: got {band!r}, expected a finite number of at least 0; leave it out for none.")
