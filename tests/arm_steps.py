"""Training steps of given numbers, for tests of the arms."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from torchdiscern.lab.arms import Ran, Step

CLASSES, FEATURES = 5, 6
# two classes of one sample, and the last is absent
TARGET = torch.tensor([0, 0, 1, 3, 3, 3, 2, 0])


def features_of(samples: int = len(TARGET), dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    numbers = torch.Generator().manual_seed(seed)
    return torch.rand(samples, FEATURES, generator=numbers, dtype=dtype)


def classifier_of(classes: int = CLASSES, dtype: torch.dtype = torch.float64) -> nn.Linear:
    numbers = torch.Generator().manual_seed(9)
    linear = nn.Linear(FEATURES, classes, dtype=dtype)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(classes, FEATURES, generator=numbers, dtype=dtype))
        linear.bias.copy_(torch.randn(classes, generator=numbers, dtype=dtype))
    return linear


def step_of(features: Tensor, target: Tensor, classifier: nn.Linear | None = None) -> Step:
    """A step whose network is the classifier alone and whose tapped layer is what it reads."""
    linear = classifier_of(dtype=features.dtype) if classifier is None else classifier
    return Step(
        inputs=features,
        target=target,
        term=target,
        forward=lambda inputs: Ran(linear(inputs), {"layer": inputs}, inputs),
        network=linear,
        classifier=linear,
        share=1 / len(target),
    )


def cross_entropy_by_loops(logits: Tensor, target: Tensor) -> Tensor:
    found = logits.new_zeros(())
    for row, label in zip(logits, target.tolist(), strict=True):
        found = found - (row[label] - row.exp().sum().log())
    return found / len(target)


Objective = Callable[..., Tensor]
