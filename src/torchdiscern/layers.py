"""One layer of features or several: what each is called, and what is read of it afterwards."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from torchdiscern import checks


class Layer(NamedTuple):
    """A layer's features, its key in `parts` (empty for one that came alone) and its name in errors."""

    features: Tensor
    key: str
    name: str


def layers_of(features: object) -> list[Layer]:
    """Takes one tensor, or a sequence or mapping of them.

    Raises:
        TypeError: something else.
        ValueError: none at all.
    """
    if isinstance(features, Tensor):
        return [Layer(features, "", "features")]
    if isinstance(features, Mapping):
        layers = [Layer(layer, str(key), f"features[{key!r}]") for key, layer in features.items()]
    elif isinstance(features, Sequence) and not isinstance(features, str):
        layers = [Layer(layer, str(index), f"features[{index}]") for index, layer in enumerate(features)]
    else:
        raise TypeError(
            f"features: got {checks.describe(features)}, expected a tensor [B, D, ...], or a sequence or "
            "mapping of them; pass the layer's output, or a tap's features (tap.features)."
        )
    if not layers:
        raise ValueError("features: got no layer, expected at least one tensor; pass the layers' outputs.")
    return layers


def one_a_layer(weights: float | tuple[float, ...], layers: int, name: str) -> tuple[float, ...]:
    checks.check_layer_count(weights, layers, name)
    return weights if isinstance(weights, tuple) else (weights,) * layers


def mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean() if len(values) > 1 else values[0]


def named_parts(layers: list[Layer], parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The means of the parts over the layers by name, and each layer's under `<key>/<name>`."""
    named = {name: mean([part[name] for part in parts]) for name in parts[0]}
    for layer, part in zip(layers, parts, strict=True):
        if layer.key:
            named.update({f"{layer.key}/{name}": value for name, value in part.items()})
    return named
