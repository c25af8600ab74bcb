"""Classifiers that look at directions alone."""

import math
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchdiscern.lab.networks.named import Network

SMALL = 1e-6


class CosineLinear(nn.Linear):
    """Gives `scale * cosine` of the angle between what it reads and the weights of each class.

    Args:
        weight: `[C, D]`, of any lengths.
        scale: what the cosines are multiplied by.
        fixed: whether the weights stay as they are.
    """

    def __init__(self, weight: Tensor, scale: float, fixed: bool = False) -> None:
        # on meta, so that no weights are drawn that nobody needs
        super().__init__(weight.shape[1], weight.shape[0], bias=False, device="meta")
        self.weight = nn.Parameter(weight.detach(), requires_grad=not fixed)
        self.scale = scale

    def forward(self, input: Tensor) -> Tensor:
        return self.scale * F.linear(F.normalize(input, dim=-1, eps=SMALL), F.normalize(self.weight, eps=SMALL))

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scale={self.scale:g}"


def weight_of(classifier: nn.Linear) -> Tensor:
    """The weights whose products with the features order the classes as the logits do, `[C, D]`.

    Those of a `CosineLinear` are brought to one length: the length of the features is the same for all classes.
    """
    if isinstance(classifier, CosineLinear):
        return classifier.scale * F.normalize(classifier.weight, eps=SMALL)
    return classifier.weight


def with_cosines(network: Network, scale: float) -> Network:
    """The network with a classifier of cosines, which keeps its weights."""
    old = cast(nn.Linear, network.module.get_submodule(network.classifier))
    network.module.set_submodule(network.classifier, CosineLinear(old.weight, scale))
    return replace(network)


def with_simplex(network: Network, scale: float, generator: torch.Generator) -> Network:
    """The network with a fixed classifier: directions as far from each other as so many can be.

    Raises:
        ValueError: more classes than directions of one angle have room among the features.
    """
    old = cast(nn.Linear, network.module.get_submodule(network.classifier))
    classes, features = old.weight.shape
    if features < classes - 1:
        raise ValueError(
            f"arm: got 'etf' with {features} features for {classes} classes, expected at least {classes - 1}, as "
            f"fewer have no room for as many directions; set head={max(512, classes)}, or choose another arm."
        )
    weight = simplex(classes, features, generator).to(old.weight.dtype)
    network.module.set_submodule(network.classifier, CosineLinear(weight, scale, fixed=True))
    return replace(network)


def simplex(classes: int, features: int, generator: torch.Generator) -> Tensor:
    """A simplex equiangular tight frame, turned at random: rows of length 1, every cosine `-1 / (C - 1)`.

    Example:
        >>> frame = simplex(3, 4, torch.Generator().manual_seed(0))
        >>> (frame @ frame.T).round(decimals=4)
        tensor([[ 1.0000, -0.5000, -0.5000],
                [-0.5000,  1.0000, -0.5000],
                [-0.5000, -0.5000,  1.0000]])
    """
    # orthonormal coordinates (Helmert's) of what sums to zero; written out, so the same on every machine
    last = torch.arange(1, classes, dtype=torch.float64)
    basis = torch.ones(classes, classes - 1, dtype=torch.float64).triu()
    basis[last.long(), last.long() - 1] = -last
    basis /= (last * (last + 1)).sqrt()
    noise = torch.randn(features, classes - 1, generator=generator, dtype=torch.float64)
    turn: Tensor = torch.linalg.qr(noise).Q
    return (math.sqrt(classes / (classes - 1)) * basis @ turn.T).float()
