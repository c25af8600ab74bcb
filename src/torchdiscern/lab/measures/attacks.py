"""Attacks by the Adversarial Robustness Toolbox, made fast, repeatable and without traces.

The attack sees everything: it follows the gradient of the very network that is measured, in evaluation mode.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from art.attacks.evasion import ProjectedGradientDescentPyTorch
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn
from torch.nn.functional import one_hot

from torchdiscern import checks
from torchdiscern.lab.measures.table import ATTACKED, Norm
from torchdiscern.lab.measures.traces import seeded, untouched
from torchdiscern.lab.seeds import derived, generator
from torchdiscern.lab.training.measure import Reader

AT_ONCE = ((2_048, 512), (12_288, 128))  # numbers of an input, and how many are attacked at once up to there


@dataclass(frozen=True, eq=False)
class Attacked:
    """A network, and what is changed to fool it.

    Args:
        module: `inputs` to logits `[B, C]`, in evaluation mode.
        inputs: `[n, ...]`, float32 on the CPU.
        target: `[n]`, right class indices in `[0, C)`.
        num_classes: C.
        pixels: whether inputs are pixels in [0, 1], where they then stay; else they have no bounds.
        seed: all that an attack draws follows from it.
        device: where the network is.
    """

    module: nn.Module
    inputs: Tensor
    target: Tensor
    num_classes: int
    pixels: bool = False
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def batch_size(self) -> int:
        numbers = self.inputs[0].numel()
        return next((size for largest, size in AT_ONCE if numbers <= largest), 32)  # bounds memory

    @torch.no_grad()
    def right(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Whether inputs in the place of some rows are taken for the rows' classes, `[len(rows)]` booleans."""
        parts = inputs.split(self.batch_size)
        said = [self.module(part.to(self.device)).argmax(1).cpu() for part in parts]
        return torch.cat([torch.empty(0, dtype=torch.long), *said]) == self.target[rows]


class Readable(nn.Module):
    """A trained network for whoever changes its inputs: pixels in [0, 1], or what its frozen part gives."""

    scale: Tensor
    shift: Tensor

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        prepared = reader.prepared
        self.network = reader.module
        self.memory_format = prepared.memory_format
        self.cached = prepared.cached
        self.register_buffer("scale", 255 * prepared.scale.to(reader.device))
        self.register_buffer("shift", prepared.shift.to(reader.device))

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.cached:
            inputs = inputs.contiguous(memory_format=self.memory_format) * self.scale + self.shift
        logits: Tensor = self.network(inputs)
        return logits.float()


class _Single(nn.Module):
    """For the toolbox, which hands out float64 at times and runs an `nn.Sequential` without its own hooks."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.module(inputs.float())
        return logits


def attacked_of(reader: Reader, images: int = ATTACKED) -> Attacked:
    """The test images of a trained network, to be attacked.

    Args:
        reader: of the trained network.
        images: at most as many, drawn by the recipe's seed, the same ones for every network on these data.

    Returns:
        In feature space where the frozen part's output is kept, on pixels otherwise.
    """
    checks.check_whole(images, "images", low=1, hint="pass how many test images to attack")
    prepared, test = reader.prepared, reader.prepared.labels.test
    seed = prepared.recipe.seed
    rows = test[torch.randperm(len(test), generator=generator(seed, "attacked"))[:images]]
    inputs = prepared.inputs[rows].float()
    return Attacked(
        Readable(reader).eval(),
        inputs if prepared.cached else inputs / 255,
        prepared.labels.true[rows],
        prepared.num_classes,
        not prepared.cached,
        seed,
        reader.device,
    )


class Margin(nn.Module):
    """The largest other logit less the label's, summed: above 0 where the network is fooled.

    Unlike cross-entropy's its gradient does not fade where the network is sure.

    Source: the f6 of Carlini and Wagner, 2017, without its bound.

    Example:
        >>> Margin()(torch.tensor([[3.0, 1.0]]), torch.tensor([[1.0, 0.0]]))
        tensor(-2.)
    """

    def forward(self, logits: Tensor, label: Tensor) -> Tensor:
        own = label > 0
        other = logits.masked_fill(own, -torch.inf).amax(1)
        margin: Tensor = other - logits.masked_fill(~own, -torch.inf).amax(1)
        return margin.sum()


# sums, so that the gradient of a sample does not shrink, and underflow, with the size of the batch
LOSSES: dict[str, Any] = {"margin": Margin, "cross_entropy": lambda: nn.CrossEntropyLoss(reduction="sum")}


def projected(values: Tensor, norm: Norm, radius: float) -> Tensor:
    """The nearest point of the ball around 0 for each of `[m, ...]`.

    Example:
        >>> projected(torch.tensor([[3.0, 4.0], [0.0, 0.5]]), "l2", 1.0)
        tensor([[0.6000, 0.8000],
                [0.0000, 0.5000]])
    """
    if norm == "linf":
        return values.clamp(-radius, radius)
    lengths = values.flatten(1).norm(dim=1).clamp_min(torch.finfo(values.dtype).tiny)
    shrunk: Tensor = values * (radius / lengths).clamp_max(1).view(-1, *[1] * (values.ndim - 1))
    return shrunk


class _Descent(ProjectedGradientDescentPyTorch):  # type: ignore[misc]
    """The toolbox's attack, whose own projection makes copies in float64 at every step, a third of its time."""

    @staticmethod
    def _projection(values: Tensor, eps: Any, norm_p: Any, *, suboptimal: bool = True) -> Tensor:
        return projected(values, "l2" if norm_p == 2 else "linf", float(np.max(eps)))


