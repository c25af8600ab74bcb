"""What an objective may use of one training step."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchdiscern import functional


class Ran(NamedTuple):
    """What a forward pass gave: logits `[B, C]`, the tapped layers' features, and what the classifier read."""

    logits: Tensor
    tapped: dict[str, Tensor]
    read: Tensor


@dataclass
class Step:
    """One training step of one process, as an objective sees it.

    The forward pass runs when something of it is first asked for, so that an objective on other inputs than
    these need not pay for it.

    Attributes:
        inputs: what the network reads: normalised images, or the kept features of a frozen part.
        target: `[B]`.
        term: `[B]`, the labels that the terms would be given, -1 where there are none.
        forward: runs the network on any inputs, in the training's precision.
        network: the module that `forward` runs, in training mode.
        classifier: its last layer.
        share: makes a sum over this process's samples the mean over the whole batch.
        feature_dim: the axis of the tapped layers' features.
        scale: 1 / deviation of each channel, `[1, channels, 1, 1]`: a step of 1 in pixels of [0, 1] is one of
            `scale` in the inputs. None for kept features.
        bounds: the inputs of a black and of a white pixel, likewise; None for kept features.
    """

    inputs: Tensor
    target: Tensor
    term: Tensor
    forward: Callable[[Tensor], Ran]
    network: nn.Module
    classifier: nn.Linear
    share: float
    feature_dim: int = 1
    scale: Tensor | None = None
    bounds: tuple[Tensor, Tensor] | None = None

    @cached_property
    def ran(self) -> Ran:
        """What the network gave for the inputs."""
        return self.forward(self.inputs)

    @property
    def has_run(self) -> bool:
        """Whether anything of the forward pass has been asked for."""
        return "ran" in vars(self)

    @property
    def logits(self) -> Tensor:
        """`[B, C]`, in float32 at least."""
        return _at_least_float32(self.ran.logits)

    @property
    def tapped(self) -> dict[str, Tensor]:
        """The tapped layers' features by name, as the layers gave them."""
        return self.ran.tapped

    @property
    def features(self) -> Tensor:
        """The last tapped layer's features, averaged over all positions, `[B, D]`, in float32 at least."""
        return functional.activation(list(self.tapped.values())[-1], feature_dim=self.feature_dim, signed=True)

    @property
    def read(self) -> Tensor:
        """What the classifier read, after dropout, `[B, D]`, in float32 at least."""
        return _at_least_float32(self.ran.read)

    @property
    def num_classes(self) -> int:
        return self.classifier.out_features

    @property
    def cross_entropy(self) -> Tensor:
        """Of the logits, the mean over the whole batch."""
        return self.cross_entropy_of(self.logits)

    def cross_entropy_of(self, logits: Tensor) -> Tensor:
        """Of other logits `[B, C]`, the mean over the whole batch."""
        return F.cross_entropy(_at_least_float32(logits), self.target, reduction="sum") * self.share

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the whole batch of a number for each sample, `[B]`."""
        return values.sum() * self.share


def _at_least_float32(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
