"""A network by its name, with what one must know to train it, to tap it and to freeze it."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from torch import nn

from torchdiscern import checks
from torchdiscern.lab.networks import foreign, probe
from torchdiscern.lab.networks.cvt import cvt13
from torchdiscern.lab.networks.resnet import resnet17, resnet18, resnet50
from torchdiscern.lab.networks.small import SmallConvNet

RESNETS = {"resnet17": resnet17, "resnet18": resnet18, "resnet50": resnet50}
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Network:
    """A network and the names of its parts.

    Attributes:
        module: normalised images `[B, channels, S, S]` to logits `[B, C]`.
        layers: what is tapped by default.
        feature_dim: the axis of those layers' features: 1, or -1 for tokens `[B, T, D]`.
        classifier: name of the `nn.Linear` that gives the logits.
        mean: of each channel, which pretrained weights expect of pixels in [0, 1]; empty from scratch.
        std: likewise.
        size: side of the images in pixels that it is made for.
        cut: the layer whose output the classifier, with its dropout and head, reads.
        channels: of the images.
    """

    module: nn.Module
    layers: tuple[str, ...]
    feature_dim: int
    classifier: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int
    cut: str
    channels: int = 3


def network_names() -> list[str]:
    """The names that are ours; `torchvision/NAME`, `timm/NAME` and `package.module:function` come beside them."""
    return ["small", *RESNETS, "cvt13", "efficientnet-lite0"]


def make_network(
    name: str,
    num_classes: int,
    *,
    channels: int = 3,
    size: int | None = None,
    width: int | None = None,
    dropout: float = 0.0,
    pretrained: bool = False,
    head: int = 0,
    layers: Sequence[str] = (),
) -> Network:
    """Builds a network and finds its parts.

    Args:
        name: one of `network_names()`, `torchvision/NAME`, `timm/NAME`, or `package.module:function`, which is
            called with `num_classes`, and with `channels`, `size`, `width` and `pretrained` if it takes them.
        num_classes: C.
        channels: of the images.
        size: side of the images in pixels; by default what the network is made for.
        width: of our own networks, the channels of a ResNet's first stage, the features of `small`, those of
            CvT's first stage; 64 by default.
        dropout: probability, right before the classifier; 0 leaves the network as it is.
        pretrained: start from published weights, with a new classifier.
        head: H above 0 puts a layer of H features with batch norm and ReLU before the classifier; it is tapped.
        layers: what is tapped instead of what is found, as in `module.named_modules()`.

    Raises:
        ValueError, TypeError: a setting that is wrong, or that this network cannot take.
        OSError: pretrained weights that are not here and cannot be fetched.

    Example:
        >>> network = make_network("resnet18", num_classes=10, width=16)
        >>> network.layers, network.cut, network.classifier
        (('avgpool',), 'avgpool', 'fc')
    """
    checks.check_num_classes(num_classes)
    checks.check_whole(channels, "channels", low=1, hint="pass 1 for grey images and 3 for colour")
    checks.check_whole(head, "head", low=0, hint="pass the features of the layer, or 0 for none")
    for option, value in (("size", size), ("width", width)):
        if value is not None:
            checks.check_whole(value, option, low=2, hint="leave it out for what the network is made for")
    if checks.check_number(dropout, "dropout") >= 1:
        raise ValueError(f"dropout: got {dropout}, expected a probability below 1; choose one, as 0.4.")
    if pretrained and channels != 3:
        raise ValueError(
            f"channels: got {channels} with pretrained=True, expected 3, as the weights were learnt on colour; "
            "repeat grey images three times, or train from scratch."
        )
    before_classifier = 0.0 if head else dropout
    options = _Options(num_classes, channels, size, width, before_classifier, pretrained)
    network = _ours(name, options) if name in network_names()[:-1] else _foreign(name, options, tuple(layers))
    if head:
        network = _with_head(network, num_classes, head, dropout)
    if layers:
        _check_layers(network.module, layers)
        network = replace(network, layers=tuple(layers))
    return network


@dataclass(frozen=True)
class _Options:
    num_classes: int
    channels: int
    size: int | None
    width: int | None
    dropout: float
    pretrained: bool


def _ours(name: str, options: _Options) -> Network:
    classes, channels, dropout = options.num_classes, options.channels, options.dropout
    width = 64 if options.width is None else options.width
    if name == "cvt13":
        return _cvt(options, width)
    if options.pretrained:
        raise ValueError(foreign.no_weights(name))
    size = 32 if options.size is None else options.size
    if name == "small":
        small = SmallConvNet(channels, classes, width, dropout)
        return Network(small, ("pooled",), 1, "classifier", (), (), size, "pooled", channels)
    resnet = RESNETS[name](classes, channels=channels, width=width, dropout=dropout)
    return Network(resnet, ("avgpool",), 1, "fc", (), (), size, "avgpool", channels)


def _cvt(options: _Options, width: int) -> Network:
    size = options.size or (224 if options.pretrained else 32)
    if options.pretrained and (width != 64 or size <= 64):
        raise ValueError(
            f"pretrained: got True with width={width} and size={size}, expected the width 64 and images larger "
            "than 64, which the weights of 'cvt13' are made for; leave both out."
        )
    module = cvt13(
        options.num_classes,
        channels=options.channels,
        size=size,
        width=width,
        dropout=options.dropout,
        pretrained=options.pretrained,
    )
    mean, std = IMAGENET if options.pretrained else ((), ())
    return Network(module, ("pooled",), 1, "classifier", mean, std, size, "pooled", options.channels)


def _foreign(name: str, options: _Options, layers: tuple[str, ...]) -> Network:
    family, _, rest = name.partition("/")
    classes, channels, size, dropout = options.num_classes, options.channels, options.size, options.dropout
    own = ":" in name and family not in ("timm", "torchvision")
    if not own and family not in ("efficientnet-lite0", "timm", "torchvision"):
        ending = checks.nearest(name, network_names())
        raise ValueError(
            f"network: got {name!r}, expected one of {', '.join(network_names())}, torchvision/NAME, timm/NAME "
            f"or package.module:function; {ending}"
        )
    if options.width is not None and not own:
        raise ValueError(
            f"width: got {options.width} for {name!r}, which comes in one width, expected none; leave it out "
            "(null in a recipe), or choose one of our own networks."
        )
    if own:
        made = foreign.from_function(name, classes, channels, size, options.width, options.pretrained)
    elif family == "timm":
        made = foreign.from_timm(rest, classes, channels, size, dropout, options.pretrained)
    elif family == "torchvision":
        made = foreign.from_torchvision(rest, classes, channels, size, options.pretrained)
    else:
        made = foreign.lite(classes, channels, size, dropout, options.pretrained)
    images = probe.example((channels, made.size, made.size), made.module)
    parts = probe.find_parts(made.module, images, classes, layers)
    if dropout and (own or family == "torchvision"):
        parts = _with_dropout(made.module, parts, dropout)
    where = parts.layers, parts.feature_dim, parts.classifier
    return Network(made.module, *where, made.mean, made.std, made.size, parts.cut, channels)


def _with_dropout(module: nn.Module, parts: probe.Parts, probability: float) -> probe.Parts:
    if parts.dropout:
        cast(nn.Dropout, module.get_submodule(parts.dropout)).p = probability
        return parts
    classifier = module.get_submodule(parts.classifier)
    both = nn.Sequential(OrderedDict(dropout=nn.Dropout(probability), classifier=classifier))
    module.set_submodule(parts.classifier, both)
    return parts._replace(classifier=f"{parts.classifier}.classifier")


def _with_head(network: Network, num_classes: int, head: int, dropout: float) -> Network:
    name = network.classifier
    old = cast(nn.Linear, network.module.get_submodule(name))
    placed = nn.Sequential(
        OrderedDict(
            hidden=nn.Linear(old.in_features, head, bias=False),
            norm=nn.BatchNorm1d(head),
            features=nn.ReLU(),
            dropout=nn.Dropout(dropout),
            classifier=nn.Linear(head, num_classes),
        )
    )
    network.module.set_submodule(name, placed)
    layers = (f"{name}.features",)
    return replace(network, layers=layers, feature_dim=1, classifier=f"{name}.classifier")


def _check_layers(module: nn.Module, layers: Sequence[str]) -> None:
    known = dict(module.named_modules(remove_duplicate=False))
    for layer in layers:
        if not layer or layer not in known:
            raise ValueError(
                f"layers: the network has no layer {layer!r}, expected names of its modules; "
                f"{checks.nearest(layer, [name for name in known if name])}"
            )
