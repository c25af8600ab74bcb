"""The arms: what stands beside cross-entropy in the training loss."""

from typing import Any

from torchdiscern import DiscriminabilityLoss

ARMS: dict[str, dict[str, Any] | None] = {
    "ce": None,
    "gini": {"impurity": "gini", "impurity_weight": 0.5, "kl_weight": 0.5},
    "entropy": {"impurity": "entropy", "impurity_weight": 0.5, "kl_weight": 0.5},
    "renyi": {"impurity": "renyi", "impurity_weight": 1.0, "kl_weight": 0.5, "damping": 0.1},
    "shannon": {"impurity": "shannon", "impurity_weight": 1.0, "kl_weight": 0.5, "damping": 0.1},
}
RECOMMENDED = "recommended"
NAMES = (RECOMMENDED, *ARMS)


def criterion_of(arm: str, num_classes: int, **settings: Any) -> DiscriminabilityLoss | None:
    """The loss of an arm, None for cross-entropy alone.

    Args:
        arm: one of `NAMES`; `"recommended"` is `DiscriminabilityLoss.recommended`, `"gini"` the paper's terms.
        num_classes: of the labels that the terms are given.
        **settings: of `DiscriminabilityLoss`, in the place of the arm's.

    Example:
        >>> criterion_of("renyi", 100, damping=0.0).impurity
        'renyi'
    """
    if arm == RECOMMENDED:
        return DiscriminabilityLoss.recommended(num_classes, **settings)
    own = ARMS[arm]
    return None if own is None else DiscriminabilityLoss(num_classes, **own | settings)
