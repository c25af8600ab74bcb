"""The terms of one layer together: the path that the loss takes, in which only the classes at hand have a row.

`functional` has the same steps one by one, each on all classes; the tests hold the two to one another.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from torchdiscern import checks, inputs
from torchdiscern.closed_form import EPS, damped, divergence, placed, purity_terms
from torchdiscern.impurities import IMPURITIES, Impurity, nats, shannon
from torchdiscern.targets import ClassSums, means_of, rows_of


class Terms(NamedTuple):
    """The terms of one layer, unweighted: scalars."""

    impurity: Tensor
    coverage_divergence: Tensor
    dead_share: Tensor


def terms(
    features: Tensor,
    target: Tensor,
    num_classes: int,
    *,
    impurity: Impurity = "gini",
    prior: str | Tensor = "batch",
    damping: float = 0.0,
    feature_dim: int = 1,
    ignore_index: int = -100,
    weight: Tensor | None = None,
    mask: Tensor | None = None,
    eps: float = EPS,
) -> Terms:
    """The terms of one layer: mean impurity, coverage divergence, share of dead features.

    The same values as the functions of `functional` give one after the other, without a tensor of `[B, C]` or
    `[C, D]` and with the gradient written out (`"gini"` and `"renyi"`): the cost does not depend on C.

    Args:
        features: activations of one layer, `[B, D]` or `[B, D, ...]`.
        target: class indices `[B]` in `[0, C)`; or, all extensions, class indices of the positions `[B, ...]`,
            shares `[B, C]` of each sample in the classes (floats, dense or sparse COO), or labels `[B, C]`
            (booleans) of which a sample may have several.
        num_classes: C.
        impurity: `"gini"`, `"entropy"` (brings the softmax distribution with it), `"renyi"` or `"shannon"` (with
            damping, after `spread_rest`).
        prior: `"batch"` (`t[c] = n[c] / B`), `"uniform"` or a distribution `[C]`. A given prior is
            conditioned on the classes present in the batch (see `functional.coverage_divergence`; the entropy
            alternative needs no such rule, as its absent classes have a share too).
        damping: see `functional.distribution_of_means`.
        feature_dim: the axis of the features, -1 for `[B, T, D]`.
        ignore_index: the class index of samples and positions to leave out (extension).
        weight: `[B]`, or one a position, at least 0: how much each counts (extension).
        mask: `[B, ...]`, true at the positions to be read (extension).
        eps: keeps divisions and logarithms finite.

    Returns:
        `Terms(impurity, coverage_divergence, dead_share)`, scalars in float32 at least.

    Raises:
        TypeError: a wrong type or dtype.
        ValueError: a wrong shape, length, name or device, or (checked on the CPU) an index outside `[0, C)` or a
            share or weight below 0.

    Source: METHOD, the whole table.

    Example:
        >>> features = torch.tensor([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]])  # the third feature is dead
        >>> terms(features, torch.tensor([0, 1]), num_classes=2).dead_share
        tensor(0.3333)
    """
    checks.check_num_classes(num_classes)
    checks.check_choice(impurity, "impurity", IMPURITIES)
    checks.check_damping(damping, impurity)
    inputs.check_features(features, feature_dim=feature_dim)
    inputs.check_any_target(
        target,
        features,
        num_classes,
        feature_dim=feature_dim,
        ignore_index=ignore_index,
        weight=weight,
        mask=mask,
    )
    prior = checks.check_prior(prior, num_classes)
    if isinstance(prior, Tensor):
        inputs.check_prior_device(prior, features)
    rows = rows_of(
        features,
        target,
        num_classes,
        feature_dim=feature_dim,
        signed=impurity == "entropy",
        ignore_index=ignore_index,
        weight=weight,
        mask=mask,
    )
    return terms_of_means(means_of(rows, eps), num_classes, impurity, prior, damping, eps)


def terms_of_means(
    means: ClassSums,
    num_classes: int,
    impurity: Impurity,
    prior: str | Tensor,
    damping: float,
    eps: float,
    within: Tensor | None = None,
) -> Terms:
    """The terms of class means (in the place of the sums), unchecked.

    Args:
        means: of the classes that may be present, with the sizes that make the batch prior.
        num_classes: C.
        impurity, prior, damping, eps: as in `terms`.
        within: class means of all classes, `[C, D]`, among which the batch's stand already; the counts are
            those of all classes then. The gradient goes to the batch's means only.

    Returns:
        `Terms(impurity, coverage_divergence, dead_share)`.
    """
    M, counts, classes = means
    tiny = torch.finfo(counts.dtype).tiny
    if isinstance(prior, str) and prior == "batch":
        t = counts / counts.sum().clamp_min(tiny)
    else:
        t = torch.full_like(counts, 1 / num_classes)
        if isinstance(prior, Tensor):
            t = prior.to(M.dtype)
            if classes is not None and within is None:
                t = t[classes.clamp_max(num_classes - 1)]
        # a class that the batch lacks has no feature yet, and no gradient could mend that
        t = t * (counts > 0)
        if impurity != "entropy":
            t = t / t.sum().clamp_min(tiny)
    if impurity in ("gini", "renyi"):
        rows = classes if within is not None else None
        renyi = impurity == "renyi"
        found = purity_terms(M, t, num_classes, renyi=renyi, damping=damping, eps=eps, within=within, rows=rows)
        return Terms(*found)
    if within is not None:
        M = placed(M, classes, within)
    if impurity == "entropy":
        return _softmax_terms(M, t, prior, num_classes, eps)
    P = M / damped(M.sum(0), damping, eps)
    if damping:
        # as spread_rest does, which would need a row for every class
        rest = (1 - P.sum(0)).clamp_min(0) / num_classes
        outside = num_classes - M.shape[0]
        value = shannon(P + rest, num_classes) + outside * nats(rest.unsqueeze(0)) / math.log(num_classes)
    else:
        value = shannon(P, num_classes)
    return Terms(value.mean(), divergence(P.sum(1), t, num_classes, eps), _dead_share(M))


def _softmax_terms(M: Tensor, t: Tensor, prior: str | Tensor, num_classes: int, eps: float) -> Terms:
    """The entropy alternative, where a class without a row has a mean of 0 and hence a share."""
    outside = num_classes - M.shape[0]
    M = M.masked_fill(~M.isfinite().all(0), math.nan)
    means = torch.cat([M, M.new_full((1, M.shape[1]), math.log(outside))]) if outside else M
    normaliser = means.logsumexp(0)
    P, absent = (M - normaliser).exp(), (-normaliser).exp()
    entropy = -(P * (M - normaliser)).sum(0) + outside * absent * normaliser
    mass, absent_mass = P.sum(1), absent.sum()
    kl = divergence(mass, t, num_classes, eps, outside * absent_mass)
    if not isinstance(prior, str) or prior == "uniform":
        # t holds the shares of the classes present; the others have one share of the features alike
        everywhere = (
            prior.to(t.dtype) if isinstance(prior, Tensor) else t.new_full((num_classes,), 1 / num_classes)
        )
        rest = everywhere.sum() - t.sum()
        q = (absent_mass + eps) / (mass.sum() + outside * absent_mass).clamp_min(num_classes * eps)
        kl = kl + torch.xlogy(everywhere, everywhere).sum() - torch.xlogy(t, t).sum() - rest * q.log()
    return Terms(entropy.mean() / math.log(10), kl, _dead_share(M))


def _dead_share(M: Tensor) -> Tensor:
    return (M == 0).all(0).to(M.dtype).mean().detach()
