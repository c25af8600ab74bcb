"""The arms by name, joined by + where wanted, and what tuning needs of them."""

from collections.abc import Mapping
from typing import Any, Protocol

from torchdiscern import checks
from torchdiscern.lab.arms.arm import Arm
from torchdiscern.lab.arms.cards_of_rivals import RIVAL_ARMS
from torchdiscern.lab.arms.cards_of_terms import TERM_ARMS
from torchdiscern.lab.arms.objectives import RIVALS
from torchdiscern.lab.arms.terms import RECOMMENDED, TERMS

ARMS: dict[str, Arm] = TERM_ARMS | RIVAL_ARMS


class _Recipe(Protocol):
    @property
    def arm(self) -> str: ...


def settings_of(name: str) -> dict[str, Any]:
    """The recipe settings of an arm; of several joined by +, where a later one wins.

    Raises:
        ValueError: no such arm; the nearest are named.

    Example:
        >>> settings_of("clean+renyi")
        {'arm': 'renyi', 'clean': 0.2}
    """
    found: dict[str, Any] = {}
    for arm in _parts(name):
        found |= arm.settings
    return found


def space_of(name: str) -> dict[str, tuple[float, float]]:
    """What tuning draws for an arm alone, or for several joined by +; nothing for `package.module:function`.

    Raises:
        ValueError: no such arm.
    """
    if ":" in name and name not in ARMS:
        return {}
    parts, found = _parts(name), dict[str, tuple[float, float]]()
    for number, arm in enumerate(parts):
        fixed = {key for later in parts[number + 1 :] for key in later.settings}
        # of an objective that a later arm replaces no weight is drawn
        kept = arm.settings if "arm" in fixed else arm.space
        found |= {key: arm.space[key] for key in arm.space if key in kept and key not in fixed}
    return found


def defaults_of(recipe: _Recipe) -> dict[str, float]:
    """The weights that a recipe's arm has where the recipe says nothing, and those that the recipe sets."""
    own: Mapping[str, float] = {}
    if recipe.arm in RIVALS:
        own = {"strength": RIVALS[recipe.arm].strength}
    elif recipe.arm in TERMS or recipe.arm == RECOMMENDED:
        # what is recommended depends on the number of classes; from 20 on it is this
        terms = TERMS.get(recipe.arm, TERMS["renyi"])
        own = {name: terms[name] for name in ("impurity_weight", "kl_weight")}
    names = ("strength", "clean", "impurity_weight", "kl_weight")
    said = {name: getattr(recipe, name) for name in names if isinstance(getattr(recipe, name), int | float)}
    return dict(own) | said


def title_of(name: str) -> str:
    """What an arm is, in a few words; a name that is not in the table stands for itself."""
    parts = [ARMS[part] for part in name.split("+") if part in ARMS]
    if len(parts) < len(name.split("+")):
        return name
    return "; ".join(arm.title for arm in parts)


def _parts(name: str) -> list[Arm]:
    for part in name.split("+"):
        if part not in ARMS:
            raise ValueError(
                f"arms: got {part!r}, expected one of those that `torchdiscern arms` lists, or several joined "
                f"by +; {checks.nearest(part, ARMS)}"
            )
    return [ARMS[part] for part in name.split("+")]
