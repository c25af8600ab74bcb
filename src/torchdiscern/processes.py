"""Class sums across processes: one collective a call, for all layers together.

Each process sums its own samples; what travels is a row of sums for each class, never a sample. Two forms, and
the processes agree on one in the first call, when they exchange a few numbers:

- few classes: a table of all classes, `[C, D + 1]`, is summed over the processes (all-reduce);
- many classes: each process sends the rows of its own classes, `[K, D + 2]` with K the largest number of rows
  that a process had in the first call, and all add up what they receive (all-gather).

The smaller of C and `processes * K` decides, so that what a process receives is O(classes present * D).

Source: extension.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import Function

from torchdiscern.targets import ClassSums, every_class, relabel

Group = Any  # dist.ProcessGroup is absent where torch was built without distributed


def processes(group: Group = None) -> int:
    """Processes in the group; 1 where none was initialised."""
    return dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1


def agree(layers: list[ClassSums], num_classes: list[int], group: Group = None) -> int:
    """The largest number of rows that any process has; a collective that waits for its answer.

    Raises:
        ValueError: on every process, if they differ in layers, features, classes or types.
    """
    types = [sums.element_size() for sums, _, _ in layers]
    mine = [len(layers), *num_classes, *(sums.shape[1] for sums, _, _ in layers), *types]
    signature = hash(tuple(mine)) % 2**31  # of whole numbers, so the same in every process
    rows = max(sums.shape[0] for sums, _, _ in layers)
    asked = torch.tensor([rows, signature, -signature], device=layers[0].sums.device)
    dist.all_reduce(asked, dist.ReduceOp.MAX, group=group)
    rows, most, least = asked.tolist()
    if most != -least:
        shapes = ", ".join(f"{sums.shape[1]} features" for sums, _, _ in layers)
        raise ValueError(
            f"features: this process has {len(layers)} layers ({shapes}) of {num_classes} classes and another "
            "process has others, expected the same in all; tap the same layers everywhere, or pass sync=False."
        )
    return int(rows)


def together(layers: list[ClassSums], num_classes: list[int], rows: int, group: Group = None) -> list[ClassSums]:
    """The class sums of all processes' samples.

    The gradient is that of one process on the concatenated batch, times the number of processes, since data
    parallel training averages the gradients over the processes afterwards. It needs no collective: every
    process knows all sums.

    Args:
        layers: this process's sums.
        num_classes: C of each layer.
        rows: what `agree` gave.
        group: a process group; None is the default one.

    Returns:
        The sums of all, the same in every process.
    """
    world = processes(group)
    widths = [sums.shape[1] for sums, _, _ in layers]
    table = sum(C * D for C, D in zip(num_classes, widths, strict=True))
    if table <= world * rows * sum(widths):
        return _as_tables(layers, num_classes, group)
    most = max(sums.shape[0] for sums, _, _ in layers)
    if most > rows:
        raise ValueError(
            f"features: this batch has {most} samples or positions, expected at most {rows}, the most of the "
            "first call in any process; begin with the largest batch, or call criterion.agree_again() in every "
            "process."
        )
    return _as_rows(layers, num_classes, rows, group)


def _as_tables(layers: list[ClassSums], num_classes: list[int], group: Group) -> list[ClassSums]:
    tables = []
    for layer, C in zip(layers, num_classes, strict=True):
        sums, counts, _ = every_class(layer, C)
        tables.append(torch.cat([sums, counts.unsqueeze(1)], 1))
    flat: Tensor = _SumOfAll.apply(torch.cat([table.flatten() for table in tables]), group)
    parts = flat.split([table.numel() for table in tables])
    found = [part.view_as(table) for part, table in zip(parts, tables, strict=True)]
    return [ClassSums(table[:, :-1], table[:, -1].detach(), None) for table in found]


def _as_rows(layers: list[ClassSums], num_classes: list[int], rows: int, group: Group) -> list[ClassSums]:
    sent, labels = [], []
    for (sums, counts, classes), C in zip(layers, num_classes, strict=True):
        own = torch.cat([sums, counts.unsqueeze(1)], 1)
        sent.append(torch.cat([own, own.new_zeros(rows - own.shape[0], own.shape[1])]))
        if classes is None:
            classes = torch.arange(C, device=own.device)
        labels.append(torch.cat([classes, classes.new_full((rows - classes.shape[0],), C)]))
    # labels travel as what they are, in the bits of the numbers beside them: nothing is lost to rounding
    dtype = torch.float64 if any(part.dtype == torch.float64 for part in sent) else sent[0].dtype
    payload = torch.cat([*(part.to(dtype) for part in sent), *(_as_bits(label, dtype) for label in labels)], 1)
    received: Tensor = _RowsOfAll.apply(payload, group)
    found = []
    start, first_label = 0, sum(part.shape[1] for part in sent)
    for position, (part, C) in enumerate(zip(sent, num_classes, strict=True)):
        label = _from_bits(received.detach()[:, first_label + position])
        index, classes = relabel(label, C)
        own = received[:, start : start + part.shape[1]]
        start += part.shape[1]
        total = own.new_zeros(own.shape).index_add(0, index, own)
        found.append(ClassSums(total[:, :-1], total[:, -1].detach(), classes))
    return found


def _as_bits(label: Tensor, dtype: torch.dtype) -> Tensor:
    whole = torch.int64 if dtype == torch.float64 else torch.int32
    return label.to(whole).view(dtype).unsqueeze(1)


def _from_bits(label: Tensor) -> Tensor:
    whole = torch.int64 if label.dtype == torch.float64 else torch.int32
    return label.contiguous().view(whole).long()


# the older name is deprecated from torch 2.14 on
_all_gather: Any = getattr(dist, "all_gather_single", None) or getattr(dist, "all_gather_into_tensor", None)


class _SumOfAll(Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, group: Group) -> Tensor:
        ctx.world = processes(group)
        total = own.clone()
        dist.all_reduce(total, group=group)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad * ctx.world, None


class _RowsOfAll(Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, group: Group) -> Tensor:
        ctx.world, ctx.rank, ctx.rows = processes(group), dist.get_rank(group), own.shape[0]
        all_rows = own.new_empty(ctx.world * own.shape[0], own.shape[1])
        _all_gather(all_rows, own.contiguous(), group=group)
        return all_rows

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return grad.narrow(0, ctx.rank * ctx.rows, ctx.rows) * ctx.world, None
