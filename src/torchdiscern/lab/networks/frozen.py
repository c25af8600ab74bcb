"""Freezing the first part of a network, and splitting it there, so that its output can be computed once."""

import copy
from typing import Any, cast

import torch
from torch import Tensor, nn

from torchdiscern import checks
from torchdiscern.lab.networks import probe
from torchdiscern.lab.networks.named import Network


def freeze(network: Network, upto: str) -> None:
    """Lets nothing learn that runs up to and including a layer.

    Batch norm still moves its running statistics and dropout still drops: keep `frozen_modules` in eval mode.

    Args:
        network: as `make_network` gives it.
        upto: a layer's name, or `"backbone"` for all but the classifier with its head.

    Raises:
        ValueError: no such layer, or one that does not run; the nearest names are given.

    Example:
        >>> from torchdiscern.lab.networks import make_network
        >>> network = make_network("resnet18", num_classes=10, width=16)
        >>> freeze(network, "backbone")
        >>> [name for name, one in network.module.named_parameters() if one.requires_grad]
        ['fc.weight', 'fc.bias']
    """
    layer = _layer(network, upto)
    for module in _ran_until(network.module, layer, _images(network)):
        module.requires_grad_(False)
    for parameter in _without_gradient_after(network.module, layer, _images(network)):
        parameter.requires_grad_(False)


def frozen_modules(network: Network, upto: str) -> list[nn.Module]:
    """The outermost modules that run up to and including a layer; call `eval()` on each after `train()`.

    Raises:
        ValueError: as for `freeze`.
    """
    done = _ran_until(network.module, _layer(network, upto), _images(network))
    inside = {id(part) for module in done for part in list(module.modules())[1:]}
    return [module for module in done if id(module) not in inside]


def split_frozen(network: Network, upto: str, example: Tensor) -> tuple[nn.Module, nn.Module] | None:
    """Parts a network at a layer, so that what comes before can be computed once and kept.

    The first part runs in eval mode and without gradient, and stops at the layer. The second shares the other
    modules and their names with the network, so that training it trains the network.

    Args:
        network: as `make_network` gives it.
        upto: as for `freeze`.
        example: normalised images, on which both parts in eval mode must give what the network gives.

    Returns:
        Images to that layer's output, and that output to logits; None where a network cannot be parted there,
        as in the middle of a skip connection.

    Raises:
        ValueError: as for `freeze`.

    Example:
        >>> from torchdiscern.lab.networks import make_network
        >>> network = make_network("resnet18", num_classes=10, width=16)
        >>> first, rest = split_frozen(network, "layer3", torch.rand(2, 3, 32, 32))
        >>> rest(first(torch.rand(5, 3, 32, 32))).shape
        torch.Size([5, 10])
    """
    layer = _layer(network, upto)
    frozen = _Until(network.module, layer)
    images = probe.example(example.shape[1:], network.module)
    _ran_until(network.module, layer, images)
    for whole in (False, True):  # operations in place before the layer need memory to write to
        try:
            rest = _rest(network.module, layer, images, whole)
            with torch.no_grad(), probe.evaluating(network.module), probe.evaluating(rest):
                if torch.equal(rest(frozen(example)), network.module(example)):
                    return frozen, rest
        except Exception:  # whatever a stranger's code says to numbers that it does not expect
            continue
    return None


def _layer(network: Network, upto: str) -> str:
    if upto == "backbone":
        return network.cut
    names = [name for name, _ in network.module.named_modules(remove_duplicate=False) if name]
    if upto not in names:
        raise ValueError(
            f"upto: the network has no layer {upto!r}, expected 'backbone' or a layer's name; "
            f"{checks.nearest(upto, names)}"
        )
    return upto


def _images(network: Network) -> Tensor:
    return probe.example((network.channels, network.size, network.size), network.module)


def _ran_until(module: nn.Module, layer: str, images: Tensor) -> list[nn.Module]:
    """The modules that ended by the time at which the layer last did, in that order."""
    at_layer = module.get_submodule(layer)
    ended = [run.module for run in probe.trace(module, images)[1]]
    if at_layer not in ended:
        raise ValueError(
            f"upto: layer {layer!r} does not run by itself, expected one that does; name one that holds it, or "
            "one that it holds."
        )
    last = len(ended) - ended[::-1].index(at_layer)
    return list(dict.fromkeys(ended[:last]))


