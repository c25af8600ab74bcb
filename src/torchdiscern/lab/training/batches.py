"""Batches of an epoch: which rows, in which order, on which process."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from torchdiscern.lab.seeds import generator
from torchdiscern.lab.training.augment import DRAWS


class Inputs(Protocol):
    """What rows are taken from: a tensor of images or features, or images on disk."""

    @property
    def shape(self) -> Any: ...

    def __getitem__(self, rows: Tensor, /) -> Tensor: ...


@dataclass(frozen=True)
class Batch:
    """One process's part of a batch.

    Args:
        inputs: `[B, ...]`.
        rows: `[B]`, where they lie in the data.
        draws: `[B, 5]`, the numbers of each image's augmentation.
        whole: samples of the batch over all processes.
    """

    inputs: Tensor
    rows: Tensor
    draws: Tensor
    whole: int


def steps_an_epoch(samples: int, batch_size: int) -> int:
    """Whole batches, at least one: the last part of each epoch's order is left out, another one each time."""
    return max(1, samples // batch_size)


class TrainBatches:
    """The training batches of an epoch, in an order that seed and epoch alone decide.

    With several processes each takes every n-th sample of the same batch, so that together they take the batch
    that one would.
    """

    def __init__(self, inputs: Inputs, rows: Tensor, batch_size: int, seed: int) -> None:
        self.inputs = inputs
        self.rows = rows
        self.batch_size = min(batch_size, len(rows))
        self.seed = seed
        self.epoch: Callable[[], int] = lambda: 1  # counted from 1
        self.process, self.processes = 0, 1

    def __len__(self) -> int:
        return steps_an_epoch(len(self.rows), self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        epoch = self.epoch()
        order = self.rows[torch.randperm(len(self.rows), generator=generator(self.seed, "order", epoch))]
        numbers = generator(self.seed, "augment", epoch)
        parts = []
        for rows in order[: len(self) * self.batch_size].split(self.batch_size):
            draws = torch.rand(len(rows), DRAWS, generator=numbers)
            own = slice(self.process, None, self.processes)
            parts.append((rows[own], draws[own], len(rows)))
        yield from _ahead(self.inputs, parts)


class EvalBatches:
    """Given rows in their order; of several processes each takes its part, in as many batches as the others.

    Where there are fewer rows than processes each takes all of them, which leaves means as they are.
    """

    def __init__(self, inputs: Inputs, rows: Tensor, batch_size: int = 256) -> None:
        self.inputs = inputs
        self.rows = rows
        self.batch_size = batch_size
        self.process, self.processes = 0, 1

    def __len__(self) -> int:
        largest = len(self.rows) if len(self.rows) < self.processes else -(-len(self.rows) // self.processes)
        return -(-largest // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        shared = self.processes > 1 and len(self.rows) >= self.processes
        own = self.rows[self.process :: self.processes] if shared else self.rows
        # a process with one batch more would wait for the others to share the buffers of batch norm
        cut = own.tensor_split(len(self)) if shared else own.split(self.batch_size)
        none = torch.empty(0, DRAWS)
        parts = [(rows, none, len(rows)) for rows in cut if len(rows)]
        yield from _ahead(self.inputs, parts)


def _ahead(inputs: Inputs, parts: list[tuple[Tensor, Tensor, int]]) -> Iterator[Batch]:
    """Takes from memory at once; reads from disk one batch ahead, while the one before is computed."""
    if isinstance(inputs, Tensor):
        for rows, draws, whole in parts:
            yield Batch(inputs[rows], rows, draws, whole)
        return
    with ThreadPoolExecutor(1) as reader:
        waiting = [reader.submit(inputs.__getitem__, rows) for rows, _, _ in parts[:2]]
        for number, (rows, draws, whole) in enumerate(parts):
            found = waiting.pop(0).result()
            if number + 2 < len(parts):
                waiting.append(reader.submit(inputs.__getitem__, parts[number + 2][0]))
            yield Batch(found, rows, draws, whole)
