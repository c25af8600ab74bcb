"""The mathematics: pure functions on tensors, without state and without modules.

Symbols, the same everywhere: B samples, C classes, D features; `a[i,j]` the activation of feature j for
sample i, `y[i]` its class, `n[c]` the samples of class c in the batch, `M[c,j]` class means, `P[c,j]` the
class distribution of feature j, `q[c]` the share of features per class, `t[c]` the prior.

Half-precision features are computed with in float32, float32 and float64 in their own type. All functions
can be differentiated twice.

Source: Croitoru, Grigore and Ionescu, "Discriminability-enforcing loss to improve representation learning",
CVPR Workshops 2022, arXiv 2202.07073. What goes beyond the paper is marked as an extension.
"""

import math

import torch
from torch import Tensor

from torchdiscern import checks, inputs
from torchdiscern.closed_form import EPS, activations, damped, divergence
from torchdiscern.impurities import IMPURITIES, Impurity, entropy, gini, renyi, shannon, spread_rest
from torchdiscern.terms import Terms, terms

__all__ = [
    "IMPURITIES",
    "Impurity",
    "Terms",
    "activation",
    "class_counts",
    "class_distribution",
    "class_means",
    "coverage_divergence",
    "distribution_of_means",
    "entropy",
    "gini",
    "impurity",
    "renyi",
    "shannon",
    "spread_rest",
    "terms",
]


def activation(features: Tensor, *, feature_dim: int = 1, signed: bool = False) -> Tensor:
    """Activation of each feature for each sample: the mean of its absolute values over all positions.

    `a[i,j] = mean over positions of abs(x[i,j,...])`. After a ReLU the absolute value does nothing and this is
    the global average pool that a network computes anyway.

    Args:
        features: activations of one layer, `[B, D]` or `[B, D, ...]` with any number of spatial or token axes.
        feature_dim: the axis of the features: 1 for `[B, D, H, W]`, -1 for the `[B, T, D]` of a transformer.
        signed: leave the sign (the entropy alternative does).

    Returns:
        `[B, D]`, in float32 at least.

    Raises:
        TypeError: features are no floating-point tensor.
        ValueError: features have one dimension or are empty, or have no such `feature_dim`.

    Source: METHOD "activation".

    Example:
        >>> activation(torch.tensor([[[1.0, -3.0], [0.0, 4.0]]]))
        tensor([[2., 2.]])
    """
    inputs.check_features(features, feature_dim=feature_dim)
    return activations(features, feature_dim, signed)