def descent(
    attacked: Attacked,
    rows: Tensor,
    norm: Norm,
    radius: float,
    *,
    loss: str = "margin",
    steps: int = 40,
    random_start: bool = False,
    name: str = "",
) -> Tensor:
    """Inputs after projected gradient descent: steps of `2.5 * radius / steps`, each back into the ball.

    Args:
        attacked: the network and its inputs.
        rows: which inputs, `[m]`.
        norm: `"l2"` or `"linf"`.
        radius: of the ball around each input.
        loss: `"margin"` or `"cross_entropy"`.
        steps: of the descent.
        random_start: start anywhere in the ball instead of at the input.
        name: tells attacks apart that shall draw different starts.

    Returns:
        `[m, ...]`, inside the ball, and in [0, 1] for pixels.

    Source: Madry et al., 2018, as in adversarial-robustness-toolbox.
    """
    checks.check_choice(norm, "norm", ("l2", "linf"))
    checks.check_choice(loss, "loss", LOSSES)
    checks.check_whole(steps, "steps", low=1, hint="pass how many steps the attack takes")
    inputs = attacked.inputs[rows]
    if not len(rows):
        return inputs
    attack = _Descent(
        classifier_of(attacked, LOSSES[loss]()),
        norm=2 if norm == "l2" else np.inf,
        eps=radius,
        eps_step=2.5 * radius / steps,
        max_iter=steps,
        num_random_init=int(random_start),
        batch_size=attacked.batch_size,
        verbose=False,
    )
    with untouched(attacked.module), seeded(derived(attacked.seed, "attack", name, norm, f"{radius:g}", loss)):
        found = attack.generate(inputs.numpy(), labels_of(attacked, rows))
    return torch.from_numpy(found)


def classifier_of(
    attacked: Attacked, loss: nn.Module, bounds: tuple[float, float] | None = None
) -> PyTorchClassifier:
    """The network as the toolbox takes it; `bounds` are those of inputs that are no pixels."""
    return PyTorchClassifier(
        _Single(attacked.module),
        loss,
        tuple(attacked.inputs.shape[1:]),
        attacked.num_classes,
        clip_values=(0.0, 1.0) if attacked.pixels else bounds,
        device_type="gpu" if attacked.device.type == "cuda" else "cpu",
    )


def labels_of(attacked: Attacked, rows: Tensor) -> np.ndarray[Any, Any]:
    """Labels of some rows as the toolbox takes them, `[m, C]`."""
    found: np.ndarray[Any, Any] = one_hot(attacked.target[rows], attacked.num_classes).float().numpy()
    return found
