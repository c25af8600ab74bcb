"""Batches, and a metric of each kind, for the tests of the metrics."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("torchmetrics")

from torchmetrics import Metric

from torchdiscern import functional
from torchdiscern.metrics import (
    ClassMeans,
    ClassSelectivity,
    CoverageDivergence,
    DeadFeatures,
    Impurity,
    KFeatureAccuracy,
    Owners,
)

C, D = 4, 7
SIZES = (5, 1, 9, 3)
GIVEN = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
KINDS: list[functional.Impurity] = ["gini", "entropy", "renyi", "shannon"]
Batch = tuple[Tensor, Tensor]


def batches(classes: int = C) -> list[Batch]:
    generator = torch.Generator().manual_seed(3)
    found = []
    for size in SIZES:
        features = torch.rand(size, D, 2, 3, generator=generator, dtype=torch.float64) - 0.4
        features[:, 2] = 0
        found.append((features, torch.randint(classes, (size,), generator=generator)))
    return found


def whole(of: list[Batch]) -> Batch:
    return torch.cat([x for x, _ in of]), torch.cat([y for _, y in of])


def linear() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    shapes = ((C, D), (C, D), (C,))
    means, weight, bias = (torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)
    return means, weight, bias


MAKERS: dict[str, Callable[[], Metric]] = {
    **{kind: lambda kind=kind: Impurity(C, D, kind) for kind in KINDS},  # type: ignore[misc]
    "batch": lambda: CoverageDivergence(C, D),
    "uniform": lambda: CoverageDivergence(C, D, "uniform"),
    "given": lambda: CoverageDivergence(C, D, GIVEN),
    "means": lambda: ClassMeans(C, D),
    "owners": lambda: Owners(C, D),
    "dead": lambda: DeadFeatures(C, D),
    "selectivity": lambda: ClassSelectivity(C, D),
    "k": lambda: KFeatureAccuracy(*linear(), k=2),
}
every = pytest.mark.parametrize("name", MAKERS)


def fed(metric: Metric, of: list[Batch]) -> Metric:
    for features, target in of:
        metric.update(features, target)
    return metric


def same(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
