"""How well a score finds what it looks for."""

from sklearn.metrics import roc_auc_score
from torch import Tensor


def auroc(scores: Tensor, found: Tensor) -> float:
    """Chance that what is looked for has the higher score, ties counting half.

    Args:
        scores: `[n]`.
        found: `[n]` booleans, some true and some false.

    Returns:
        In [0, 1], 0.5 by chance.

    Example:
        >>> import torch
        >>> auroc(torch.tensor([3.0, 1.0, 2.0]), torch.tensor([True, False, False]))
        1.0
    """
    return float(roc_auc_score(found.numpy(), scores.double().numpy()))


def precision_of_first(scores: Tensor, found: Tensor, first: int = 100) -> float:
    """Share of what is looked for among the samples with the highest scores.

    Args:
        scores: `[n]`.
        found: `[n]` booleans.
        first: how many are looked at; all where there are fewer.

    Returns:
        In [0, 1]. Among equal scores the earlier row comes first.

    Example:
        >>> import torch
        >>> precision_of_first(torch.tensor([3.0, 1.0, 2.0]), torch.tensor([True, False, False]), 2)
        0.5
    """
    return float(found[scores.argsort(descending=True, stable=True)[:first]].double().mean())
