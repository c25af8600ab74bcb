"""Impurity of each feature from its class distribution `P`: how far it is from firing for one class only."""

import math
from typing import Literal

import torch
from torch import Tensor

Impurity = Literal["gini", "entropy", "renyi", "shannon"]


def gini(distribution: Tensor) -> Tensor:
    """Gini impurity of each feature, `1 - sum over c of P[c,j]^2`.

    0: the feature fires for one class only; `1 - 1/C`: alike for all. A dead feature counts 1.

    Args:
        distribution: `P`, `[C, D]`.

    Returns:
        `[D]`.

    Source: METHOD "Gini term".

    Example:
        >>> import torch
        >>> gini(torch.tensor([[1.0, 0.5], [0.0, 0.5]]))
        tensor([0.0000, 0.5000])
    """
    return 1 - distribution.square().sum(0)


def entropy(distribution: Tensor) -> Tensor:
    """Entropy of each feature as the authors wrote it, `-sum over c of P[c,j] log10 P[c,j]`.

    Meant for the softmax distribution. 0: one class only; `log10 C`: alike for all.

    Args:
        distribution: `P`, `[C, D]`.

    Returns:
        `[D]`.

    Source: METHOD "entropy alternative".

    Example:
        >>> import torch
        >>> entropy(torch.full((10, 1), 0.1))
        tensor([1.])
    """
    return nats(distribution) / math.log(10)


def renyi(distribution: Tensor, num_classes: int | None = None) -> Tensor:
    """Scale-free impurity of each feature: Renyi's entropy of order 2, `-log(sum over c of P[c,j]^2) / log C`.

    0: one class only; 1: alike for all, whatever C. Its slope does not shrink with the number of classes as
    the Gini impurity's does. With damping a fading feature exceeds 1; a dead one counts 1.

    Args:
        distribution: `P`, `[C, D]`.
        num_classes: C, where the distribution lacks rows of classes that have no share.

    Returns:
        `[D]`.

    Source: METHOD "scale-free impurity" (extension).

    Example:
        >>> import torch
        >>> renyi(torch.tensor([[1.0, 0.5], [0.0, 0.5]]))
        tensor([-0., 1.])
    """
    return renyi_of_purity(distribution.square().sum(0), num_classes or distribution.shape[0])


def renyi_of_purity(purity: Tensor, num_classes: int) -> Tensor:
    """Renyi's impurity from `sum over c of P[c,j]^2`, `[D]`."""
    # below the smallest normal number the logarithm's slope is infinite
    faded = purity < torch.finfo(purity.dtype).tiny
    return (-purity.masked_fill(faded, 1.0).log() / math.log(num_classes)).masked_fill(faded, 1.0)


def shannon(distribution: Tensor, num_classes: int | None = None) -> Tensor:
    """Scale-free impurity of each feature: Shannon's entropy, `-sum over c of P[c,j] log P[c,j] / log C`.

    0: one class only; 1: alike for all, whatever C. A dead feature counts 1. Of a damped distribution take
    `shannon(spread_rest(P))`.

    Args:
        distribution: `P`, `[C, D]`.
        num_classes: C, where the distribution lacks rows of classes that have no share.

    Returns:
        `[D]`.

    Source: METHOD "scale-free impurity" (extension).

    Example:
        >>> import torch
        >>> shannon(torch.tensor([[1.0, 0.5], [0.0, 0.5]]))
        tensor([-0., 1.])
    """
    value = nats(distribution) / math.log(num_classes or distribution.shape[0])
    return value.masked_fill((distribution == 0).all(0), 1.0)


def spread_rest(distribution: Tensor) -> Tensor:
    """Spreads the share that damping took from each feature evenly over the classes.

    The entropy of a damped distribution falls as a feature fades, so that damping, which is there to keep
    features from dying, would kill them under `shannon`. With the rest spread, a fading feature is an impure one.

    Args:
        distribution: `P` with damping, `[C, D]`.

    Returns:
        `[C, D]`, each column summing to 1.

    Source: extension; it differs from METHOD's Shannon form where that is damped.

    Example:
        >>> import torch
        >>> spread_rest(torch.tensor([[0.8, 0.0], [0.0, 0.0]]))
        tensor([[0.9000, 0.5000],
                [0.1000, 0.5000]])
    """
    return distribution + (1 - distribution.sum(0)).clamp_min(0) / distribution.shape[0]


def nats(distribution: Tensor) -> Tensor:
    """Entropy of each feature in nats."""
    # the logarithm's gradient at 0 is infinite, and infinity times 0 is NaN
    logs = distribution.masked_fill(distribution == 0, 1.0).log()
    return -(distribution * logs).sum(0)


IMPURITIES = {"gini": gini, "entropy": entropy, "renyi": renyi, "shannon": shannon}
