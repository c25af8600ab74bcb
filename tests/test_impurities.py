import math

import pytest
import torch

from torchdiscern.impurities import IMPURITIES, Impurity, entropy, gini, renyi, shannon, spread_rest

P = torch.tensor([[0.5, 1.0, 0.0], [0.25, 0.0, 0.0], [0.25, 0.0, 0.0]], dtype=torch.float64)  # the last is dead


def test_values() -> None:
    nats = 0.5 * math.log(2) + 0.5 * math.log(4)
    assert gini(P).tolist() == pytest.approx([1 - 0.375, 0, 1])
    assert renyi(P).tolist() == pytest.approx([-math.log(0.375) / math.log(3), 0, 1])
    assert shannon(P).tolist() == pytest.approx([nats / math.log(3), 0, 1])
    assert entropy(P)[:2].tolist() == pytest.approx([nats / math.log(10), 0])


@pytest.mark.parametrize("kind", IMPURITIES)
def test_gradients_are_finite_where_a_share_is_zero(kind: Impurity) -> None:
    x = P.clone().requires_grad_()
    IMPURITIES[kind](x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad[:, 2].tolist() == [0, 0, 0]  # a dead feature


def test_a_fading_feature_grows_impure_where_the_rest_is_spread() -> None:
    fading = torch.tensor([[1.0, 0.5, 0.1, 0.0], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    impurities = shannon(spread_rest(fading)).tolist()
    assert impurities == sorted(impurities)
    assert impurities[0] == 0
    assert impurities[-1] == pytest.approx(1)
    assert shannon(fading)[2] < shannon(fading)[1]  # and would not otherwise
