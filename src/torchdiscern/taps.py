"""Features out of a model by the name of a layer, without changing the model."""

from functools import partial
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.hooks import RemovableHandle
from torch.utils.module_tracker import ModuleTracker

from torchdiscern import checks, functional


class FeatureTap:
    """Gives the outputs of named layers of the last forward pass.

    A context manager; or `attach()` it for the length of a training run and `detach()` it at the end. The
    model's outputs, its `state_dict` and its exported graph stay as they are. Features are let go when the next
    forward pass of the model begins, when the tap is detached, and by `clear()`.

    Args:
        model: any module. Of a compiled or (distributed) data-parallel one, the module inside is tapped.
        *layers: names as in `model.named_modules()` (`"layer4"`, `"backbone.blocks.11"`), or the modules
            themselves (`model.layer4`). A layer's output must be a tensor, or a tuple or list that starts with
            one.
        pool: average each feature over all its positions, giving `[B, D]` in float32 at least. After a ReLU the
            loss is the same as that of the map; before one it is not, as positive and negative values cancel.
        feature_dim: the axis of the features, for `pool`: 1 for `[B, D, H, W]`, -1 for `[B, T, D]`.

    Attributes:
        features: `{name: output}` in the order given, with their gradients' history; to be read between the
            forward pass and the next one.

    What works and what does not:
        - `torch.compile`: attach before the first call of the compiled model. A graph compiled earlier knows
          nothing of the tap: `features` says so then; `torch.compiler.reset()` makes it compile anew.
        - Export leaves no trace of the tap from torch 2.7 on; with torch 2.6 detach it first.
        - Checkpointing with `use_reentrant=False` works; with `use_reentrant=True` the layers inside run
          without gradient, and the tap raises. Compiled with `fullgraph=True`, the compiler refuses a tapped
          layer inside a checkpointed part; without it, that works too.
        - `DataParallel` over several devices is refused: use `DistributedDataParallel`.
        - A layer followed by an in-place operation (`ReLU(inplace=True)`) is seen after that operation, unless
          pooled. A layer that runs several times in a forward pass is seen at its last run.

    Raises:
        ValueError: no layer, or no layer of that name; the nearest names are given.
        TypeError: the model or a layer is neither module nor name.
        RuntimeError: while running or reading, where features could not be had; the reason is given.

    Source: extension.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
        >>> with FeatureTap(model, "1") as tap:
        ...     logits = model(torch.rand(2, 3, 8, 8))
        ...     features = tap.features
        >>> features["1"].shape
        torch.Size([2, 8, 6, 6])
    """

    def __init__(
        self, model: nn.Module, *layers: str | nn.Module, pool: bool = False, feature_dim: int = 1
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(
                f"model: got {checks.describe(model)}, expected a torch.nn.Module; pass the model itself."
            )
        if not layers:
            raise ValueError('layers: got none, expected at least one; name a layer, as in "layer4".')
        checks.check_feature_dim(feature_dim)
        self._root = _inside(model)
        self._layers = dict(_resolve(self._root, layer) for layer in layers)
        self._pool = pool
        self._feature_dim = feature_dim
        self._handles: list[RemovableHandle] = []
        self._found: dict[str, object] = {}
        self._listening = False
        self._inside_with_grad = False

    def attach(self) -> Self:
        """Starts to listen; does nothing where it does already."""
        if not self._handles:
            self._handles.append(self._root.register_forward_pre_hook(self._begin))
            self._handles.append(self._root.register_forward_hook(self._end, always_call=True))
            for name, layer in self._layers.items():
                self._handles.append(layer.register_forward_hook(partial(self._hear, name)))
        self._listening = True
        return self

    def detach(self) -> None:
        """Removes every hook and lets the features go."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._listening = False
        self.clear()

    def clear(self) -> None:
        """Lets the features go before the next forward pass does."""
        self._found.clear()

    def __enter__(self) -> Self:
        return self.attach()

    def __exit__(self, *_: object) -> None:
        self.detach()

    @property
    def features(self) -> dict[str, Tensor]:
        if not self._listening:
            raise RuntimeError(
                "features: the tap is not attached, so it holds none; read them inside its with statement, or "
                "call attach() before the forward pass."
            )
        missing = [name for name in self._layers if name not in self._found]
        if missing:
            raise RuntimeError(
                f"features: layer {missing[0]!r} gave no output in the last forward pass; run the model first, "
                "or, if it was compiled and run before the tap was attached, call torch.compiler.reset() once."
            )
        found = {}
        for name in self._layers:
            output = self._found[name]
            if not isinstance(output, Tensor):
                raise RuntimeError(
                    f"features: layer {name!r} gave {checks.describe(output)}, expected a tensor or a tuple that "
                    "starts with one; tap a layer inside it."
                )
            found[name] = output
        return found

    def __repr__(self) -> str:
        state = "attached" if self._listening else "detached"
        return f"FeatureTap({', '.join(map(repr, self._layers))}, pool={self._pool}, {state})"

    def __getstate__(self) -> dict[str, Any]:
        # a copied model takes the hooks along: they do nothing there; and a tensor with a history has no copy
        return self.__dict__ | {"_found": {}, "_handles": [], "_listening": False}

    def _begin(self, module: nn.Module, args: object) -> None:
        if self._listening and not _exporting():
            self.clear()
            self._inside_with_grad = torch.is_grad_enabled()

    def _end(self, module: nn.Module, args: object, output: object) -> None:
        if self._listening and not _exporting():
            self._inside_with_grad = False

    def _hear(self, name: str, module: nn.Module, args: object, output: object) -> None:
        if not self._listening or _exporting():
            return
        if not torch.compiler.is_compiling():
            if _BACKWARD.is_bw:  # a checkpointed part runs again; its first output has the history we need
                return
            if getattr(module, "_is_replica", False):
                raise RuntimeError(_NO_DATA_PARALLEL)
            if self._inside_with_grad and not torch.is_grad_enabled():
                raise RuntimeError(
                    f"features: layer {name!r} ran without gradient inside a forward pass with gradient, "
                    "expected one history for both; checkpoint with use_reentrant=False, or run the whole "
                    "model under torch.no_grad()."
                )
        if isinstance(output, (tuple, list)) and output:  # torch 2.6 cannot compile a union here
            output = output[0]
        if self._pool and isinstance(output, Tensor):
            output = functional.activation(output, feature_dim=self._feature_dim, signed=True)
        self._found[name] = output


# the one public way to ask whether a backward pass is running
_BACKWARD = ModuleTracker()

_NO_DATA_PARALLEL = (
    "model: DataParallel runs copies of the model in threads, expected one forward pass a process; "
    "use DistributedDataParallel instead."
)


def _exporting() -> bool:
    # torch.compiler.is_exporting came with torch 2.7
    asked = getattr(torch.compiler, "is_exporting", None)
    return asked() if asked else False


def _inside(model: nn.Module) -> nn.Module:
    """The module inside a compiled or data-parallel one."""
    while True:
        if isinstance(model, nn.DataParallel) and len(model.device_ids) > 1:
            raise ValueError(_NO_DATA_PARALLEL)
        if isinstance(model, nn.DataParallel | DistributedDataParallel):
            model = model.module
        elif isinstance(compiled := model._modules.get("_orig_mod"), nn.Module):
            # naming the class of compiled modules would import the compiler, twice as long as torch itself
            model = compiled
        else:
            return model


def _resolve(root: nn.Module, layer: str | nn.Module) -> tuple[str, nn.Module]:
    modules = dict(root.named_modules(remove_duplicate=False))
    del modules[""]
    if isinstance(layer, nn.Module):
        for name, module in modules.items():
            if module is layer:
                return name, module
        raise ValueError(
            f"layers: the {type(layer).__name__} given is no part of the model, expected one of its own "
            "modules; pass one of model.named_modules(), or its name."
        )
    if not isinstance(layer, str):
        raise TypeError(
            f"layers: got {checks.describe(layer)}, expected a name or a module; name a layer, as in "
            '"layer4", and several one after the other: FeatureTap(model, "layer3", "layer4").'
        )
    if layer not in modules:
        ending = [name for name in modules if name.endswith("." + layer)][:3]
        raise ValueError(
            f"layers: the model has no layer {layer!r}, expected a name of model.named_modules(); "
            f"{checks.nearest(layer, modules, first=ending)}"
        )
    return layer, modules[layer]
