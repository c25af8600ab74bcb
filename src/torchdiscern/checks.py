"""Checks of arguments: each says which argument, what came, what was expected and what to do.

Everything read here is known without touching a tensor's values, except where a function says so; values
are read on the CPU only and never while compiling, so that no accelerator has to wait for a check. Types
stand in tuples, since torch 2.6 cannot compile `isinstance` with a union.
"""

import math
import operator
from collections.abc import Collection, Iterable, Sequence
from difflib import get_close_matches

import torch
from torch import Tensor


def nearest(name: str, known: Iterable[str], first: Sequence[str] = ()) -> str:
    """Ends a sentence about an unknown name: the nearest known ones, `first` before them."""
    known = list(known)
    close = [*first, *(n for n in get_close_matches(name, known, n=3, cutoff=0.5) if n not in first)][:4]
    close = close or known[:8]
    return "did you mean " + " or ".join(repr(k) for k in close) + "?"


def describe(value: object) -> str:
    """Says what came, short enough for an error's sentence."""
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)} and {value.dtype}"
    if value is None:
        return "None"
    if isinstance(value, str | int | float):
        return f"{value!r:.60} ({type(value).__name__})"
    return f"a {type(value).__name__}"


def check_num_classes(num_classes: object) -> int:
    return check_whole(
        num_classes, "num_classes", low=2, hint="pass the number of classes that the target can take"
    )


def check_feature_dim(feature_dim: object) -> None:
    if isinstance(feature_dim, bool) or not isinstance(feature_dim, int):
        raise TypeError(
            f"feature_dim: got {describe(feature_dim)}, expected the axis of the features as an int; "
            "use 1 for [B, D, ...] and -1 for [B, ..., D]."
        )


def check_features(features: object, *, feature_dim: int = 1, name: str = "features") -> None:
    if not isinstance(features, Tensor):
        raise TypeError(
            f"{name}: got {describe(features)}, expected a tensor [B, D] or [B, D, ...]; "
            "pass the output of the layer itself."
        )
    if not features.is_floating_point():
        raise TypeError(
            f"{name}: got {features.dtype}, expected floating-point activations; "
            "pass the output of a layer, or convert with .float()."
        )
    if features.ndim < 2:
        raise ValueError(
            f"{name}: got shape {list(features.shape)}, expected [B, D] or [B, D, ...] with samples first; "
            "for a single sample add an axis with features.unsqueeze(0)."
        )
    if features.numel() == 0:
        raise ValueError(
            f"{name}: got the empty shape {list(features.shape)}, expected at least one sample and one "
            "feature; skip empty batches."
        )
    if not -features.ndim < feature_dim < features.ndim or feature_dim == 0:
        raise ValueError(
            f"feature_dim: got {feature_dim} for {name} of shape {list(features.shape)}, expected an axis "
            "after the samples; use 1 for [B, D, ...] and -1 for [B, ..., D]."
        )


def check_target(target: object, features: Tensor, num_classes: int, *, name: str = "features") -> None:
    """Reads the target's values where that makes no accelerator wait: on the CPU, outside compilation."""
    if not isinstance(target, Tensor):
        raise TypeError(
            f"target: got {describe(target)}, expected a tensor of class indices [B]; "
            "convert with torch.as_tensor(target)."
        )
    if target.is_floating_point() or target.is_complex() or target.dtype == torch.bool:
        raise TypeError(
            f"target: got {target.dtype}, expected class indices as integers; convert indices with "
            ".long(), and probabilities or one-hot rows with .argmax(1)."
        )
    if target.ndim != 1:
        raise ValueError(
            f"target: got shape {list(target.shape)}, expected [B] with one class index a sample; "
            "use .argmax(1) for one-hot rows and .flatten() for a column."
        )
    if target.shape[0] != features.shape[0]:
        raise ValueError(
            f"target: got {target.shape[0]} class indices for {features.shape[0]} samples in {name}, "
            "expected one a sample; pass features and target of the same batch."
        )
    if target.device != features.device:
        raise ValueError(
            f"target: it is on {target.device} but {name} on {features.device}, expected one device; "
            f"move it with target.to({str(features.device)!r})."
        )
    if target.device.type == "cpu" and not torch.compiler.is_compiling():
        low, high = (int(bound) for bound in target.long().aminmax())
        if low < 0 or high >= num_classes:
            hint = (
                "drop samples marked -100 before the call"
                if low == -100 and high < num_classes
                else "pass labels in that range or a larger num_classes"
            )
            raise ValueError(
                f"target: got class index {low if low < 0 else high}, expected indices in "
                f"[0, {num_classes}), since num_classes={num_classes}; {hint}."
            )


