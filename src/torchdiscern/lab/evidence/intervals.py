"""Means with their intervals by Student's t."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Numbers = npt.NDArray[np.float64]

NO_SPREAD = 1e-12  # relative to the numbers: what rounding leaves of equal ones


@dataclass(frozen=True)
class Mean:
    """A mean with what it is worth: `deviation`, `low` and `high` are None for one seed.

    Args:
        mean: of the seeds.
        deviation: standard deviation over the seeds.
        low: lower end of the t interval of the mean.
        high: its upper end.
        seeds: how many.
    """

    mean: float
    deviation: float | None
    low: float | None
    high: float | None
    seeds: int


def interval_of_mean(values: Sequence[float], confidence: float = 0.95) -> Mean:
    """The mean of one arm, never without its spread.

    Args:
        values: one number a seed.
        confidence: of the interval, in (0, 1).

    Returns:
        The mean, the standard deviation and the t interval (None for one seed; the point itself where all numbers
        are equal: no spread is seen, which is not to say that there is none).

    Raises:
        ValueError: no values, or one that is not finite, or a confidence out of its range.

    Example:
        >>> found = interval_of_mean([0.81, 0.83, 0.82])
        >>> round(found.mean, 3), round(found.deviation, 3), round(found.low, 3), round(found.high, 3)
        (0.82, 0.01, 0.795, 0.845)
    """
    check_share(confidence, "confidence", "leave it at 0.95")
    numbers = np.asarray(values, dtype=np.float64)
    if not numbers.size:
        raise ValueError("values: got none, expected at least one number; run at least one seed.")
    if not bool(np.isfinite(numbers).all()):
        raise ValueError(
            "values: got NaN or infinite ones, expected finite ones; leave out what was not measured."
        )
    scale = float(abs(numbers).max())
    low, high = t_interval(numbers, confidence, scale)
    return Mean(float(numbers.mean()), deviation_of(numbers, scale), low, high, len(numbers))


def deviation_of(numbers: Numbers, scale: float) -> float | None:
    """The standard deviation: None for one number, 0 for equal ones, as measured by `scale`."""
    if len(numbers) < 2:
        return None
    found = float(numbers.std(ddof=1))
    return found if found > NO_SPREAD * scale else 0.0


def t_interval(numbers: Numbers, confidence: float, scale: float) -> tuple[float, float] | tuple[None, None]:
    """Low and high, None for one number, the point itself where all are equal."""
    if (deviation := deviation_of(numbers, scale)) is None:
        return None, None
    mean = float(numbers.mean())
    half = float(stats.t.ppf((1 + confidence) / 2, len(numbers) - 1)) * deviation / math.sqrt(len(numbers))
    return mean - half, mean + half


def check_share(value: float, name: str, hint: str) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name}: got {value!r}, expected a number between 0 and 1; {hint}.")
