"""Networks that are not ours: timm's, torchvision's and the user's own functions."""

import inspect
from typing import Any, NamedTuple, cast

from torch import nn

from torchdiscern import checks
from torchdiscern.lab.networks import probe
from torchdiscern.lab.networks.weights import efficientnet_lite0, fetching
from torchdiscern.lab.own_code import find, working_directory_importable

LITE = "tf_efficientnet_lite0"


class Made(NamedTuple):
    """A network before its layers are known; `mean` and `std` are those of pretrained weights."""

    module: nn.Module
    size: int
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


def lite(num_classes: int, channels: int, size: int | None, dropout: float, pretrained: bool) -> Made:
    import timm

    size = 224 if size is None else size
    if not pretrained:
        options: dict[str, Any] = {"num_classes": num_classes, "in_chans": channels, "drop_rate": dropout}
        return Made(timm.create_model(LITE, **options), size)
    module = cast(Any, efficientnet_lite0())
    module.reset_classifier(num_classes)
    module.drop_rate = dropout
    return Made(module, size, (127 / 255,) * 3, (128 / 255,) * 3)


def from_timm(
    name: str, num_classes: int, channels: int, size: int | None, dropout: float, pretrained: bool
) -> Made:
    import timm

    known = name.split(".")[0]
    if not timm.is_model(known):
        raise ValueError(_unknown(f"timm/{name}", timm.list_models(), "timm/"))
    config = cast(Any, timm.get_pretrained_cfg(name))
    options: dict[str, Any] = {"drop_rate": dropout} if dropout else {}
    if size is not None and config is not None and config.fixed_input_size:
        options["img_size"] = size
    if not pretrained:
        module = timm.create_model(name, num_classes=num_classes, in_chans=channels, **options)
    else:
        if config is None or not config.has_weights:
            raise ValueError(no_weights(f"timm/{name}"))
        with fetching(f"timm/{name}"):
            module = timm.create_model(name, pretrained=True, **options)
        cast(Any, module).reset_classifier(num_classes)
    found = cast(Any, module).pretrained_cfg
    made = Made(module, size or int(found.get("input_size", (3, 224, 224))[-1]))
    return made._replace(mean=tuple(found["mean"]), std=tuple(found["std"])) if pretrained else made


def from_torchvision(name: str, num_classes: int, channels: int, size: int | None, pretrained: bool) -> Made:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise ValueError(_unknown(f"torchvision/{name}", known, "torchvision/"))
    if channels != 3:
        raise ValueError(
            f"channels: got {channels} for 'torchvision/{name}', expected 3, the only number it is built for; "
            "choose one of our own or timm's networks."
        )
    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):  # their second classifiers would be returned while training
        options |= {"aux_logits": False, "init_weights": True}
    if size is not None and name.startswith("vit_"):
        options["image_size"] = size
    if size is not None and name.startswith("maxvit"):
        options["input_size"] = (size, size)
    transform = models.get_model_weights(name).DEFAULT.transforms()
    side = size or int(transform.crop_size[0])
    if not pretrained:
        return Made(models.get_model(name, num_classes=num_classes, **options), side)
    with fetching(f"torchvision/{name}"):
        module = models.get_model(name, weights="DEFAULT", **options)
    classes = len(models.get_model_weights(name).DEFAULT.meta["categories"])
    classifier = probe.find_parts(module, probe.example((3, side, side), module), classes).classifier
    features = cast(nn.Linear, module.get_submodule(classifier)).in_features
    module.set_submodule(classifier, nn.Linear(features, num_classes))
    return Made(module, side, tuple(transform.mean), tuple(transform.std))


def from_function(
    name: str, num_classes: int, channels: int, size: int | None, width: int | None, pretrained: bool
) -> Made:
    """Calls `package.module:function`, which may lie in the current working directory."""
    size = 32 if size is None else size
    with working_directory_importable():
        function = find(name, "network", "num_classes")
        taken = inspect.signature(function).parameters
        given = {"channels": channels, "size": size, "width": width, "pretrained": pretrained}
        for argument in ("width", "pretrained"):
            if given[argument] and argument not in taken:
                raise ValueError(
                    f"{argument}: got {given[argument]!r}, which {name!r} does not take, expected a function "
                    "with an argument of that name; leave it out (null in a recipe), or add it to the function."
                )
        options = {key: value for key, value in given.items() if key in taken and value is not None}
        if "num_classes" not in taken and not any(one.kind is one.VAR_KEYWORD for one in taken.values()):
            raise ValueError(
                f"network: {name!r} takes no argument num_classes, expected a function that makes a network for "
                f"so many classes; write it as `def {name.rpartition(':')[2]}(num_classes): ...`."
            )
        try:
            module = function(num_classes=num_classes, **options)
        except Exception as error:  # of a stranger's code: anything
            reason = (str(error).splitlines() or [""])[0].rstrip(".")
            raise ValueError(
                f"network: {name!r} failed ({type(error).__name__}: {reason}), expected it to make a network for "
                f"{num_classes} classes; mend it."
            ) from error
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"network: {name!r} gave {checks.describe(module)}, expected a torch.nn.Module; return the network."
        )
    return Made(module, size)


def no_weights(name: str) -> str:
    return (
        f"pretrained: got True for {name!r}, of which no weights are published, expected False; train it from "
        "scratch, or choose 'efficientnet-lite0', 'cvt13', or one of timm's or torchvision's."
    )


def _unknown(name: str, known: list[str], family: str) -> str:
    ending = checks.nearest(name, [family + one for one in known])
    return f"network: got {name!r}, expected a network that {family[:-1]} has for classification; {ending}"