def check_number(value: object, name: str, *, above: bool = False) -> float:
    """Takes a finite number of at least (or above) 0."""
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise TypeError(f"{name}: got {describe(value)}, expected a number; pass a float.")
    number = float(value)
    if not math.isfinite(number) or number < 0 or (above and number == 0):
        bound = "above 0" if above else "of at least 0"
        raise ValueError(f"{name}: got {number}, expected a finite number {bound}; choose one in that range.")
    return number


def check_whole(value: object, name: str, *, low: int, hint: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    else:
        try:
            if isinstance(value, (bool, Tensor)):  # both pass for an index
                raise TypeError
            number = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            raise TypeError(f"{name}: got {describe(value)}, expected a whole number; {hint}.") from None
    if number < low:
        raise ValueError(f"{name}: got {number}, expected a whole number of at least {low}; {hint}.")
    return number


def check_weights(weights: object, name: str) -> float | tuple[float, ...]:
    """Takes one weight for all layers, or one a layer."""
    if hasattr(weights, "tolist"):  # a tensor or an array
        weights = weights.tolist()
    if not isinstance(weights, Sequence) or isinstance(weights, str):
        return check_number(weights, name)
    if not weights:
        raise ValueError(f"{name}: got no weight, expected a number or one a layer; pass at least one.")
    return tuple(check_number(weight, f"{name}[{index}]") for index, weight in enumerate(weights))


def check_layer_count(weights: float | tuple[float, ...], layers: int, name: str) -> None:
    if isinstance(weights, tuple) and len(weights) != layers:
        raise ValueError(
            f"{name}: got {len(weights)} weights for {layers} layers of features, expected one a layer; "
            "pass as many weights as layers, or one number for all."
        )


def check_choice(value: object, name: str, choices: Collection[str]) -> None:
    if not isinstance(value, str):
        raise TypeError(
            f"{name}: got {describe(value)}, expected a name; pass one of {', '.join(map(repr, choices))}."
        )
    if value not in choices:
        expected = ", ".join(map(repr, choices))
        raise ValueError(f"{name}: got {value!r}, expected one of {expected}; {nearest(value, choices)}")


def check_damping(damping: object, impurity: str) -> float:
    number = check_number(damping, "damping")
    if number and impurity == "entropy":
        raise ValueError(
            f"damping: got {number} with impurity='entropy', expected 0, since a softmax does not fade; "
            "leave it out or choose a scale-free impurity."
        )
    return number


def check_prior(prior: object, num_classes: int) -> "str | Tensor":
    """Takes `"batch"`, `"uniform"` or a distribution over the classes."""
    if isinstance(prior, str):
        check_choice(prior, "prior", ("batch", "uniform"))
        return prior
    if isinstance(prior, Sequence):
        try:
            prior = torch.tensor(prior, dtype=torch.float64)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(
                f"prior: got {describe(prior)} that holds something else than numbers, expected one share a "
                "class; pass counts / counts.sum()."
            ) from None
    if not isinstance(prior, Tensor):
        raise TypeError(
            f"prior: got {describe(prior)}, expected 'batch', 'uniform' or a tensor [C]; "
            "pass the share of each class, as counts / counts.sum()."
        )
    if prior.ndim != 1 or prior.shape[0] != num_classes:
        raise ValueError(
            f"prior: got shape {list(prior.shape)}, expected [{num_classes}], since "
            f"num_classes={num_classes}; pass one share a class."
        )
    if not prior.is_floating_point():
        raise TypeError(f"prior: got {prior.dtype}, expected floating-point shares; pass counts / counts.sum().")
    if prior.device.type != "cpu" or torch.compiler.is_compiling():
        return prior
    shares = prior.detach().double()
    if not bool(shares.isfinite().all()):
        raise ValueError("prior: got a share that is NaN or infinite, expected finite shares; mend the counts.")
    if bool((shares < 0).any()):
        raise ValueError(f"prior: got the share {shares.min():.3g}, expected none below 0; mend the counts.")
    if abs(float(shares.sum()) - 1) > 1e-4:
        raise ValueError(
            f"prior: its shares sum to {shares.sum():.6g}, expected 1; divide by their sum: prior / prior.sum()."
        )
    return prior


def check_prior_device(prior: Tensor, features: Tensor, *, name: str = "features") -> None:
    if prior.device != features.device:
        raise ValueError(
            f"prior: it is on {prior.device} but {name} on {features.device}, expected one device; "
            f"move the loss with criterion.to({str(features.device)!r})."
        )
