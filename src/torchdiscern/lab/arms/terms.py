"""Our own arms: the discriminability terms, by the names that a recipe gives them."""

from typing import Any

from torchdiscern import DiscriminabilityLoss

CE = "ce"
RECOMMENDED = "recommended"
TERMS: dict[str, dict[str, Any]] = {
    "gini": {"impurity": "gini", "impurity_weight": 0.5, "kl_weight": 0.5},
    "entropy": {"impurity": "entropy", "impurity_weight": 0.5, "kl_weight": 0.5},
    "renyi": {"impurity": "renyi", "impurity_weight": 1.0, "kl_weight": 0.5, "damping": 0.1},
    "shannon": {"impurity": "shannon", "impurity_weight": 1.0, "kl_weight": 0.5, "damping": 0.1},
}


def criterion_of(arm: str, num_classes: int, **settings: Any) -> DiscriminabilityLoss | None:
    """The terms of an arm, None for one that has none.

    Args:
        arm: `"recommended"` is `DiscriminabilityLoss.recommended`, `"gini"` the paper's terms.
        num_classes: of the labels that the terms are given.
        **settings: of `DiscriminabilityLoss`, in the place of the arm's.

    Example:
        >>> criterion_of("renyi", 100, damping=0.0).impurity
        'renyi'
    """
    if arm == RECOMMENDED:
        return DiscriminabilityLoss.recommended(num_classes, **settings)
    own = TERMS.get(arm)
    return None if own is None else DiscriminabilityLoss(num_classes, **own | settings)
