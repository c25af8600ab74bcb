"""How well the features are concentrated: accuracy after most of them are removed."""

from torch import Tensor

SHARES = (50, 80, 90)


def carried(weight: Tensor, means: Tensor) -> Tensor:
    """How much each feature carries: the margin that it gives the training images' own classes.

    `carried[j] = mean over c of M[c,j] * (weight[c,j] - mean over c' of weight[c',j])`: by how much the logit of
    an image's class, less the mean of all logits, falls on average when the feature is zeroed, every class
    counting alike. That is what removal does, so nothing else is ranked by; unlike a sum of magnitudes it does
    not change when a constant is added to all classes' weights, which softmax does not see, and a feature that
    speaks for the wrong classes is negative and goes first.

    Args:
        weight: of the classifier, `[C, D]`.
        means: `M`, signed class means of what the classifier reads over the training images, `[C, D]`.

    Returns:
        `[D]`, in logits.

    Source: extension.

    Example:
        >>> import torch
        >>> carried(torch.tensor([[2.0, 1.0], [0.0, 1.0]]), torch.tensor([[3.0, 9.0], [1.0, 9.0]]))
        tensor([1., 0.])
    """
    weight = weight.to(means.dtype)
    return (means * (weight - weight.mean(0))).mean(0)


def accuracy_without(
    read: Tensor, target: Tensor, weight: Tensor, bias: Tensor | None, means: Tensor, share: int
) -> float:
    """Accuracy of the classifier when the features that carry least are zero, without training again.

    Args:
        read: what the classifier reads, `[n, D]`.
        target: `[n]`, class indices in `[0, C)`.
        weight, bias: of the classifier, `[C, D]` and `[C]`.
        means: signed class means over the training images, `[C, D]`, by which the features are ranked.
        share: percent of the features that are removed, in [0, 100); one feature is always left.

    Returns:
        In [0, 1].

    Source: extension; magnitude pruning of features in the spirit of LeCun, Denker and Solla, 1990.

    Example:
        >>> import torch
        >>> read = torch.tensor([[2.0, 0.1], [0.0, 0.1]])
        >>> weight = torch.tensor([[1.0, 0.0], [-1.0, 0.5]])
        >>> accuracy_without(read, torch.tensor([0, 1]), weight, None, read, 50)
        0.5
    """
    return float(right_without(read, target, weight, bias, means, share).double().mean())


def right_without(
    read: Tensor, target: Tensor, weight: Tensor, bias: Tensor | None, means: Tensor, share: int
) -> Tensor:
    """Which images are then right, `[n]` booleans; see `accuracy_without`."""
    order = carried(weight, means).argsort(descending=True, stable=True)
    kept = order[: max(1, len(order) - round(len(order) * share / 100))]
    logits = read[:, kept] @ weight[:, kept].T
    if bias is not None:
        logits = logits + bias
    return logits.argmax(1) == target