def _without_gradient_after(module: nn.Module, layer: str, images: Tensor) -> list[nn.Parameter]:
    """Parameters that no module of the first part holds and that only it uses, as a class token."""
    parameters = [one for one in module.parameters() if one.requires_grad]
    handle = module.get_submodule(layer).register_forward_hook(lambda *run: _map(torch.Tensor.detach, run[2]))
    try:
        with torch.enable_grad(), probe.evaluating(module):
            total = module(images).sum()
            if not total.requires_grad:
                return parameters
            found = torch.autograd.grad(total, parameters, allow_unused=True)
    finally:
        handle.remove()
    return [one for one, gradient in zip(parameters, found, strict=True) if gradient is None]


class _Reached(Exception):
    """Ends a forward pass at the layer."""


class _Until(nn.Module):
    """Images to the output of a layer."""

    def __init__(self, module: nn.Module, layer: str) -> None:
        super().__init__()
        self.module = module
        self.layer = layer

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        found: list[Any] = []

        def stop(*run: Any) -> None:
            found.append(run[2])
            raise _Reached

        handle = self.module.get_submodule(self.layer).register_forward_hook(stop)
        try:
            with probe.evaluating(self.module):
                self.module(images)
        except _Reached:
            pass
        finally:
            handle.remove()
        return cast(Tensor, found[0][0] if isinstance(found[0], tuple | list) else found[0])


class _Stub(nn.Module):
    """Stands where a module of the first part did: gives NaN of its output's shape, so that any use shows.

    At the layer itself it gives what was kept of that layer. Unless `whole`, the NaN share one number's memory.
    """

    def __init__(self, gave: Any, whole: bool) -> None:
        super().__init__()
        self.whole = whole
        self.shapes = _map(lambda tensor: tensor.new_empty(tensor.shape, device="meta"), gave)
        self.kept: Tensor | None = None
        self.like: Tensor | None = None

    def forward(self, *_: object, **__: object) -> Any:
        like = cast(Tensor, self.like)
        gave = _map(lambda tensor: _nothing(tensor.shape, like, self.whole), self.shapes)
        if self.kept is None:
            return gave
        kept = self.kept.clone()  # an operation in place must not reach what the caller keeps
        return type(gave)([kept, *gave[1:]]) if isinstance(gave, tuple | list) else kept


class _Feed:
    """Hands what was kept of the layer to the stubs, and shapes alone to the network, before it runs."""

    def __init__(self, stubs: list[_Stub], layer: _Stub, image: tuple[int, ...]) -> None:
        self.stubs = stubs
        self.layer = layer
        self.image = image

    def __call__(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        (kept,) = args
        for stub in self.stubs:
            stub.like = kept
        self.layer.kept = kept
        return (_nothing((probe.IMAGES, *self.image), kept, self.layer.whole),)

    def end(self, module: nn.Module, args: object, output: object) -> None:
        for stub in self.stubs:
            stub.like = stub.kept = None


def _rest(module: nn.Module, layer: str, images: Tensor, whole: bool) -> nn.Module:
    runs = probe.trace(module, images)[1]
    last = max(index for index, run in enumerate(runs) if run.module is module.get_submodule(layer))
    again = {id(run.module) for run in runs[last + 1 :]}
    gave = {id(run.module): run.gave for run in runs[: last + 1] if id(run.module) not in again}
    stubs: dict[int, _Stub] = {}

    def rebuilt(part: nn.Module) -> nn.Module:
        if id(part) in gave:
            return stubs.setdefault(id(part), _Stub(gave[id(part)], whole))
        if not any(id(one) in gave for one in part.modules()):
            return part
        new = _copied(part)
        for name, child in part._modules.items():
            new._modules[name] = None if child is None else rebuilt(child)
        return new

    rest = rebuilt(module)
    feed = _Feed(list(stubs.values()), stubs[id(module.get_submodule(layer))], tuple(images.shape[1:]))
    rest.register_forward_pre_hook(feed)
    rest.register_forward_hook(feed.end, always_call=True)
    return rest


def _copied(module: nn.Module) -> nn.Module:
    """A shallow copy with dictionaries of its own, for the modules and the hooks in them."""
    new = copy.copy(module)
    vars(new).update({name: copy.copy(value) for name, value in vars(module).items() if isinstance(value, dict)})
    return new


def _nothing(shape: tuple[int, ...], like: Tensor, whole: bool) -> Tensor:
    if shape and shape[0] == probe.IMAGES:
        shape = (like.shape[0], *shape[1:])
    if whole:
        return like.new_full(shape, torch.nan)
    return like.new_full((1,) * len(shape), torch.nan).expand(shape)


def _map(change: Any, value: Any) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, tuple | list):
        parts = [_map(change, one) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        changed = copy.copy(value)  # of its own kind, as transformers' outputs are
        for key, one in value.items():
            changed[key] = _map(change, one)
        return changed
    return value
