"""Running class means: what a batch far smaller than the number of classes cannot know.

Source: METHOD "Across batches" (extension).
"""

import functools
import math
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn

from torchdiscern.closed_form import placed
from torchdiscern.targets import ClassSums

GIB = 2**30


@functools.cache
def _keep_out_of_graphs() -> None:
    # compiled together with its backward pass, the memory comes out wrong (torch 2.14): the backward pass
    # reads the buffers after they changed, and inductor writes into them. Disabling imports the compiler:
    # not before it must.
    ClassMemory.blend = torch.compiler.disable(ClassMemory.blend)  # type: ignore[method-assign]


class ClassMemory(nn.Module):
    """Running means of every class, blended with those of a batch.

    A class that the batch holds moves by `rate = (1 - momentum) / (1 - momentum^u)` of the way to its mean in
    the batch, where `u` counts its updates, this one included: the first takes the batch's mean whole, and no
    start of zeros has to be worn off. A class that the batch lacks stays.

    Args:
        num_classes: C.
        num_features: D.
        momentum: in `[0, 1)`.
        max_age: forget a class that was in none of so many batches; None never does.

    Attributes:
        means: `[C, D]`, zero for a class not yet seen or forgotten.
        updates: `[C]`, batches that held the class.
        counts: `[C]`, samples seen of the class, weighted.
        seen: `[C]`, the batch that held it last.
        batches: how many there were.
    """

    means: Tensor
    updates: Tensor
    counts: Tensor
    seen: Tensor
    batches: Tensor

    def __init__(self, num_classes: int, num_features: int, momentum: float, max_age: int | None = None) -> None:
        super().__init__()
        _keep_out_of_graphs()
        self.momentum = momentum
        self.max_age = max_age
        self.register_buffer("means", torch.zeros(num_classes, num_features))
        self.register_buffer("updates", torch.zeros(num_classes, dtype=torch.long))
        self.register_buffer("counts", torch.zeros(num_classes))
        self.register_buffer("seen", torch.zeros(num_classes, dtype=torch.long))
        self.register_buffer("batches", torch.tensor(0))

    def blend(self, batch: ClassSums) -> tuple[ClassSums, Tensor]:
        """Takes a batch in, while training, and gives its blended means and those of all classes.

        Args:
            batch: class means of the batch in the place of the sums.

        Returns:
            The blended means of the batch's classes (C for a row without one) with the counts of all classes;
            and all class means, `[C, D]`, among which they stand. The gradient goes through the batch's part.
        """
        M = batch.sums.to(self.means.dtype)
        classes = torch.arange(M.shape[0], device=M.device) if batch.classes is None else batch.classes
        present = batch.counts > 0
        safe = classes.clamp_max(self.means.shape[0] - 1)
        if self.training:
            self.batches += 1
            self._forget()
        updates = self.updates[safe] + 1
        # 1 - momentum^u, without the rounding of a difference of numbers near 1
        rate = (self.momentum - 1) / torch.expm1(updates.to(M.dtype) * math.log(self.momentum))
        old = self.means[safe]
        blended = old + rate.unsqueeze(1) * (M - old)
        rows = torch.where(present, classes, self.means.shape[0])
        added = batch.counts.to(self.counts.dtype)
        if not self.training:
            counts = self.counts.index_add(0, safe, added)
            return ClassSums(blended, counts, rows), placed(blended.detach(), rows, self.means)
        # what is not finite spoils this batch's loss, but not the memory
        change = (blended.detach() - old).masked_fill(~present.unsqueeze(1), 0.0).nan_to_num(0.0, 0.0, 0.0)
        self.means.index_add_(0, safe, change)
        self.updates.index_add_(0, safe, present.long())
        self.counts.index_add_(0, safe, added)
        self.seen.index_add_(0, safe, (self.batches - self.seen[safe]) * present)
        return ClassSums(blended, self.counts.clone(), rows), self.means

    def _forget(self) -> None:
        if self.max_age is None:
            return
        kept = self.batches - self.seen <= self.max_age
        self.means.mul_(kept.unsqueeze(1))
        self.updates.mul_(kept)
        self.counts.mul_(kept)

    def __setstate__(self, state: dict[str, Any]) -> None:
        _keep_out_of_graphs()
        super().__setstate__(state)  # type: ignore[no-untyped-call]

    def extra_repr(self) -> str:
        classes, features = self.means.shape
        age = "" if self.max_age is None else f", max_age={self.max_age}"
        return f"{classes}x{features}, {self.means.nbytes / GIB:.3g} GiB, momentum={self.momentum}{age}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        # half precision forgets small changes, so that the means stay in float32 in a half-precision model
        def at_least_float32(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            short = moved.is_floating_point() and moved.dtype.itemsize < 4
            return tensor.to(moved.device) if short else moved

        applied: Any = super()._apply(at_least_float32, recurse)  # type: ignore[no-untyped-call]
        return applied  # type: ignore[no-any-return]
