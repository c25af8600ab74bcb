import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from torchdiscern.lab.measures.removal import accuracy_without, carried


def head(seed: int, classes: int = 4, features: int = 10, samples: int = 60) -> tuple[Tensor, ...]:
    draw = torch.Generator().manual_seed(seed)
    read = torch.rand(samples, features, generator=draw)
    target = torch.arange(samples) % classes
    weight, bias = torch.randn(classes, features, generator=draw), torch.randn(classes, generator=draw)
    means = torch.stack([read[target == c].mean(0) for c in range(classes)])
    return read, target, weight, bias, means


@given(st.integers(0, 50), st.integers(2, 6), st.integers(1, 12))
def test_a_feature_carries_what_its_class_loses_without_it(seed: int, classes: int, features: int) -> None:
    read, target, weight, bias, means = head(seed, classes, features)
    found = carried(weight, means)
    for feature in range(features):
        without = read.clone()
        without[:, feature] = 0
        lost = torch.zeros(classes)
        for c in range(classes):
            before, after = (x[target == c] @ weight.T + bias for x in (read, without))
            lost[c] = ((before[:, c] - before.mean(1)) - (after[:, c] - after.mean(1))).mean()
        torch.testing.assert_close(found[feature], lost.mean(), atol=1e-5, rtol=1e-4)


def test_what_softmax_does_not_see_carries_nothing() -> None:
    _, _, weight, _, means = head(0)
    torch.testing.assert_close(carried(weight + torch.arange(10.0), means), carried(weight, means))


@pytest.mark.parametrize("share", [0, 30, 50, 90])
@pytest.mark.parametrize("biased", [True, False])
def test_accuracy_by_plain_loops(share: int, biased: bool) -> None:
    read, target, weight, bias, means = head(1)
    kept = sorted(range(10), key=lambda j: float(carried(weight, means)[j]))[share // 10 :]
    right = 0
    for sample, label in zip(read, target.tolist(), strict=True):
        logits = [
            float(sum(weight[c, j] * sample[j] for j in kept)) + (float(bias[c]) if biased else 0.0)
            for c in range(4)
        ]
        right += logits.index(max(logits)) == label
    found = accuracy_without(read, target, weight, bias if biased else None, means, share)
    assert found == pytest.approx(right / 60)


def test_the_ranking_comes_from_the_means_alone() -> None:
    weight, bias = torch.eye(2), None
    read, target = torch.tensor([[0.0, 1.0], [0.0, 2.0], [1.0, 0.0]]), torch.tensor([1, 1, 0])
    first, second = torch.tensor([[5.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [0.0, 5.0]])
    assert accuracy_without(read, target, weight, bias, first, 50) == pytest.approx(1 / 3)
    assert accuracy_without(read, target, weight, bias, second, 50) == 1


def test_one_feature_is_always_left() -> None:
    means = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    read = torch.tensor([[0.0, 1.0], [0.5, 2.0]])
    assert accuracy_without(read, torch.tensor([1, 1]), torch.eye(2), None, means, 90) == 1
