"""How well few features explain a decision."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from torchdiscern import checks, functional, inputs
from torchdiscern.metrics.streamed import Streamed


class KFeatureAccuracy(Streamed):
    """Accuracy of a linear layer of which each class keeps only its k most contributing features.

    A feature contributes `weight[c,j] * class_means[c,j]` to its class's logit on average; all but the k largest
    contributions of each class are cut from the weight. The features are read as the network does: pooled with
    their sign.

    Args:
        class_means: mean signed activations of the training set, `[C, D]`.
        weight: of the linear layer, `[C, D]`.
        bias: of the linear layer, `[C]`, or None.
        k: features that each class keeps, at most D.
        feature_dim: the axis of the features, -1 for `[B, T, D]`.
        kwargs: torchmetrics' own.

    Source: extension.

    Example:
        >>> weight = torch.tensor([[1.0, 0.0], [0.5, 1.0]])
        >>> metric = KFeatureAccuracy(torch.eye(2), weight, torch.zeros(2), k=1)
        >>> metric.update(torch.tensor([[2.0, 0.0], [0.0, 2.0], [3.0, 1.0]]), torch.tensor([0, 1, 1]))
        >>> metric.compute()
        tensor(0.6667)
    """

    higher_is_better: bool | None = True
    kept: Tensor
    bias: Tensor
    correct: Tensor
    total: Tensor

    def __init__(
        self,
        class_means: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        k: int,
        *,
        feature_dim: int = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check_floats(weight, "weight", None, "pass the linear layer's weight")
        _check_floats(class_means, "class_means", list(weight.shape), "pass one mean for each weight")
        inputs.check_device(class_means, weight, "class_means", "weight")
        if bias is not None:
            _check_floats(bias, "bias", [weight.shape[0]], "pass the linear layer's bias, or None")
            inputs.check_device(bias, weight, "bias", "weight")
        self.num_classes, self.num_features = weight.shape
        checks.check_num_classes(self.num_classes)
        checks.check_feature_dim(feature_dim)
        self.feature_dim = feature_dim
        self.k = checks.check_whole(k, "k", low=1, hint="pass the number of features that each class keeps")
        if self.k > self.num_features:
            raise ValueError(
                f"k: got {self.k}, expected at most {self.num_features}, the features of the weight; pass fewer."
            )
        weight = weight.detach()
        top = (weight * class_means.detach()).topk(self.k, dim=1).indices
        kept = torch.zeros_like(weight).scatter(1, top, weight.gather(1, top))
        found = weight.new_zeros(self.num_classes) if bias is None else bias.detach().clone()
        # states, although no update changes them: a MetricCollection takes metrics whose states are equal after
        # its first batch for one metric, and two heads often get the same number right in a batch
        self.add_state("kept", kept.to(self.device), dist_reduce_fx=_own)
        self.add_state("bias", found.to(self.device), dist_reduce_fx=_own)
        self.add_state("correct", torch.tensor(0), dist_reduce_fx="sum")
        self.add_state("total", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, features: Tensor, target: Tensor) -> None:
        """Adds a batch.

        Args:
            features: what the linear layer reads, `[B, D]`, or `[B, D, ...]` before it is pooled.
            target: class indices `[B]` in `[0, C)`.

        Raises:
            TypeError: a wrong type or dtype.
            ValueError: a wrong shape, length or device, or (checked on the CPU) an index outside `[0, C)`.
        """
        self._check_features(features, self.num_features)
        inputs.check_target(target, features, self.num_classes)
        a = functional.activation(features.detach(), feature_dim=self.feature_dim, signed=True)
        dtype = torch.promote_types(a.dtype, self.kept.dtype)
        logits = a.to(dtype) @ self.kept.to(dtype).T + self.bias
        self.correct = self.correct + (logits.argmax(1) == target.long()).sum()
        self.total = self.total + target.shape[0]

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Adds the samples of another metric of the same head and k, or of its `metric_state`.

        Raises:
            ValueError: the other's were different, so that their samples do not add up to one accuracy.
        """
        state: dict[str, Any] = (
            incoming_state.metric_state if isinstance(incoming_state, Metric) else incoming_state
        )
        for own, other in ((self.kept, state["kept"]), (self.bias, state["bias"])):
            if own.shape != other.shape or not torch.equal(own, other.to(own.device)):
                raise ValueError(
                    "incoming_state: got the samples of another linear layer, other class means or another k, "
                    "expected the same in both; merge metrics that were made with the same arguments."
                )
        super().merge_state(incoming_state)

    def compute(self) -> Tensor:
        """The share of samples whose largest logit is their class's, a scalar."""
        self._check_seen(self.total)
        return self.correct / self.total


def _own(stacked: Tensor) -> Tensor:
    return stacked[-1]


def _check_floats(value: object, name: str, shape: list[int] | None, hint: str) -> None:
    expected = "[C, D]" if shape is None else str(shape)
    if not isinstance(value, Tensor) or not value.is_floating_point():
        raise TypeError(
            f"{name}: got {checks.describe(value)}, expected a floating-point tensor {expected}; {hint}."
        )
    if value.ndim != 2 if shape is None else list(value.shape) != shape:
        raise ValueError(f"{name}: got shape {list(value.shape)}, expected {expected}; {hint}.")
