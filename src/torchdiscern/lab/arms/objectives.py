"""The rivals by name, and the user's own: from a recipe's `arm` and `strength` to a module that takes a step."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from torchdiscern import checks
from torchdiscern.lab.arms.step import Step
from torchdiscern.lab.arms.terms import CE, RECOMMENDED, TERMS
from torchdiscern.lab.own_code import find

SCALE = 20.0  # what a cosine is multiplied by, to be a logit
HERE = "torchdiscern.lab.arms"


@dataclass(frozen=True)
class Rival:
    """One objective that ships.

    Args:
        where: `module:function` or class.
        strength: the default of its own weight.
        of_features: whether it moves the tapped features, so that frozen ones leave it without effect.
        classifier: `linear`; `cosine`, a linear layer without lengths; `simplex`, a fixed one.
        below: what the strength has to be below.
    """

    where: str
    strength: float
    of_features: bool = False
    classifier: str = "linear"
    below: float | None = None


RIVALS: dict[str, Rival] = {
    "label-smoothing": Rival(f"{HERE}.penalties:label_smoothing", 0.1, below=1),
    "confidence-penalty": Rival(f"{HERE}.penalties:confidence_penalty", 0.1),
    "centre": Rival(f"{HERE}.penalties:Centre", 0.01, of_features=True),
    "cw-vr": Rival(f"{HERE}.penalties:within_class_variance", 1.0, of_features=True),
    "opl": Rival(f"{HERE}.penalties:orthogonal_projection", 1.0, of_features=True),
    "supcon": Rival(f"{HERE}.margins:supcon", 0.5, of_features=True),
    "arcface": Rival(f"{HERE}.margins:arcface", 0.3, classifier="cosine", below=3.1),
    "cosface": Rival(f"{HERE}.margins:cosface", 0.2, classifier="cosine", below=2),
    "vicreg": Rival(f"{HERE}.penalties:decorrelation", 0.1, of_features=True),
    "etf": Rival(f"{HERE}.objectives:simplex", SCALE, of_features=True, classifier="simplex"),
    "selectivity-up": Rival(f"{HERE}.penalties:selectivity_up", 1.0, of_features=True),
    "selectivity-down": Rival(f"{HERE}.penalties:selectivity_down", 1.0, of_features=True),
    "adversarial": Rival(f"{HERE}.attack:adversarial", 0.5),
}
NAMES = (RECOMMENDED, CE, *TERMS, *RIVALS)


def simplex(step: Step) -> Tensor:
    """Cross-entropy; what differs is the classifier."""
    return step.cross_entropy


def check(arm: str, strength: float | None) -> None:
    """Says what is wrong with a recipe's `arm` and `strength`.

    Raises:
        ValueError: no such arm, or a strength that it does not take.
    """
    if ":" in arm:
        return
    if arm not in NAMES:
        raise ValueError(
            f"arm: got {arm!r}, expected one of {', '.join(map(repr, NAMES))} or package.module:function; "
            f"{checks.nearest(arm, NAMES)}"
        )
    if strength is None:
        return
    if arm not in RIVALS:
        todo = "choose another arm" if arm == CE else "set impurity_weight and kl_weight"
        raise ValueError(
            f"strength: got {strength:g} with arm={arm}, expected none, as that arm has no weight of this name; "
            f"leave it out, or {todo}."
        )
    below = RIVALS[arm].below
    if below is not None and strength >= below:
        raise ValueError(
            f"strength: got {strength:g} with arm={arm}, expected a number below {below:g}; the arm's own is "
            f"{RIVALS[arm].strength:g}."
        )


def moves_features(arm: str) -> bool:
    """Whether an arm is known to work on the tapped features alone, beside cross-entropy."""
    return arm in TERMS or arm == RECOMMENDED or (arm in RIVALS and RIVALS[arm].of_features)


def in_words(arm: str) -> str:
    """What is trained, as the end of a sentence."""
    if arm == CE:
        return "cross-entropy alone"
    return f"cross-entropy and {arm}" if arm in TERMS or arm == RECOMMENDED else arm


def classifier_of(arm: str, strength: float | None) -> tuple[str, float]:
    """The kind of the classifier that an arm asks for, and what its cosines are multiplied by."""
    kind = RIVALS[arm].classifier if arm in RIVALS else "linear"
    own = strength if kind == "simplex" else None
    return kind, SCALE if own is None else own


def objective_of(
    arm: str, strength: float | None, num_classes: int, num_features: Callable[[], int]
) -> "Objective | None":
    """The module that gives a rival's whole loss of a step; None for cross-entropy and for the terms.

    Args:
        arm: as in the recipe; `package.module:function` calls `function(step)`, or makes an `nn.Module` of
            a class, with `num_classes`, `num_features` and `strength` where it takes them.
        strength: as in the recipe; None for the objective's own default.
        num_classes: of the target.
        num_features: gives the width of the last tapped layer.

    Raises:
        ValueError, TypeError: nothing to call there, or something that does not take what is given.
    """
    if arm not in RIVALS and ":" not in arm:
        return None
    found = find(RIVALS[arm].where if arm in RIVALS else arm, "arm", "a Step")
    taken = inspect.signature(found).parameters
    given: dict[str, Any] = {}
    if strength is not None and arm != "etf":  # whose strength is its classifier's
        if "strength" not in taken:
            raise ValueError(
                f"strength: got {strength:g}, which {arm!r} does not take, expected none; leave it out, or add "
                "it to the function."
            )
        given["strength"] = strength
    if not isinstance(found, type):
        return Objective(partial(found, **given), arm)
    given |= {"num_classes": num_classes} if "num_classes" in taken else {}
    given |= {"num_features": num_features()} if "num_features" in taken else {}
    module = found(**given)
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"arm: {arm!r} is a class of {checks.describe(module)}, expected a torch.nn.Module; derive it from "
            "nn.Module, or write a function that takes a Step."
        )
    return Objective(module, arm)


class Objective(nn.Module):
    """Calls an objective and says what is wrong with what it gives."""

    def __init__(self, call: Callable[[Step], Tensor], arm: str) -> None:
        super().__init__()
        self.call = call
        self.arm = arm

    def forward(self, step: Step) -> Tensor:
        loss: object = self.call(step)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            raise TypeError(
                f"arm: {self.arm!r} gave {checks.describe(loss)}, expected the whole loss as a tensor of one "
                "number; return it, as in step.cross_entropy + penalty."
            )
        return loss.reshape(())
