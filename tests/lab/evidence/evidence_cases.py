"""Paired numbers by their differences, and differences of known truth."""

import gc
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from torchdiscern.lab.evidence import Contrast, Metric, contrasts

Numbers = npt.NDArray[np.float64]

LEVEL = 0.5  # of the baseline; a power of two, so that differences below come out as they went in


@pytest.fixture(autouse=True, scope="module")
def frozen_heap() -> Iterator[None]:
    """Where it is imported: statsmodels collects garbage at every correction, a tenth of a second with torch."""
    gc.freeze()
    yield
    gc.unfreeze()


def arms(**differences: Sequence[float] | Numbers) -> dict[str, dict[int, dict[str, float | None]]]:
    """Arms whose accuracy differs from that of "ce" by these numbers, a seed each."""
    seeds = max(map(len, differences.values()))
    found: dict[str, dict[int, dict[str, float | None]]] = {"ce": {s: {"accuracy": LEVEL} for s in range(seeds)}}
    for arm, own in differences.items():
        found[arm] = {seed: {"accuracy": LEVEL + float(one)} for seed, one in enumerate(own)}
    return found


def judged(
    differences: Sequence[float] | Numbers, band: float = 0.002, better: int = 1, **settings: Any
) -> Contrast:
    return contrasts(arms(ours=differences), "ce", {"accuracy": Metric(better, band)}, **settings)[0]


def with_examples(
    rng: np.random.Generator, seeds: int, examples: int, of_seed: float, of_example: float, of_both: float
) -> Numbers:
    """`[seeds, examples]`, whose effects have these standard deviations and a true mean of zero."""
    return np.asarray(
        of_seed * rng.normal(size=(seeds, 1))
        + of_example * rng.normal(size=(1, examples))
        + of_both * rng.normal(size=(seeds, examples))
    )


def judged_by_examples(table: Numbers, band: float = 0.0, **settings: Any) -> Contrast:
    """The contrast of which the table holds the differences of the test examples."""
    values = arms(ours=table.mean(axis=1))
    examples = {
        "ce": {seed: {"accuracy": np.full(len(one), LEVEL)} for seed, one in enumerate(table)},
        "ours": {seed: {"accuracy": LEVEL + one} for seed, one in enumerate(table)},
    }
    return contrasts(values, "ce", {"accuracy": Metric(1, band)}, examples=examples, **settings)[0]
