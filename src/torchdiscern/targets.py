"""Every kind of target becomes the same thing: rows of features, each with the class that it counts for.

Class indices of samples or of positions, soft and multi-label targets, dense or sparse; sample and class
weights, ignored labels, masks, and fine classes read as coarse ones. What goes beyond class indices of samples
is an extension.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from torchdiscern.closed_form import activations, class_sums


class ClassSums(NamedTuple):
    """Sums of activations by class, of the classes that may be present.

    `sums`, `[K, D]`: weighted sums of activations. `counts`, `[K]`: sums of the weights. `classes`, `[K]`: the
    class of each row, C for a row without one; None where row and class are the same.
    """

    sums: Tensor
    counts: Tensor
    classes: Tensor | None


class Rows(NamedTuple):
    """Features and the classes for which they count.

    `features`: `[R, D]` or `[R, D, ...]`, with the features on axis `feature_dim`. `row`: `[R]`, for each the
    row of the class sums to which it is added, `size` where it is left out; or its share in each row,
    `[R, size]`. `weight`: `[R]`. `ignoring`: 1 where the sums take a row more, for what is left out. `signed`:
    the activations stand there already.
    """

    features: Tensor
    feature_dim: int
    row: Tensor
    size: int
    weight: Tensor | None
    classes: Tensor | None
    ignoring: int
    signed: bool


def rows_of(
    features: Tensor,
    target: Tensor,
    num_classes: int,
    *,
    feature_dim: int = 1,
    signed: bool = False,
    ignore_index: int = -100,
    weight: Tensor | None = None,
    class_weight: Tensor | None = None,
    mask: Tensor | None = None,
    coarse: Tensor | None = None,
    coarse_classes: int = 0,
) -> Rows:
    """Brings features and a target that were checked into one form; see `functional.terms` for the kinds.

    Args:
        coarse: the coarse class of each of the C classes: the rows are those of `coarse_classes` classes then.
    """
    dtype = torch.promote_types(features.dtype, torch.float32)
    weight = None if weight is None else weight.detach().to(dtype)
    soft = target.is_floating_point() or target.dtype == torch.bool
    if not soft and target.ndim > 1:
        features = features.movedim(feature_dim, -1).flatten(0, -2)
        if weight is not None and weight.ndim == 1:
            weight = weight.unsqueeze(1).expand(target.shape[0], target[:1].numel())
        weight = None if weight is None else weight.flatten()
        if mask is not None:
            target = target.long().masked_fill(~mask, ignore_index)
        target, feature_dim = target.flatten(), 1
    elif mask is not None:
        seen = mask.flatten(1).any(1).to(dtype)  # a sample of which nothing is read counts for nothing
        weight = seen if weight is None else weight * seen
        features, feature_dim, signed = _masked_activations(features, mask, feature_dim, signed), 1, True
    size = num_classes if coarse is None else coarse_classes
    if soft and not target.is_sparse:
        share = target.detach().to(dtype)
        share = share if class_weight is None else share * class_weight.to(dtype)
        if coarse is not None:
            share = share.new_zeros(share.shape[0], size).index_add(1, coarse, share)
        return Rows(features, feature_dim, share, size, weight, None, 0, signed)
    if soft:
        entries = target.detach().coalesce()
        sample, target = entries.indices()
        weight = entries.values().to(dtype) * (1 if weight is None else weight[sample])
        features = activations(features, feature_dim, signed).index_select(0, sample)
        feature_dim, signed = 1, True

    target = target.long()
    looking = target.is_cpu and not torch.compiler.is_compiling()
    ignored = torch.zeros_like(target, dtype=torch.bool) if soft else target == ignore_index
    ignoring = int(not looking or bool(ignored.any()))
    known = target
    if ignoring:  # an index that nobody could check stops the program where it is used, below
        known = target.masked_fill(ignored | (target < 0) | (target >= num_classes), 0)
    if class_weight is not None:
        own = class_weight.to(dtype)[known]
        weight = own if weight is None else weight * own
    index = known if coarse is None else coarse[known]
    index = index.masked_fill(ignored, size) if ignoring else index
    classes, rows = None, size
    if size > index.shape[0]:
        rows = index.shape[0]
        index, classes = relabel(index, size)
        index = index.masked_fill(ignored, rows) if ignoring else index
    if not looking:
        index = torch.where(ignored | ((target >= 0) & (target < num_classes)), index, rows + 1)
    return Rows(features, feature_dim, index, rows, weight, classes, ignoring, signed)


def relabel(target: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Numbers the classes present from 0 on, in as many rows as there are samples: nothing waits for a count.

    Args:
        target: `[R]`, class indices up to `num_classes`, which stands for none.
        num_classes: C.

    Returns:
        The row of each sample, `[R]`, and the class of each row, `[R]`, with C for rows that stay empty.
    """
    ordered, order = target.sort()
    begins = torch.cat([torch.zeros_like(ordered[:1]), (ordered[1:] != ordered[:-1]).long()])
    row = begins.cumsum(0)
    classes = torch.full_like(target, num_classes).scatter(0, row, ordered)
    return torch.empty_like(row).scatter(0, order, row), classes


def _masked_activations(features: Tensor, mask: Tensor, feature_dim: int, signed: bool) -> Tensor:
    x = features.movedim(feature_dim, -1).flatten(1, -2)
    inside = mask.flatten(1).unsqueeze(2)
    x = x.to(torch.promote_types(x.dtype, torch.float32)).masked_fill(~inside, 0.0)
    return (x if signed else x.abs()).sum(1) / inside.sum(1).clamp_min(1)


def sums_of(rows: Rows) -> ClassSums:
    """Sums by class."""
    return _summed(rows, _counts(rows))


def means_of(rows: Rows, eps: float) -> ClassSums:
    """Means by class, `M[c,j] = S[c,j] / (n[c] + eps)`, in the place of the sums."""
    counts = _counts(rows)
    return _summed(rows, counts, (counts + eps).reciprocal())


def every_class(found: ClassSums, num_classes: int) -> ClassSums:
    """The same with a row for each of the C classes."""
    if found.classes is None:
        return found
    sums = found.sums.new_zeros(num_classes + 1, found.sums.shape[1]).index_add(0, found.classes, found.sums)
    counts = found.counts.new_zeros(num_classes + 1).index_add(0, found.classes, found.counts)
    return ClassSums(sums[:num_classes], counts[:num_classes], None)


def _counts(rows: Rows) -> Tensor:
    dtype = torch.promote_types(rows.features.dtype, torch.float32)
    weight = rows.weight
    if rows.row.ndim == 2:
        return (rows.row if weight is None else rows.row * weight.unsqueeze(1)).sum(0)
    if weight is None:
        weight = torch.ones(rows.row.shape, dtype=dtype, device=rows.row.device)
    counts = weight.new_zeros(rows.size + rows.ignoring).index_add(0, rows.row, weight)
    return counts[: rows.size]


def _summed(rows: Rows, counts: Tensor, factor: Tensor | None = None) -> ClassSums:
    if factor is not None and rows.ignoring:
        factor = torch.cat([factor, factor.new_zeros(1)])
    sums = class_sums(
        rows.features,
        rows.row,
        rows.size + rows.ignoring,
        rows.weight,
        factor,
        feature_dim=rows.feature_dim,
        signed=rows.signed,
    )
    return ClassSums(sums[: rows.size] if rows.ignoring else sums, counts, rows.classes)
