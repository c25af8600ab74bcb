"""A network by its name, with the weights of a file."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from torchdiscern import checks
from torchdiscern.lab.networks import Network, make_network, network_names
from torchdiscern.lab.training.prepared import WEIGHTS_AT_HAND

FAMILIES = ("timm/", "torchvision/")
WIDTH = 64  # of our own networks, where nobody says otherwise
SURPLUS = 0.1  # of a file's tensors may have no place, such as an auxiliary classifier's
ANY = 2  # classes of a network that is built to see how it is built


@dataclass(frozen=True, eq=False)
class Loaded:
    """A network with weights that have learned something.

    Args:
        network: with `mean` and `std` where the weights expect some.
        num_classes: that its classifier tells apart; 0 where the classifier is a new one.
        notes: what the reader must know, in sentences.
    """

    network: Network
    num_classes: int
    notes: list[str]


def is_network(model: str) -> bool:
    """Whether a name is one of a network, and not a folder's."""
    return model in network_names() or model.startswith(FAMILIES) or ":" in model


def load_network(model: str, weights: Path | None, size: int | None, layers: tuple[str, ...] = ()) -> Loaded:
    """Builds a network as its weights are: their classes, channels and, of our own networks, width.

    Args:
        model: as for `make_network`.
        weights: a safetensors file, or one that `torch.load` reads as tensors and plain types; None where the
            network's are at hand.
        size: side of the images in pixels; None takes what the network is made for.
        layers: names of those to tap, where none is to be looked for.

    Raises:
        ValueError, TypeError: no such network, no weights, or weights of another network.
    """
    if weights is None:
        if model not in WEIGHTS_AT_HAND:
            raise ValueError(
                f"weights: got none for {model!r}, expected a file, as a network that was not trained tells "
                f"nothing; name one with --weights FILE, or choose {' or '.join(WEIGHTS_AT_HAND)}, whose weights "
                "are at hand."
            )
        return Loaded(_built(model, ANY, size, layers), 0, [])
    found = _read(weights)
    network = _as_it_comes(model, found, size, layers)
    stem = next(((n, p) for n, p in network.module.named_parameters() if p.ndim == 4), None)
    options: dict[str, int] = {"channels": network.channels}
    if stem is not None and stem[0] in found and found[stem[0]].ndim == 4:
        outputs, channels = found[stem[0]].shape[:2]
        if {channels, stem[1].shape[1]} == {1, 3}:
            options["channels"] = channels
        if _has_width(model) and outputs != stem[1].shape[0]:
            options["width"] = WIDTH * outputs // stem[1].shape[0]
    name = network.classifier
    convolution = name.removesuffix(".classifier")  # which we made a linear layer
    if f"{name}.weight" not in found and convolution != name and f"{convolution}.weight" in found:
        found = {_renamed(key, convolution, name): value for key, value in found.items()}
        found[f"{name}.weight"] = found[f"{name}.weight"].flatten(1)
    head = found.get(f"{name}.weight")
    num_classes = 0 if head is None else len(head)
    if num_classes > ANY or len(options) > 1 or options["channels"] != network.channels:
        network = _built(model, num_classes or ANY, size, layers, **options)
    notes = _fill(network, found, weights, model)
    if not num_classes:
        notes.append(f"The file {weights.name} holds no weights of the classifier {name!r}.")
    return Loaded(network, num_classes, notes)


def _as_it_comes(model: str, found: Mapping[str, Tensor], size: int | None, layers: tuple[str, ...]) -> Network:
    """A network of any number of classes; of a user's function that heeds no number, of as many as it makes."""
    try:
        return _built(model, ANY, size, layers)
    except ValueError:
        if ":" in model:
            for number in dict.fromkeys(len(one) for one in _linear(found)):
                with suppress(ValueError):
                    return _built(model, number, size, layers)
        raise


def _linear(found: Mapping[str, Tensor]) -> list[Tensor]:
    """Matrices, the last first, also of convolutions over one position."""
    return [one for one in reversed(list(found.values())) if one.ndim >= 2 and one[0, 0].numel() == 1]


