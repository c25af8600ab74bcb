"""The two steps that cost something, each with its gradient written out: class sums, and terms of class means.

Both give what autograd gives for the functions of `functional`, in fewer passes over memory: class sums save
their input and no copy of it, terms save the class means and vectors. On the CPU both work in blocks that stay
in the cache. Where a gradient is itself to be differentiated, under `torch.compile` and under `torch.func` the
plain formula runs instead.

Source: METHOD "What makes it cheap".
"""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from torchdiscern import impurities

EPS = 1e-10
BLOCK = 2**18  # numbers in a block: a megabyte of float32, which a core's cache holds
# finding the overload anew takes longer than a small call
_relu_gradient = torch.ops.aten.threshold_backward.grad_input


def class_sums(
    features: Tensor,
    index: Tensor,
    rows: int,
    weight: Tensor | None = None,
    factor: Tensor | None = None,
    *,
    feature_dim: int = 1,
    signed: bool = False,
) -> Tensor:
    """Weighted sums of activations by class: `S[r,j] = factor[r] * sum over i of share[i,r] weight[i] a[i,j]`.

    Args:
        features: `[B, D]` or `[B, D, ...]`; of a map the mean of absolute values is summed.
        index: `[B]`, the row to which each sample is added; or `share` itself, `[B, rows]`.
        rows: of the result.
        weight: `[B]`, without gradient.
        factor: `[rows]`, without gradient; the reciprocal sizes of the classes make the sums means.
        feature_dim: the axis of the features.
        signed: leave the sign.

    Returns:
        `[rows, D]`, in float32 at least.
    """
    with full_precision(features):
        if _takes_the_plain_formula():
            return _plain_sums(features, index, rows, weight, factor, feature_dim, signed)
        sums: Tensor = _ClassSums.apply(features, index, rows, weight, factor, feature_dim, signed)
        return sums


def _takes_the_plain_formula() -> bool:
    """Compilers fuse it better than we do, and the transforms of `torch.func` take no gradient written out."""
    return torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()


def full_precision(x: Tensor) -> AbstractContextManager[object]:
    """Switches autocast off: it would run products in half precision, in which the gradient cancels."""
    # torch 2.6 cannot compile the question whether a device has autocast
    return nullcontext() if x.is_meta else torch.autocast(x.device.type, enabled=False)


def activations(features: Tensor, feature_dim: int, signed: bool) -> Tensor:
    """`a[i,j]`, the mean over all positions of the absolute value, `[B, D]` in float32 at least."""
    x = features if signed else features.abs()
    dtype = torch.promote_types(features.dtype, torch.float32)
    positions = [axis for axis in range(1, x.ndim) if axis != feature_dim % x.ndim]
    return x.mean(positions, dtype=dtype) if positions else x.to(dtype)


def _plain_sums(
    features: Tensor,
    index: Tensor,
    rows: int,
    weight: Tensor | None,
    factor: Tensor | None,
    feature_dim: int,
    signed: bool,
) -> Tensor:
    a = activations(features, feature_dim, signed)
    if weight is not None:
        a = a * weight.unsqueeze(1)
    sums = index.to(a.dtype).T @ a if index.ndim == 2 else a.new_zeros(rows, a.shape[1]).index_add(0, index, a)
    return sums if factor is None else sums * factor.unsqueeze(1)


class _ClassSums(Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        index: Tensor,
        rows: int,
        weight: Tensor | None,
        factor: Tensor | None,
        feature_dim: int,
        signed: bool,
    ) -> Tensor:
        dtype = torch.promote_types(features.dtype, torch.float32)
        x, last = _canonical(features, feature_dim)
        # after a ReLU there is nothing to take the absolute value of; where looking costs no wait, we look
        nonnegative = not signed and x.is_cpu and x.numel() > 0 and x.amin().item() >= 0
        plain = signed or nonnegative
        ctx.save_for_backward(features, index, weight, factor)
        ctx.settings = rows, feature_dim, signed, nonnegative and x.dtype == dtype
        sums = x.new_zeros(rows, features.shape[feature_dim], dtype=dtype)
        as_it_is = plain and x.dtype == dtype
        step = _step(x, sums.shape[1] if as_it_is else x[:1].numel())
        scratch = x.new_empty(x[:step].shape, dtype=dtype) if x.is_cpu and not as_it_is else None
        for block in _blocks(x, step):
            a = _block_activations(x[block], last, plain, dtype, scratch)
            if weight is not None:
                a = a * weight[block].unsqueeze(1)
            if index.ndim == 2:
                sums.addmm_(index[block].to(dtype).T, a)
            else:
                sums.index_add_(0, index[block], a)
        return sums if factor is None else sums.mul_(factor.unsqueeze(1))

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        features, index, weight, factor = ctx.saved_tensors
        rows, feature_dim, signed, nonnegative = ctx.settings
        if torch.is_grad_enabled():  # the gradient is to be differentiated
            with full_precision(features):
                sums = _plain_sums(features, index, rows, weight, factor, feature_dim, signed)
            (gradient,) = torch.autograd.grad(sums, features, grad, create_graph=True)
            return gradient, None, None, None, None, None, None
        x, last = _canonical(features, feature_dim)
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        soft = index.ndim == 2
        own = grad.new_full(x.shape[:1], 1 if x.ndim == 2 else 1 / x.shape[1 if last else 2])
        if weight is not None:
            own *= weight
        if factor is not None:
            if soft:
                grad = grad * factor.unsqueeze(1)
            else:
                own *= factor.index_select(0, index)
        step = _step(x, grad.shape[1] if nonnegative else x[:1].numel())
        scratch = None if nonnegative and x.ndim == 2 else grad.new_empty(x[:step].shape[0], grad.shape[1])
        for block in _blocks(x, step):
            value, found = x[block], out[block]
            pull = found if scratch is None else scratch[: value.shape[0]]
            if soft:
                torch.mm(index[block].to(grad.dtype), grad, out=pull)
            else:
                torch.index_select(grad, 0, index[block], out=pull)
            pull *= own[block].unsqueeze(1)
            if x.ndim == 3:
                pull = pull.unsqueeze(1 if last else 2)
            if signed:
                found.copy_(pull.expand_as(found))
            elif nonnegative:  # the gradient of a ReLU: one pass instead of two
                _relu_gradient(pull.expand_as(value), value, 0, grad_input=found)
            else:
                torch.sign(value, out=found).mul_(pull)
        return _restored(out, features, feature_dim, last), None, None, None, None, None, None


