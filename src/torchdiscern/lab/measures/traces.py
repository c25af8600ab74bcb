"""Running strangers' code on a network without leaving traces."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Spares the gradients of the weights, half of the work, and leaves the module as it was."""
    learning = [one for one in module.parameters() if one.requires_grad]
    training = {one: one.training for one in module.modules()}
    gradients = [one.grad for one in learning]
    for one in learning:
        one.requires_grad_(False)
    try:
        yield
    finally:
        for parameter, gradient in zip(learning, gradients, strict=True):
            parameter.requires_grad_(True)
            parameter.grad = gradient
        for one_module, mode in training.items():
            one_module.training = mode


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """The toolbox draws from numpy's and torch's global generators; both are put back afterwards."""
    before = np.random.get_state()  # noqa: NPY002, the toolbox uses this one
    try:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