def _built(
    model: str, num_classes: int, size: int | None, layers: tuple[str, ...], channels: int = 3, **options: int
) -> Network:
    given: dict[str, Any] = options | {"size": size, "layers": layers, "pretrained": model in WEIGHTS_AT_HAND}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        try:
            network = make_network(model, num_classes, channels=channels, **given)
        except ValueError as error:
            if ":" not in model:
                raise
            try:  # a user's function may be made for grey images alone
                network = make_network(model, num_classes, channels=1, **given)
            except ValueError:
                raise error from None
    if network.mean or _has_width(model) or ":" in model:
        return network
    mean, std = _normalisation(model, network.module)
    return replace(network, mean=mean, std=std) if len(mean) == network.channels else network


def _has_width(model: str) -> bool:
    return model in network_names() and model not in WEIGHTS_AT_HAND


def _normalisation(model: str, module: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What the library's own weights of a network expect."""
    family, _, name = model.partition("/")
    if family == "timm":
        config = cast(Any, module).pretrained_cfg
        return tuple(config["mean"]), tuple(config["std"])
    from torchvision import models

    transform = models.get_model_weights(name).DEFAULT.transforms()
    return tuple(transform.mean), tuple(transform.std)


def _read(weights: Path) -> dict[str, Tensor]:
    if not weights.is_file():
        raise ValueError(f"weights: there is no file {str(weights)!r}, expected one with weights; mend the path.")
    found: Any
    try:
        if weights.suffix == ".safetensors":
            found = load_file(weights)
        else:
            found = torch.load(weights, map_location="cpu", weights_only=True)
            for inside in ("state_dict", "model_state_dict", "model"):
                found = found[inside] if isinstance(found.get(inside), Mapping) else found
        if not found or not all(isinstance(value, Tensor) for value in found.values()):
            raise TypeError
    except Exception as error:  # torch raises a dozen kinds
        raise ValueError(
            f"weights: {str(weights)!r} could not be read as tensors by name ({type(error).__name__}), expected "
            "a .safetensors file, or a .pt file with a state_dict; save model.state_dict() alone."
        ) from error
    for wrapper in ("module.", "_orig_mod."):  # of DataParallel and torch.compile
        if all(name.startswith(wrapper) for name in found):
            found = {name.removeprefix(wrapper): value for name, value in found.items()}
    return dict(found)


def _renamed(key: str, old: str, new: str) -> str:
    return new + key.removeprefix(old) if key in (f"{old}.weight", f"{old}.bias") else key


def _fill(network: Network, found: dict[str, Tensor], weights: Path, model: str) -> list[str]:
    """Loads the weights, every one that the network has; the classifier's and counters may be missing."""
    own = network.module.state_dict()
    fitting = {name: found[name] for name in own if name in found and found[name].shape == own[name].shape}
    spared = (f"{network.classifier}.",) if f"{network.classifier}.weight" not in found else ()
    lacking = [
        name
        for name in own
        if name not in fitting and not name.endswith("num_batches_tracked") and not name.startswith(spared)
    ]
    if lacking:
        name = lacking[0]
        come = f"of shape {list(found[name].shape)}" if name in found else "nothing"
        first = "" if name in found else f"; {checks.nearest(name, found)}"
        raise ValueError(
            f"weights: {str(weights)!r} has {come} for {name!r} of {model!r} ({len(lacking)} such), expected "
            f"{list(own[name].shape)}{first or '; name the network that they are of, and its size.'}"
        )
    strange = sorted(set(found) - set(own))
    if len(strange) > SURPLUS * len(found):
        raise ValueError(
            f"weights: {len(strange)} of {len(found)} tensors of {str(weights)!r} have no place in {model!r}, "
            f"such as {strange[0]!r}, expected the weights of this very network; name the one they are of."
        )
    network.module.load_state_dict(fitting, strict=False)
    if not strange:
        return []
    return [
        f"The file {weights.name} holds {len(strange)} tensor(s) that {model} has no place for, such as "
        f"{strange[0]!r}."
    ]
