"""What all the metrics keep: class sums that batches and processes add to."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchmetrics import Metric

from torchdiscern import checks, inputs
from torchdiscern.closed_form import EPS
from torchdiscern.targets import ClassSums, every_class, rows_of, sums_of


class Streamed(Metric):
    """Keeps the type of what it holds while it is moved, but for float64 on mps."""

    is_differentiable: bool | None = False
    full_state_update: bool | None = False
    feature_dim: int

    def _apply(self, fn: Callable[[Tensor], Tensor], exclude_state: Sequence[str] = "") -> nn.Module:
        def move(value: Tensor) -> Tensor:
            if self._dtype_convert:
                return fn(value)
            probe = torch.zeros(1, device=value.device)
            moved = fn(probe)
            if moved.dtype == probe.dtype and moved.device == probe.device:
                return fn(value)
            narrow = moved.device.type == "mps" and value.dtype == torch.float64
            return value.to(moved.device, torch.float32 if narrow else value.dtype)

        return super()._apply(move, exclude_state)

    def merge_state(self, incoming_state: dict[str, Any] | Metric) -> None:
        """Adds the samples of another metric of the same kind, or of its `metric_state`."""
        super().merge_state(incoming_state)
        self._computed = None  # torchmetrics would give the value from before

    def _check_features(self, features: Tensor, num_features: int) -> None:
        inputs.check_features(features, feature_dim=self.feature_dim)
        if features.shape[self.feature_dim] != num_features:
            raise ValueError(
                f"features: got {features.shape[self.feature_dim]} features on axis {self.feature_dim} of shape "
                f"{list(features.shape)}, expected {num_features} as the metric was made for; pass the same "
                "layer's output, or another feature_dim."
            )
        # self.device may lack the index that a tensor's device has
        device = next(x.device for x in self.metric_state.values() if isinstance(x, Tensor))
        if features.device != device:
            raise ValueError(
                f"features: got a tensor on {features.device} with the metric on {device}, expected one "
                f"device; move the metric with .to({str(features.device)!r})."
            )

    @staticmethod
    def _check_seen(samples: Tensor) -> None:
        if float(samples) == 0:
            raise ValueError(
                "compute: got no sample since the start or the last reset, expected at least one; call "
                "update(features, target) first."
            )


class ClassMeans(Streamed):
    """Mean activation of each feature over the samples of each class, `M`; the other metrics build on it.

    Args:
        num_classes: C.
        num_features: D.
        feature_dim: the axis of the features, -1 for `[B, T, D]`.
        signed: leave the activations' sign, as `KFeatureAccuracy` wants them; see `functional.activation`.
        ignore_index: the class index of samples and positions to leave out.
        eps: keeps divisions and logarithms finite.
        kwargs: torchmetrics' own, as `sync_on_compute`.

    Source: METHOD "class mean".

    Example:
        >>> metric = ClassMeans(num_classes=2, num_features=1)
        >>> metric.update(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 0]))
        >>> metric.update(torch.tensor([[5.0]]), torch.tensor([1]))
        >>> metric.compute().flatten()
        tensor([2., 5.], dtype=torch.float64)
    """

    counts: Tensor

    def __init__(
        self,
        num_classes: int,
        num_features: int,
        *,
        feature_dim: int = 1,
        signed: bool = False,
        ignore_index: int = -100,
        eps: float = EPS,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_classes = checks.check_num_classes(num_classes)
        self.num_features = checks.check_whole(
            num_features, "num_features", low=1, hint="pass features.shape[feature_dim]"
        )
        checks.check_feature_dim(feature_dim)
        self.feature_dim = feature_dim
        self.signed = signed
        self.ignore_index = ignore_index
        self.eps = checks.check_eps(eps)
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        sums = torch.zeros(self.num_classes, self.num_features, dtype=dtype)
        # a MetricCollection shares states of one name that are equal after its first batch, and features without
        # a negative value make these equal
        self._sums = "signed_sums" if signed else "absolute_sums"
        self.add_state(self._sums, sums, dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(self.num_classes, dtype=dtype), dist_reduce_fx="sum")

    def update(
        self,
        features: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> None:
        """Adds a batch.

        Args:
            features: activations of the layer, `[B, D]` or `[B, D, ...]`.
            target: as for the loss: class indices `[B]` or of the positions, shares or labels `[B, C]`.
            weight: `[B]`, or one a position.
            mask: `[B, ...]`, true at the positions to be read.

        Raises:
            TypeError: a wrong type or dtype.
            ValueError: a wrong shape, length or device, or (checked on the CPU) an index outside `[0, C)`.
        """
        self._check_features(features, self.num_features)
        inputs.check_any_target(
            target,
            features,
            self.num_classes,
            feature_dim=self.feature_dim,
            ignore_index=self.ignore_index,
            weight=weight,
            mask=mask,
        )
        rows = rows_of(
            features.detach(),
            target,
            self.num_classes,
            feature_dim=self.feature_dim,
            signed=self.signed,
            ignore_index=self.ignore_index,
            weight=weight,
            mask=mask,
        )
        batch = every_class(sums_of(rows), self.num_classes)
        setattr(self, self._sums, self.sums + batch.sums)
        self.counts = self.counts + batch.counts

    def compute(self) -> Any:
        """The class means, `[C, D]`; zero for a class without samples."""
        return self.class_means

    @property
    def sums(self) -> Tensor:
        """Sums of activations by class, `[C, D]`."""
        found: Tensor = getattr(self, self._sums)
        return found

    @property
    def class_means(self) -> Tensor:
        """Class means of the samples so far (of this process outside `compute`), `[C, D]`."""
        self._check_seen(self.counts.sum())
        return self.sums / (self.counts + self.eps).unsqueeze(1)

    def _means(self) -> ClassSums:
        """The means in the place of the sums, as `terms_of_means` takes them."""
        return ClassSums(self.class_means, self.counts, None)

    def _live(self) -> Tensor:
        self._check_seen(self.counts.sum())
        return (self.sums != 0).any(0)

    def _seen_means(self) -> Tensor:
        # a class without samples has no mean that could be the largest
        return self.class_means.masked_fill((self.counts == 0).unsqueeze(1), -torch.inf)