def class_counts(target: Tensor, num_classes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Samples of each class in the batch, `n[c]`.

    Args:
        target: class indices `[B]` in `[0, C)`.
        num_classes: C.
        dtype: of the result.

    Returns:
        `[C]`.

    Source: METHOD "class mean".

    Example:
        >>> class_counts(torch.tensor([0, 2, 2]), num_classes=3)
        tensor([1., 0., 2.])
    """
    ones = torch.ones(target.shape[0], dtype=dtype, device=target.device)
    return ones.new_zeros(num_classes).index_add(0, _index(target, num_classes), ones)


def _index(target: Tensor, num_classes: int) -> Tensor:
    # a compiled index_add counts a negative index from behind; this one stops it where one too large does
    index = target.long()
    return torch.where(index < 0, num_classes, index)


def _at_least_float32(x: Tensor) -> Tensor:
    # in half precision eps is 0
    return x.to(torch.promote_types(x.dtype, torch.float32))


def class_means(activation: Tensor, target: Tensor, num_classes: int, *, eps: float = EPS) -> Tensor:
    """Mean activation of each feature over the samples of each class.

    `M[c,j] = (sum over i with y[i]=c of a[i,j]) / (n[c] + eps)`; an absent class has `M = 0`.

    Args:
        activation: `a`, `[B, D]`.
        target: class indices `[B]` in `[0, C)`.
        num_classes: C.
        eps: keeps the division finite.

    Returns:
        `M`, `[C, D]`, in float32 at least.

    Raises:
        TypeError: a wrong type or dtype.
        ValueError: a wrong shape, length or device, or (checked on the CPU) an index outside `[0, C)`.

    Source: METHOD "class mean".

    Example:
        >>> class_means(torch.tensor([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0]]), torch.tensor([0, 0, 1]), 2)
        tensor([[2., 0.],
                [0., 5.]])
    """
    checks.check_num_classes(num_classes)
    inputs.check_features(activation, name="activation")
    inputs.check_target(target, activation, num_classes, name="activation")
    a = _at_least_float32(activation)
    return _class_means(a, target, class_counts(target, num_classes, a.dtype), eps)


def _class_means(a: Tensor, target: Tensor, counts: Tensor, eps: float) -> Tensor:
    num_classes = counts.shape[0]
    sums = a.new_zeros(num_classes, a.shape[1]).index_add(0, _index(target, num_classes), a)
    return sums / (counts + eps).unsqueeze(1)


def distribution_of_means(
    class_means: Tensor, *, damping: float = 0.0, softmax: bool = False, eps: float = EPS
) -> Tensor:
    """Class distribution of each feature from its class means.

    `P[c,j] = M[c,j] / (sum over c of M[c,j] + damping * mean over j of sum over c of M[c,j] + eps)`, the mean
    taken without gradient. A dead feature has `P[:, j] = 0`.

    Args:
        class_means: `M`, `[C, D]`.
        damping: 0 is the authors' formula. Above 0 a fading feature gets a small P, hence a large impurity,
            and is pulled back before it dies (extension).
        softmax: `P = softmax over c of M` over all classes, absent ones included (the entropy alternative).
        eps: keeps the division finite.

    Returns:
        `P`, `[C, D]`, in float32 at least. NaN or infinite class means give NaN.

    Source: METHOD "class distribution of a feature", "entropy alternative", "damping".

    Example:
        >>> distribution_of_means(torch.tensor([[1.0, 0.0], [3.0, 2.0]]))
        tensor([[0.2500, 0.0000],
                [0.7500, 1.0000]])
    """
    class_means = _at_least_float32(class_means)
    if softmax:
        # softmax alone would turn a mean of -inf into a probability of 0
        finite = class_means.isfinite().all(0)
        return class_means.softmax(0).masked_fill(~finite, math.nan)
    return class_means / damped(class_means.sum(0), damping, eps)


def class_distribution(
    features: Tensor,
    target: Tensor,
    num_classes: int,
    *,
    feature_dim: int = 1,
    damping: float = 0.0,
    softmax: bool = False,
    eps: float = EPS,
) -> Tensor:
    """Class distribution of each feature: how its activation is shared among the classes.

    Args:
        features: activations of one layer, `[B, D]` or `[B, D, ...]`.
        target: class indices `[B]` in `[0, C)`.
        num_classes: C.
        feature_dim: the axis of the features, -1 for `[B, T, D]`.
        damping: see `distribution_of_means`.
        softmax: the entropy alternative's distribution: signed activations, softmax over the classes.
        eps: keeps the divisions finite.

    Returns:
        `P`, `[C, D]`, in float32 at least. Each column sums to 1 (to 0 for a dead feature, below 1 with
        damping).

    Raises:
        TypeError: a wrong type or dtype.
        ValueError: a wrong shape, length or device, or (checked on the CPU) an index outside `[0, C)`.

    Source: METHOD "class distribution of a feature".

    Example:
        >>> features = torch.tensor([[4.0, 1.0], [0.0, 1.0]])  # the first feature fires for class 0 only
        >>> class_distribution(features, torch.tensor([0, 1]), num_classes=2)
        tensor([[1.0000, 0.5000],
                [0.0000, 0.5000]])
    """
    a = activation(features, feature_dim=feature_dim, signed=softmax)
    means = class_means(a, target, num_classes, eps=eps)
    return distribution_of_means(means, damping=damping, softmax=softmax, eps=eps)


def impurity(distribution: Tensor, kind: Impurity = "gini") -> Tensor:
    """Impurity of each feature, by name.

    Args:
        distribution: `P`, `[C, D]`.
        kind: `"gini"`, `"entropy"`, `"renyi"` or `"shannon"`; see the functions of these names.

    Returns:
        `[D]`.

    Raises:
        ValueError: an unknown kind; the nearest name is given.

    Source: METHOD "Gini term", "entropy alternative", "scale-free impurity".

    Example:
        >>> impurity(torch.tensor([[1.0, 0.5], [0.0, 0.5]]), "gini")
        tensor([0.0000, 0.5000])
    """
    checks.check_choice(kind, "impurity", IMPURITIES)
    return IMPURITIES[kind](distribution)


def coverage_divergence(
    distribution: Tensor, prior: Tensor, *, present: Tensor | None = None, eps: float = EPS
) -> Tensor:
    """How far the share of features per class is from the prior: KL(t‖q), in nats.

    `q[c] = (sum over j of P[c,j] + eps) / (sum over c and j of P[c,j])` and
    `kl = sum over c of t[c] * (log t[c] - log q[c])`, with `0 log 0 = 0`. Where every feature is dead, q is
    taken as uniform.

    Args:
        distribution: `P`, `[C, D]`.
        prior: `t`, `[C]`, summing to 1.
        present: `[C]` booleans. A class outside is left out and the prior made to sum to 1 over the others: a
            class that the batch lacks has no feature yet, `log q` of it is about -30, and no gradient could
            mend that (extension).
        eps: keeps the logarithm finite.

    Returns:
        A scalar, at least 0 up to rounding.

    Source: METHOD "share of features per class", "KL term".

    Example:
        >>> P = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]])  # two features a class
        >>> coverage_divergence(P, torch.tensor([0.5, 0.5]))
        tensor(0.)
    """
    distribution = _at_least_float32(distribution)
    t = prior.to(distribution.dtype)
    if present is not None:
        t = t * present
        t = t / t.sum().clamp_min(torch.finfo(t.dtype).tiny)
    return divergence(distribution.sum(1), t, distribution.shape[0], eps)
