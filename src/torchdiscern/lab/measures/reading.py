"""What a trained network says of some rows, read once and kept."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from torchdiscern.lab.training.measure import Reader


@dataclass(frozen=True, eq=False)
class Read:
    """Some rows as a trained network saw them, in float32 on the CPU.

    Args:
        rows: `[n]`, into the data, in the order that they were asked for.
        read: `[n, D]`, what the classifier read.
        logits: `[n, C]`.
    """

    rows: Tensor
    read: Tensor
    logits: Tensor


class Recorder(Reader):
    """A reader that keeps what passes through it, so that what reads rows by itself needs no second pass.

    Example:
        >>> from torchdiscern.lab.measures import Recorder
        >>> issubclass(Recorder, Reader)
        True
    """

    def __init__(self, reader: Reader) -> None:
        vars(self).update(vars(reader))
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def batches(self, rows: Tensor) -> Iterator[tuple[Tensor, dict[str, Tensor], Tensor, Tensor]]:
        self._parts = []
        for batch, features, read, logits in super().batches(rows):
            self._parts.append((batch, read.flatten(1).float().cpu(), logits.float().cpu()))
            yield batch, features, read, logits

    @property
    def last(self) -> Read:
        """The rows that were read last."""
        C = self.prepared.num_classes
        if not self._parts:
            none = torch.empty(0, dtype=torch.long)
            return Read(none, torch.empty(0, self.classifier.in_features), torch.empty(0, C))
        rows, read, logits = (torch.cat(part) for part in zip(*self._parts, strict=True))
        return Read(rows, read, logits)


def read_rows(reader: Reader, rows: Tensor) -> Read:
    """Runs a trained network on some rows.

    Args:
        reader: of the trained network.
        rows: `[n]`, into the data.

    Returns:
        What it said, in the order of `rows`.
    """
    recorder = Recorder(reader)
    for _ in recorder.batches(rows):
        pass
    return recorder.last
