"""What a network does with a few images: which modules run in which order, where the classifier is."""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from torchdiscern import checks

IMAGES = 2


class Run(NamedTuple):
    """One call of a module: its name, what it read first and what it gave."""

    name: str
    module: nn.Module
    read: object
    gave: object


class Parts(NamedTuple):
    """Names of a network's parts, as in `Network`."""

    classifier: str
    layers: tuple[str, ...]
    feature_dim: int
    cut: str
    dropout: str  # the Dropout that the classifier reads, "" where there is none


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Every part in eval mode, and afterwards as it was."""
    before = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in before:
            part.training = training


def example(shape: Sequence[int], like: nn.Module) -> Tensor:
    """Images of noise, from a generator of their own, so that no one else's draws move."""
    weight = next((one for one in like.parameters() if one.is_floating_point()), torch.empty(0))
    noise = torch.rand(IMAGES, *shape, generator=torch.Generator().manual_seed(0))
    return noise.to(weight.device, weight.dtype)


@torch.no_grad()
def trace(module: nn.Module, images: Tensor) -> tuple[object, list[Run]]:
    """The output in eval mode, and the runs of all modules in the order in which they ended."""
    runs: list[Run] = []

    def hear(name: str, part: nn.Module, args: tuple[object, ...], output: object) -> None:
        runs.append(Run(name, part, args[0] if args else None, output))

    handles = [part.register_forward_hook(partial(hear, name)) for name, part in module.named_modules()]
    try:
        with evaluating(module):
            return module(images), runs
    finally:
        for handle in handles:
            handle.remove()


def find_parts(
    module: nn.Module, images: Tensor, num_classes: int, layers: tuple[str, ...] = (), *, inside: str = ""
) -> Parts:
    """The classifier, the layer that it reads and the axis of that layer's features, from one forward pass.

    The classifier is the linear layer that gives the output. The layer is the last one before it that gives the
    very numbers it reads; failing that, the last that gives maps or tokens of as many features. A 1x1
    convolution that gives the output is made a linear layer first.

    Args:
        module: images to logits.
        images: a few, normalised or not.
        num_classes: C.
        layers: named by hand, so none is looked for.
        inside: the module that holds the classifier and none of the layers.

    Raises:
        ValueError: the network fails on the images, or there is no such classifier or layer.
    """
    try:
        output, runs = trace(module, images)
    except Exception as error:  # of a stranger's code: anything
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise ValueError(
            f"network: it failed on images of shape {list(images.shape)} ({reason}), expected logits; choose "
            "another size or number of channels, or mend it."
        ) from error
    if not isinstance(output, Tensor) or list(output.shape) != [len(images), num_classes]:
        raise ValueError(
            f"network: it gave {checks.describe(output)} for {len(images)} images, expected logits of shape "
            f"[{len(images)}, {num_classes}]; let it return them alone, one for each class."
        )
    logits = output
    at = _last(runs, lambda run: isinstance(run.module, nn.Linear) and _same(run.gave, logits))
    if at is None:
        at = _last(runs, lambda run: _is_linear_by_convolution(run.module) and _same(run.gave, logits))
        if at is None:
            raise ValueError(
                "network: its logits are not the output of an nn.Linear, expected one as the last layer; "
                "choose another network, or let your own end with nn.Linear."
            )
        _make_linear(module, runs[at].name)
        return find_parts(module, images, num_classes, layers, inside=runs[at].name)
    classifier, reads = runs[at].name, cast(Tensor, runs[at].read)
    before = [run for run in runs[:at] if run.name and not classifier.startswith(run.name + ".")]
    before = [run for run in before if not inside or not run.name.startswith(inside + ".")]
    dropouts = [run.name for run in before if isinstance(run.module, nn.Dropout) and _same(run.gave, reads)]
    before = [run for run in before if not isinstance(run.module, nn.Dropout)]
    found = _last(before, lambda run: _same(run.gave, reads))
    if found is None:
        found = _last(before, lambda run: _feature_dim(run.gave, reads.shape[-1]) is not None)
    if found is None and (not layers or not before):
        raise ValueError(
            f"network: no layer gives the {reads.shape[-1]} features that its classifier {classifier!r} reads, "
            "expected one to tap by default; name layers by hand in layers."
        )
    cut = before[-1 if found is None else found]
    layers = layers or (cut.name,)
    tapped = next((run.gave for run in reversed(runs) if run.name == layers[0]), None)
    if tapped is cut.gave:
        axis = _feature_dim(tapped, reads.shape[-1]) or 1
    else:
        axis = -1 if isinstance(tapped, Tensor) and tapped.ndim == 3 else 1
    return Parts(classifier, layers, axis, cut.name, dropouts[-1] if dropouts else "")


def _feature_dim(gave: object, dim: int) -> int | None:
    if not isinstance(gave, Tensor) or gave.ndim < 2:
        return None
    if gave.ndim != 3 and gave.shape[1] == dim:
        return 1
    return -1 if gave.ndim in (3, 4) and gave.shape[-1] == dim else None


def _same(one: object, other: Tensor) -> bool:
    """Whether one of `[B, D]` or `[B, D, 1, 1]` holds the very numbers of the other."""
    if not isinstance(one, Tensor) or one.ndim not in (2, 4) or one.shape[2:] not in ((), (1, 1)):
        return False
    if one.shape[:2] != other.shape[:2]:
        return False
    return one.data_ptr() == other.data_ptr() and one.stride()[:2] == other.stride()[:2]


def _last(runs: list[Run], fits: Callable[[Run], bool]) -> int | None:
    return next((index for index in reversed(range(len(runs))) if fits(runs[index])), None)


def _is_linear_by_convolution(module: nn.Module) -> bool:
    return isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.groups == 1


def _make_linear(module: nn.Module, name: str) -> None:
    convolution = cast(nn.Conv2d, module.get_submodule(name))
    linear = nn.Linear(convolution.in_channels, convolution.out_channels, convolution.bias is not None)
    linear.weight = nn.Parameter(convolution.weight.detach().flatten(1))
    if convolution.bias is not None:
        linear.bias = cast(nn.Parameter, convolution.bias)
    module.set_submodule(name, nn.Sequential(OrderedDict(flatten=nn.Flatten(), classifier=linear)))
