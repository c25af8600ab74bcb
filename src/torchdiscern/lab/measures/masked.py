"""Whether robust accuracy is real: a gradient that leads nowhere fools the attack, not the attacker.

The signs are those of Athalye, Carlini and Wagner, "Obfuscated gradients give a false sense of security", 2018:
an attack that needs no gradient of the network, or a longer one, turns images that the ordinary attack leaves
right.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from art.attacks.evasion import HopSkipJump
from torch import Tensor, nn

from torchdiscern.lab.measures.attacks import (
    Attacked,
    Margin,
    classifier_of,
    descent,
    labels_of,
    projected,
)
from torchdiscern.lab.measures.robust import STEPS, survivors
from torchdiscern.lab.measures.table import Norm
from torchdiscern.lab.measures.traces import seeded, untouched
from torchdiscern.lab.seeds import derived, generator

TOLERANCE = 0.02  # share of the images that another attack may turn beyond the ordinary one, which is not perfect


@dataclass(frozen=True)
class Beside:
    """One attack beside the ordinary one, on the same images.

    Args:
        images: how many.
        robust: share that this attack leaves right, in [0, 1].
        ordinary: share that the ordinary attack leaves right.
        beyond: share that the ordinary attack leaves right and this one turns.
    """

    images: int
    robust: float
    ordinary: float
    beyond: float


@dataclass(frozen=True)
class MaskedCheck:
    """What other attacks say of the robust accuracy at one radius.

    Args:
        norm: of the ball.
        radius: of the ball.
        robust: accuracy under the ordinary attack, in [0, 1].
        attacks: each by its name.
        tolerance: the share of images that another attack may turn beyond the ordinary one.
    """

    norm: Norm
    radius: float
    robust: float
    attacks: Mapping[str, Beside]
    tolerance: float = TOLERANCE

    @property
    def stronger(self) -> list[str]:
        """The attacks that the ordinary one should have been as strong as, and was not."""
        return [name for name, one in self.attacks.items() if one.beyond > self.tolerance]

    @property
    def ordinary_is_strongest(self) -> bool:
        """Whether no sign of a masked gradient was seen."""
        return not self.stronger

    def __str__(self) -> str:
        where = f"{self.norm} {self.radius:g}: {100 * self.robust:.1f}% robust"
        if self.ordinary_is_strongest:
            return f"{where}; no masked gradient seen by {', '.join(self.attacks) or 'any other attack'}"
        worst = ", ".join(f"{name} turns {100 * self.attacks[name].beyond:.1f}% more" for name in self.stronger)
        return f"{where}, but {worst}: the gradient is masked, or the attack too short"


def masked_check(
    attacked: Attacked,
    norm: Norm,
    radius: float,
    *,
    others: Mapping[str, nn.Module] | None = None,
    steps: int = 200,
    restarts: int = 5,
    decision_images: int = 50,
    tolerance: float = TOLERANCE,
) -> MaskedCheck:
    """Attacks in other ways than the ordinary one, at one radius.

    Args:
        attacked: the network and its inputs.
        norm: `"l2"` or `"linf"`.
        radius: of the ball around each input.
        others: networks for the same inputs and classes, as other arms', on which attacks are made as well.
        steps: of the longer attack.
        restarts: of the longer attack.
        decision_images: how many are attacked by decisions alone; 0 for none.
        tolerance: the share of images that another attack may turn beyond the ordinary one.

    Example:
        >>> from torchdiscern.lab.measures.attacks import Attacked
        >>> linear = nn.Linear(2, 2, bias=False)
        >>> _ = linear.weight.data.copy_(torch.tensor([[1.0, 0.0], [-1.0, 0.0]]))
        >>> inputs = torch.tensor([[0.5, 0.0], [3.0, 0.0]])
        >>> print(masked_check(Attacked(linear, inputs, torch.tensor([0, 0]), 2), "l2", 1.0, decision_images=0))
        l2 1: 50.0% robust; no masked gradient seen by more_steps, noise
    """
    ordinary = survivors(attacked, norm, [radius])[radius]
    found = {
        "more_steps": more_steps(attacked, norm, radius, steps=steps, restarts=restarts),
        "noise": noise(attacked, norm, radius),
    }
    found |= {
        f"transfer_{name}": transfer(attacked, other, norm, radius) for name, other in (others or {}).items()
    }
    if decision_images:
        found["decision"] = decision(attacked, norm, radius, images=decision_images)
    besides = {name: beside(stayed, ordinary[: len(stayed)]) for name, stayed in found.items()}
    return MaskedCheck(norm, radius, float(ordinary.double().mean()), besides, tolerance)


def beside(stayed: Tensor, ordinary: Tensor) -> Beside:
    """Two attacks on the same images, from what each leaves right, `[n]` booleans.

    Example:
        >>> beside(torch.tensor([True, False]), torch.tensor([True, True]))
        Beside(images=2, robust=0.5, ordinary=1.0, beyond=0.5)
    """
    shares = (stayed, ordinary, ordinary & ~stayed)
    return Beside(len(stayed), *(float(one.double().mean()) for one in shares))


def more_steps(attacked: Attacked, norm: Norm, radius: float, *, steps: int = 200, restarts: int = 5) -> Tensor:
    """What a longer attack of the ordinary kind leaves right, `[n]` booleans."""
    return survivors(attacked, norm, [radius], steps=steps, restarts=restarts)[radius]


def noise(attacked: Attacked, norm: Norm, radius: float, *, draws: int = 20) -> Tensor:
    """What random points at the ball's rim (its corners, for `"linf"`) leave right, `[n]` booleans."""
    draw = generator(attacked.seed, "noise", norm, f"{radius:g}")
    left = _right(attacked)
    for _ in range(draws):
        step = torch.randn(attacked.inputs.shape, generator=draw)[left]
        step = radius * step.sign() if norm == "linf" else projected(1e6 * step, norm, radius)
        left = left[attacked.right(_inside(attacked, attacked.inputs[left] + step), left)]
    return _mask(attacked, left)


