"""Checks of what a call is given: features, target, weights and mask. The wording is that of `checks`.

Shapes, types and devices are known without touching a value; values are read on the CPU only and never while
compiling, so that no accelerator has to wait.
"""

import torch
from torch import Tensor

from torchdiscern.checks import check_not_negative, describe


def check_features(
    features: object, *, feature_dim: int = 1, name: str = "features", empty: bool = False
) -> None:
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
    if 0 in (features.shape[1:] if empty else features.shape):
        raise ValueError(
            f"{name}: got the empty shape {list(features.shape)}, expected at least one sample and one "
            "feature; skip empty batches."
        )
    if not -features.ndim < feature_dim < features.ndim or feature_dim == 0:
        raise ValueError(
            f"feature_dim: got {feature_dim} for {name} of shape {list(features.shape)}, expected an axis "
            "after the samples; use 1 for [B, D, ...] and -1 for [B, ..., D]."
        )


def check_target(
    target: object, features: Tensor, num_classes: int, *, name: str = "features", ignore_index: int | None = None
) -> None:
    """Class indices, one a sample.

    Reads the target's values where that makes no accelerator wait: on the CPU, outside compilation.
    """
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
    check_device(target, features, "target", name)
    _check_range(target, num_classes, ignore_index)


def check_any_target(
    target: object,
    features: Tensor,
    num_classes: int,
    *,
    name: str = "features",
    feature_dim: int = 1,
    ignore_index: int = -100,
    weight: object = None,
    mask: object = None,
) -> None:
    """Class indices of samples or positions, or shares or labels `[B, C]`; with their weights and mask."""
    samples = features.shape[0]
    places = [size for axis, size in enumerate(features.shape) if axis != feature_dim % features.ndim]
    soft = (
        isinstance(target, Tensor)
        and target.ndim > 1
        and (target.is_floating_point() or target.dtype == torch.bool)
    )
    if soft and isinstance(target, Tensor):
        if list(target.shape) != [samples, num_classes]:
            raise ValueError(
                f"target: got shares of shape {list(target.shape)}, expected [{samples}, {num_classes}] with a "
                f"row for each sample in {name}, since num_classes={num_classes}; pass shares or labels [B, C], "
                "or class indices as integers."
            )
        if target.layout not in (torch.strided, torch.sparse_coo):
            raise TypeError(
                f"target: got the layout {target.layout}, expected dense or sparse COO shares; convert with "
                ".to_sparse_coo()."
            )
        check_device(target, features, "target", name)
        if target.dtype != torch.bool:
            check_not_negative(target, "target", "share")
    elif isinstance(target, Tensor) and target.ndim > 1 and not target.is_complex():
        if list(target.shape) != places:
            if list(target.shape) == [samples, num_classes]:
                hint = "pass labels as target.bool(), shares as target.float(), one-hot rows as target.argmax(1)"
            elif target.shape == features.shape[:-1]:
                hint = "pass feature_dim=-1, if the features come last"
            elif target.ndim == len(places) > 1:
                hint = "bring the labels to the features' positions, as by torch.nn.functional.interpolate"
            elif features.ndim == 2 and target.shape[1] > 1:
                hint = "pass the features of each position, not pooled ones, or one class index a sample"
            else:
                hint = "use .argmax(1) for one-hot rows and .flatten() for a column"
            raise ValueError(
                f"target: got class indices of shape {list(target.shape)}, expected one a sample, [{samples}], "
                f"or one a position, {places}, since {name} has the shape {list(features.shape)}; {hint}."
            )
        check_device(target, features, "target", name)
        if mask is not None:
            _check_mask(mask, features, places, name)
        read = isinstance(mask, Tensor) and mask.is_cpu and not torch.compiler.is_compiling()
        _check_range(target[mask] if read else target, num_classes, ignore_index)  # type: ignore[index]
    else:
        check_target(target, features, num_classes, name=name, ignore_index=ignore_index)
    if weight is not None:
        fitting = [[samples]]
        if not soft and isinstance(target, Tensor) and target.ndim > 1:
            fitting.append(list(target.shape))
        _check_weight(weight, features, fitting, name)
    if mask is not None:
        _check_mask(mask, features, places, name)


def _check_weight(weight: object, features: Tensor, fitting: list[list[int]], name: str) -> None:
    if not isinstance(weight, Tensor) or weight.is_complex():
        raise TypeError(f"weight: got {describe(weight)}, expected a tensor of numbers; pass one a sample.")
    if list(weight.shape) not in fitting:
        expected = " or ".join(str(shape) for shape in fitting)
        raise ValueError(
            f"weight: got shape {list(weight.shape)}, expected {expected}; pass one number a sample of {name} "
            "or one a class index of the target."
        )
    check_device(weight, features, "weight", name)
    check_not_negative(weight, "weight", "weight")


def _check_mask(mask: object, features: Tensor, places: list[int], name: str) -> None:
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        raise TypeError(
            f"mask: got {describe(mask)}, expected booleans that are true where there is something to read; "
            "convert with .bool(), and turn a padding mask round with ~mask."
        )
    if len(places) == 1 or list(mask.shape) != places:
        expected = (
            f"{places}, one a position of {name}" if len(places) > 1 else f"no mask, as {name} has no positions"
        )
        last = mask.ndim > 1 and mask.shape == features.shape[:-1]
        hint = (
            "pass feature_dim=-1, if the features come last"
            if last
            else "use weight= or ignore_index for samples"
        )
        raise ValueError(f"mask: got shape {list(mask.shape)}, expected {expected}; {hint}.")
    check_device(mask, features, "mask", name)


def check_device(value: Tensor, features: Tensor, what: str, name: str) -> None:
    if value.device != features.device:
        raise ValueError(
            f"{what}: it is on {value.device} but {name} on {features.device}, expected one device; "
            f"move it with {what}.to({str(features.device)!r})."
        )


def _check_range(target: Tensor, num_classes: int, ignore_index: int | None) -> None:
    if target.device.type != "cpu" or torch.compiler.is_compiling() or target.numel() == 0:
        return
    index = target.long()
    low, high = (int(bound) for bound in index.aminmax())
    if ignore_index is not None and (low < 0 or high >= num_classes):
        index = index[index != ignore_index]
        low, high = (int(bound) for bound in index.aminmax()) if index.numel() else (0, 0)
    if low < 0 or high >= num_classes:
        hint = (
            "pass ignore_index=-100"
            if low == -100 and high < num_classes
            else "pass labels in that range or a larger num_classes"
        )
        raise ValueError(
            f"target: got class index {low if low < 0 else high}, expected indices in "
            f"[0, {num_classes}), since num_classes={num_classes}; {hint}."
        )


def check_prior_device(prior: Tensor, features: Tensor, *, name: str = "features") -> None:
    if prior.device != features.device:
        raise ValueError(
            f"prior: it is on {prior.device} but {name} on {features.device}, expected one device; "
            f"move the loss with criterion.to({str(features.device)!r})."
        )


def check_layer_features(found: list[int], remembered: list[int], maps: int) -> None:
    """Compares the layers at hand with those that the memory and the maps were made for."""
    if maps > 1 and maps != len(found):
        raise ValueError(
            f"fine_to_coarse: got {maps} maps for {len(found)} layers of features, expected one a layer; pass as "
            "many maps as layers, or one for all."
        )
    if remembered and found != remembered:
        raise ValueError(
            f"num_features: the memory was made for {remembered} features, expected {found} as in the layers at "
            "hand; pass num_features as one number a layer."
        )