def _canonical(features: Tensor, feature_dim: int) -> tuple[Tensor, bool]:
    """`[B, D]`, `[B, D, S]` or `[B, S, D]`, without a copy where that can be, and whether features are last."""
    if math.prod(features.shape[1:]) == features.shape[feature_dim]:  # one position, as an average pool leaves
        return features.flatten(1), False
    ahead = features.movedim(feature_dim, 1)
    behind = features.movedim(feature_dim, -1)
    last = behind.is_contiguous() and not ahead.is_contiguous()
    return (behind.flatten(1, -2), True) if last else (ahead.flatten(2), False)


def _restored(out: Tensor, features: Tensor, feature_dim: int, last: bool) -> Tensor:
    if out.ndim == 2:
        return out.view(features.shape)
    end = -1 if last else 1
    return out.view(features.movedim(feature_dim, end).shape).movedim(end, feature_dim)


def _step(x: Tensor, numbers: int) -> int:
    """The samples of which the cache holds so many numbers each; all of them where there is no such cache."""
    return max(1, BLOCK // max(1, numbers) if x.is_cpu else x.shape[0])


def _blocks(x: Tensor, step: int) -> Iterator[slice]:
    for start in range(0, x.shape[0], step):
        yield slice(start, start + step)


def _block_activations(x: Tensor, last: bool, plain: bool, dtype: torch.dtype, scratch: Tensor | None) -> Tensor:
    """The activations of a block of samples, `plain` if the absolute value changes nothing or is not wanted."""
    axis = 1 if last else 2
    if x.ndim == 3 and not x.is_cpu:
        if plain:
            return x.mean(axis, dtype=dtype)
        total: Tensor = torch.linalg.vector_norm(x, 1, axis, dtype=dtype)
        return total / x.shape[axis]
    if scratch is None:
        x = (x if plain else x.abs()).to(dtype)
    elif x.dtype == dtype:
        x = torch.abs(x, out=scratch[: x.shape[0]])
    else:
        x = scratch[: x.shape[0]].copy_(x)
        x = x if plain else x.abs_()
    if x.ndim == 2:
        return x
    if last:
        return x.mean(1)
    # a product with a constant vector runs at the speed of memory; a mean over few numbers does not
    share = x.new_full((x.shape[2],), 1 / x.shape[2])
    return torch.mv(x.reshape(-1, x.shape[2]), share).view(x.shape[:2])


def purity_terms(
    class_means: Tensor,
    prior: Tensor,
    num_classes: int,
    *,
    renyi: bool,
    damping: float,
    eps: float,
    within: Tensor | None = None,
    rows: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean impurity (`gini`, or `renyi`), coverage divergence and share of dead features, of class means.

    Args:
        class_means: `M`, `[K, D]`, a row for each class that may be present; all others count as zero.
        prior: `t`, `[K]` (`[C]` with `within`), without gradient.
        num_classes: C, at least K.
        renyi: take Renyi's impurity instead of Gini's.
        damping: see `functional.distribution_of_means`.
        eps: keeps divisions and logarithms finite.
        within: class means of all classes, `[C, D]`, among which those of `class_means` stand already: the
            terms are theirs, and only the rows in `class_means` have a gradient.
        rows: with `within`, where each row of `class_means` stands in it, `[K]`; C for a row that does not.

    Returns:
        Three scalars.
    """
    settings = num_classes, renyi, damping, eps
    with full_precision(class_means):
        if _takes_the_plain_formula():
            return _plain_terms(class_means, prior, settings, within, rows)
        found: tuple[Tensor, Tensor, Tensor] = _PurityTerms.apply(class_means, prior, settings, within, rows)
        return found


def divergence(mass: Tensor, t: Tensor, num_classes: int, eps: float, rest: Tensor | float = 0.0) -> Tensor:
    """KL(t‖q) for the features' mass on each class, `rest` being the mass on classes outside."""
    q = (mass + eps) / (mass.sum() + rest).clamp_min(num_classes * eps)
    return (torch.xlogy(t, t) - t * q.log()).sum()


def damped(sums: Tensor, damping: float, eps: float) -> Tensor:
    """The denominators of `P`: a feature's class means summed, plus what keeps it from 0."""
    return sums + (eps + damping * sums.detach().mean() if damping else eps)


def placed(class_means: Tensor, rows: Tensor | None, within: Tensor) -> Tensor:
    """`within` with its `rows` replaced; those beyond its end are left out. Copies it."""
    if rows is None:
        return class_means
    inside = (rows < within.shape[0]).unsqueeze(1)
    rows = rows.clamp_max(within.shape[0] - 1)
    return within.index_add(0, rows, (class_means - within[rows]) * inside)


Settings = tuple[int, bool, float, float]  # num_classes, renyi, damping, eps


def _plain_terms(
    M: Tensor, t: Tensor, settings: Settings, within: Tensor | None, rows: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    num_classes, renyi, damping, eps = settings
    if within is not None:
        M = placed(M, rows, within)
    sums = M.sum(0)
    P = M / damped(sums, damping, eps)
    impurity = (impurities.renyi(P, num_classes) if renyi else impurities.gini(P)).mean()
    return impurity, divergence(P.sum(1), t, num_classes, eps), (sums == 0).to(sums.dtype).mean()


class _PurityTerms(Function):
    @staticmethod
    def forward(
        ctx: Any, M: Tensor, t: Tensor, settings: Settings, within: Tensor | None, rows: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        num_classes, renyi, damping, eps = settings
        every = M if within is None else within
        sums = every.sum(0)
        inverse = damped(sums, damping, eps).reciprocal_()
        mass, purity = every.new_empty(every.shape[0]), torch.zeros_like(sums)
        ones = torch.ones_like(mass)
        step = _step(every, every.shape[1])
        scratch = torch.empty_like(every[:step])
        for block in _blocks(every, step):
            P = torch.mul(every[block], inverse, out=scratch[: ones[block].shape[0]])
            torch.sum(P, 1, out=mass[block])
            purity.addmv_(P.mul_(P).T, ones[block])
        total = mass.sum()
        least = num_classes * eps
        normaliser = total.clamp_min(least)
        excess = t / (mass + eps) * normaliser  # t / q
        kl = torch.xlogy(t, excess).sum()
        # q's normaliser has a gradient, unless all features are dead
        pull = ((total > least) * t.sum() - excess) / normaliser
        mean_pull = (pull @ every).mul_(inverse)
        if rows is not None:
            pull = pull[rows.clamp_max(num_classes - 1)]
        slope = torch.full_like(sums, -2 / sums.numel())
        if renyi:
            slope /= purity * math.log(num_classes)
        scale = (slope * inverse).mul_(inverse)
        # dead, or so small beside eps or under damping that its share of a class has no square
        faded = (purity < torch.finfo(purity.dtype).tiny) | scale.isinf()
        slope.masked_fill_(faded, 0.0)
        scale.masked_fill_(faded, 0.0)
        ctx.save_for_backward(M, t, rows, inverse, slope.mul_(purity), scale, pull, mean_pull)
        ctx.settings = settings
        # a memory that the next batch may change; the gradient needs nothing of it, the gradient's gradient does
        ctx.within, ctx.version = within, None if within is None else within._version
        dead_share = (sums == 0).to(sums.dtype).mean()
        ctx.mark_non_differentiable(dead_share)
        impurity = (impurities.renyi_of_purity(purity, num_classes) if renyi else 1 - purity).mean()
        return impurity, kl, dead_share

    @staticmethod
    def backward(ctx: Any, impurity_grad: Tensor, kl_grad: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        M, t, rows, inverse, mean_slope, scale, pull, mean_pull = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is to be differentiated
            if ctx.within is not None and ctx.within._version != ctx.version:
                raise RuntimeError(
                    "create_graph: the loss's memory has moved since this loss was computed, expected no call in "
                    "between; take the gradient with create_graph=True before the next call of the loss."
                )
            with full_precision(M):
                terms = _plain_terms(M, t, ctx.settings, ctx.within, rows)[:2]
                (gradient,) = torch.autograd.grad(terms, M, (impurity_grad, kl_grad), create_graph=True)
            return gradient, None, None, None, None
        # dLoss/dP[c,j] = slope[j] P[c,j] + pull[c]; its mean under P[:,j] leaves through the denominator
        offset = -inverse * (mean_slope * impurity_grad + mean_pull * kl_grad)
        scale, pull = scale * impurity_grad, pull * kl_grad
        gradient = torch.empty_like(M)
        for block in _blocks(M, _step(M, M.shape[1])):
            torch.addcmul(offset, M[block], scale, out=gradient[block])
            gradient[block].addr_(pull[block], inverse)
        return gradient, None, None, None, None
