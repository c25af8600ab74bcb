"""Checks of settings: each says which argument, what came, what was expected and what to do.

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


def check_number(value: object, name: str, *, above: bool = False) -> float:
    """Takes a finite number of at least (or above) 0."""
    if isinstance(value, (bool, str)) or not hasattr(value, "__float__"):
        raise TypeError(f"{name}: got {describe(value)}, expected a number; pass a float.")
    number = float(value)
    if not math.isfinite(number) or number < 0 or (above and number == 0):
        bound = "above 0" if above else "of at least 0"
        raise ValueError(f"{name}: got {number}, expected a finite number {bound}; choose one in that range.")
    return number


def check_eps(value: object) -> float:
    number = check_number(value, "eps", above=True)
    least = torch.finfo(torch.float32).tiny
    if number < least:
        raise ValueError(
            f"eps: got {number}, expected at least {least:.2g}, whose reciprocal a float32 can hold; leave it at "
            "1e-10."
        )
    return number


def check_index(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}: got {describe(value)}, expected a whole number; leave it out for -100.")
    return value


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


def check_not_negative(value: Tensor, name: str, what: str) -> None:
    """Reads values, on the CPU and outside compilation."""
    if value.device.type != "cpu" or torch.compiler.is_compiling():
        return
    value = value.detach()
    value = value.coalesce().values() if value.is_sparse else value
    if value.numel() == 0:
        return
    low, high = (float(bound) for bound in value.aminmax())
    if not math.isfinite(low) or not math.isfinite(high) or low < 0:
        got = "NaN" if math.isnan(low) else f"{low:.3g}" if low < 0 else f"{high:.3g}"
        raise ValueError(
            f"{name}: got the {what} {got}, expected finite numbers of at least 0; mend what made it."
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


def check_class_numbers(numbers: object, num_classes: int, name: str, dtype: torch.dtype | None = None) -> Tensor:
    """Takes one number of at least 0 for each class."""
    try:
        found = torch.as_tensor(numbers, dtype=dtype).detach().clone()
        found = found if found.is_floating_point() else found.to(torch.get_default_dtype())
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"{name}: got {describe(numbers)}, expected one number a class; pass a list or tensor."
        ) from None
    if list(found.shape) != [num_classes]:
        raise ValueError(
            f"{name}: got shape {list(found.shape)}, expected [{num_classes}], since num_classes={num_classes}; "
            "pass one number a class."
        )
    check_not_negative(found, name, "number")
    return found


def check_class_counts(counts: object, num_classes: int, prior: object) -> Tensor:
    """Takes the samples of each class and gives their shares."""
    if not isinstance(prior, str) or prior != "batch":
        raise ValueError(
            f"class_counts: got counts and prior={prior if isinstance(prior, str) else describe(prior)}, "
            "expected one of the two; leave prior out, as the counts make one."
        )
    # float32 counts above 16 million would lose samples
    found = check_class_numbers(counts, num_classes, "class_counts", torch.float64)
    if float(found.sum()) == 0:
        raise ValueError("class_counts: got no sample at all, expected some; count the training set's labels.")
    return (found / found.sum()).to(torch.get_default_dtype())


def check_fine_to_coarse(maps: object, num_classes: int) -> list[Tensor | None]:
    """Takes one map for all layers, or one a layer or None, and gives a list: of one where it is for all."""
    if maps is None:
        return [None]
    several = isinstance(maps, (list, tuple)) and any(one is None or hasattr(one, "__len__") for one in maps)
    found: list[Tensor | None] = []
    given: list[object] = list(maps) if several and isinstance(maps, (list, tuple)) else [maps]
    for index, one in enumerate(given):
        name = f"fine_to_coarse[{index}]" if several else "fine_to_coarse"
        found.append(None if one is None else _check_map(one, num_classes, name))
    return found


def _check_map(coarse: object, num_classes: int, name: str) -> Tensor:
    try:
        found = torch.as_tensor(coarse)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(
            f"{name}: got {describe(coarse)}, expected the coarse class of each class; pass whole numbers [C]."
        ) from None
    if found.is_floating_point() or list(found.shape) != [num_classes]:
        raise ValueError(
            f"{name}: got {describe(found)}, expected whole numbers [{num_classes}] as num_classes says; "
            "pass the coarse class of each class."
        )
    found = found.detach().long().clone()
    low, high = int(found.min()), int(found.max())
    if low < 0 or high < 1 or high >= num_classes:
        raise ValueError(
            f"{name}: got coarse classes from {low} to {high}, expected at least two, counted from 0 and not "
            "more than classes; number them from 0 on."
        )
    lacking = sorted(set(range(high)) - set(found.tolist()))
    if lacking:
        raise ValueError(
            f"{name}: got coarse classes up to {high} without {lacking[0]}, expected every number from 0, since "
            "the impurity counts them; renumber with torch.unique(coarse, return_inverse=True)[1]."
        )
    return found


def check_memory(memory: object, num_features: object, age: object) -> list[int]:
    """Takes the settings of running class means and gives the features of each layer, none without a memory."""
    momentum = check_number(memory, "memory")
    if momentum >= 1:
        raise ValueError(
            f"memory: got the momentum {momentum}, expected at least 0 and below 1; 0.9 moves a class's mean by "
            "a tenth of the way to each batch's."
        )
    if age is not None:
        check_whole(age, "memory_age", low=1, hint="pass a number of batches, or None to forget nothing")
    if not momentum:
        if num_features is not None or age is not None:
            raise ValueError(
                "memory: got 0 with num_features or memory_age, expected a momentum above 0 with them; pass "
                "memory=0.9, or leave them out."
            )
        return []
    if num_features is None:
        raise ValueError(
            "num_features: got None with a memory, expected the number of features of the layer, as the running "
            "class means are made now; pass it, or one a layer."
        )
    several = isinstance(num_features, Sequence) and not isinstance(num_features, str)
    given: list[object] = list(num_features) if several and isinstance(num_features, Sequence) else [num_features]
    hint = "pass features.shape[1], or one number a layer"
    widths = [check_whole(one, "num_features", low=1, hint=hint) for one in given]
    if not widths:
        raise ValueError(f"num_features: got none, expected at least one; {hint}.")
    return widths


def check_memory_size(classes: list[int], widths: list[int], limit: object) -> None:
    """Says what running class means would take before they take it."""
    most = check_number(limit, "memory_gib", above=True)
    gib = sum(C * D for C, D in zip(classes, widths, strict=True)) * 4 / 2**30
    if gib > most:
        shapes = " and ".join(f"{C:,} classes by {D:,} features" for C, D in zip(classes, widths, strict=True))
        raise ValueError(
            f"memory: running means of {shapes} take {gib:.3g} GiB, expected at most memory_gib={most:g}; if "
            f"that is meant, pass memory_gib={math.ceil(gib)}."
        )