def transfer(attacked: Attacked, other: nn.Module, norm: Norm, radius: float, *, steps: int = STEPS) -> Tensor:
    """What attacks made on another network leave right, `[n]` booleans."""
    teacher = replace(attacked, module=other)
    left = _right(attacked)
    for start in range(2):
        for loss in ("margin", "cross_entropy"):
            turned = descent(
                teacher, left, norm, radius, loss=loss, steps=steps, random_start=start > 0, name=f"from {start}"
            )
            left = left[attacked.right(turned, left)]
    return _mask(attacked, left)


def decision(
    attacked: Attacked, norm: Norm, radius: float, *, images: int = 50, rounds: int = 10, queries: int = 100
) -> Tensor:
    """What an attack that sees decisions alone leaves right of the first images, `[min(images, n)]` booleans.

    It starts from the nearest input that the network takes for another class and walks along the boundary; where
    it ends is drawn back into the ball. Features without bounds are kept within those of all inputs.

    Args:
        attacked: the network and its inputs.
        norm: `"l2"` or `"linf"`.
        radius: of the ball around each input.
        images: how many are attacked.
        rounds: steps along the boundary.
        queries: decisions a step, more by the root of its number.

    Source: HopSkipJump of Chen, Jordan and Wainwright, 2020, as in adversarial-robustness-toolbox.
    """
    few = min(images, len(attacked.target))
    every = torch.arange(len(attacked.target))
    right = attacked.right(attacked.inputs, every)
    left = every[:few][right[:few]]
    flat = attacked.inputs.flatten(1)
    said = _said(attacked)
    apart = torch.cdist(flat[left], flat)
    apart[said.unsqueeze(0) == attacked.target[left].unsqueeze(1)] = torch.inf
    nearest = apart.min(1)
    left, starts = left[nearest.values.isfinite()], nearest.indices[nearest.values.isfinite()]
    if not len(left):
        return right[:few]
    bounds = (float(flat.min()) - radius, float(flat.max()) + radius)
    attack = HopSkipJump(
        classifier_of(attacked, Margin(), bounds),
        batch_size=attacked.batch_size,
        norm=2 if norm == "l2" else np.inf,
        max_iter=rounds,
        max_eval=10 * queries,
        init_eval=queries,
        verbose=False,
    )
    inputs = attacked.inputs[left]
    with untouched(attacked.module), seeded(derived(attacked.seed, "decision", norm, f"{radius:g}")):
        ended = attack.generate(
            inputs.numpy(), labels_of(attacked, left), x_adv_init=attacked.inputs[starts].numpy()
        )
    turned = inputs + projected(torch.from_numpy(ended) - inputs, norm, radius)
    found = right[:few].clone()
    found[left] = attacked.right(_inside(attacked, turned), left)
    return found


def _right(attacked: Attacked) -> Tensor:
    every = torch.arange(len(attacked.target))
    return every[attacked.right(attacked.inputs, every)]


@torch.no_grad()
def _said(attacked: Attacked) -> Tensor:
    parts = attacked.inputs.split(attacked.batch_size)
    return torch.cat([attacked.module(part.to(attacked.device)).argmax(1).cpu() for part in parts])


def _mask(attacked: Attacked, rows: Tensor) -> Tensor:
    return torch.isin(torch.arange(len(attacked.target)), rows)


def _inside(attacked: Attacked, inputs: Tensor) -> Tensor:
    return inputs.clamp(0, 1) if attacked.pixels else inputs
