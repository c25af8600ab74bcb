"""Forward passes of a training step for an objective, which may want more than one."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from torchdiscern import FeatureTap
from torchdiscern.lab.arms import Objective, Ran, Step
from torchdiscern.lab.training.prepared import Prepared


class Runner:
    """Runs the network and hears its tapped layers and what its classifier reads.

    Args:
        prepared: what the recipe came to.
        tap: on its network.
    """

    def __init__(self, prepared: Prepared, tap: FeatureTap) -> None:
        self.prepared = prepared
        self.tap = tap
        found = prepared.network.module.get_submodule(prepared.network.classifier)
        assert isinstance(found, nn.Linear)
        self.classifier = found
        self.half: torch.dtype | None = None
        self._read: list[Tensor] = []
        self._handle: RemovableHandle | None = None

    def attach(self) -> None:
        self.tap.attach()
        self._handle = self.classifier.register_forward_pre_hook(self._hear)

    def detach(self) -> None:
        self.tap.detach()
        if self._handle is not None:
            self._handle.remove()
        self._read.clear()

    def step(self, inputs: Tensor, target: Tensor, term: Tensor, share: float) -> Step:
        """What an objective is given, to be called in the training's precision."""
        prepared, device = self.prepared, inputs.device
        kind = device.type
        self.half = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
        scale = bounds = None
        if not prepared.cached:
            shift, scale = prepared.shift.to(device), (prepared.scale * 255).to(device)
            bounds = (shift, shift + scale)
        return Step(
            inputs=inputs,
            target=target,
            term=term,
            forward=self._forward,
            network=prepared.module,
            classifier=self.classifier,
            share=share,
            feature_dim=prepared.network.feature_dim,
            scale=scale,
            bounds=bounds,
        )

    def loss(self, objective: Objective, step: Step) -> Tensor:
        """The objective in float32; forward passes that it makes are in the training's precision."""
        with torch.autocast(step.inputs.device.type, enabled=False):
            found: Tensor = objective(step)
        return found

    def _forward(self, inputs: Tensor) -> Ran:
        with torch.autocast(inputs.device.type, self.half, enabled=self.half is not None):
            logits = self.prepared.module(inputs)
        return Ran(logits, self.tap.features, self._read.pop())

    def _hear(self, _: nn.Module, args: tuple[Any, ...]) -> None:
        self._read[:] = [args[0]]
