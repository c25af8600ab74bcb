"""Adversarial training: the loss on inputs that were moved, within a radius, to where it is largest."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from torchdiscern.lab.arms.step import Step

STEPS = 5
TINY = 1e-12


def adversarial(step: Step, strength: float = 0.5) -> Tensor:
    """Cross-entropy on inputs moved by at most `strength` in L2, in pixels of [0, 1] or in units of features."""
    return step.cross_entropy_of(step.forward(moved(step, strength)).logits)


def moved(step: Step, radius: float, steps: int = STEPS) -> Tensor:
    """The inputs after projected gradient ascent on cross-entropy, from a random start.

    Steps of `2.5 * radius / steps` along the normalised gradient, each followed by projection onto the ball and
    into the valid inputs. The network runs in eval mode meanwhile, so that no running statistic moves.
    """
    inputs = step.inputs.detach()
    with _evaluating(step.network), torch.enable_grad():
        start = torch.randn_like(inputs)
        room = torch.rand(len(inputs), device=inputs.device, dtype=inputs.dtype)
        away = _placed(step, inputs, _along(start, radius * room))
        for _ in range(steps):
            away.requires_grad_()
            logits = step.forward(_at(step, inputs, away)).logits.float()
            (slope,) = torch.autograd.grad(F.cross_entropy(logits, step.target, reduction="sum"), away)
            next_ = away.detach() + _along(slope, torch.full_like(room, 2.5 * radius / steps))
            away = _placed(step, inputs, _within(next_, radius))
        return _at(step, inputs, away).detach()


def _at(step: Step, inputs: Tensor, away: Tensor) -> Tensor:
    return inputs + (away if step.scale is None else away * step.scale)


def _placed(step: Step, inputs: Tensor, away: Tensor) -> Tensor:
    """No further than black and white pixels allow; each pixel comes nearer by that, so the radius holds."""
    if step.bounds is None or step.scale is None:
        return away
    low, high = step.bounds
    # pixels that rounding put outside stay where they are
    least = ((low - inputs) / step.scale).clamp_max(0)
    most = ((high - inputs) / step.scale).clamp_min(0)
    return torch.minimum(torch.maximum(away, least), most)


def _along(direction: Tensor, length: Tensor) -> Tensor:
    return direction * (length / _norm(direction).clamp_min(TINY)).view(-1, *(1,) * (direction.ndim - 1))


def _within(away: Tensor, radius: float) -> Tensor:
    return _along(away, _norm(away).clamp_max(radius))


def _norm(values: Tensor) -> Tensor:
    found: Tensor = torch.linalg.vector_norm(values.flatten(1), dim=1)
    return found


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    before = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training
