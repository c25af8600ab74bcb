"""The terms and what goes with them as torchmetrics: exact over any number of batches and processes.

A mean over batches of a term is not the term of the data set. These metrics keep the sums of activations and
the samples of each class, `[C, D]` and `[C]`, and compute from them once; processes add theirs up. The sums are
float64 (float32 on mps, which has no float64), whatever the type of the features, and stay so under `.half()`
and `.to(dtype)`; `.set_dtype()` changes them.

Needs torchmetrics: `pip install 'torchdiscern[metrics]'`.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from torchdiscern import checks, functional, inputs
from torchdiscern.closed_form import EPS

try:
    from torchmetrics import Metric
except ModuleNotFoundError as error:
    if error.name != "torchmetrics":
        raise
    raise ModuleNotFoundError(
        "torchdiscern.metrics needs torchmetrics; install it with: pip install 'torchdiscern[metrics]'",
        name="torchmetrics",
    ) from None

__all__ = [
    "ClassSelectivity",
    "CoverageDivergence",
    "DeadFeatures",
    "Impurity",
    "KFeatureAccuracy",
    "Owners",
    "Ownership",
]


class _Streamed(Metric):
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

    def _check(self, features: Tensor, target: Tensor, num_classes: int, num_features: int) -> None:
        inputs.check_features(features, feature_dim=self.feature_dim)
        if features.shape[self.feature_dim] != num_features:
            raise ValueError(
                f"features: got {features.shape[self.feature_dim]} features on axis {self.feature_dim} of shape "
                f"{list(features.shape)}, expected {num_features} as the metric was made for; pass the same "
                "layer's output, or another feature_dim."
            )
        inputs.check_target(target, features, num_classes)
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


class _ClassMeans(_Streamed):
    """Sums of activations by class, and the class means that they make.

    Args:
        num_classes: C.
        num_features: D.
        feature_dim: the axis of the features, -1 for `[B, T, D]`.
        signed: leave the activations' sign; see `functional.activation`.
        eps: keeps divisions and logarithms finite.
        kwargs: torchmetrics' own, as `sync_on_compute`.
    """

    counts: Tensor

    def __init__(
        self,
        num_classes: int,
        num_features: int,
        *,
        feature_dim: int = 1,
        signed: bool = False,
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
        self.eps = checks.check_number(eps, "eps", above=True)
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        sums = torch.zeros(self.num_classes, self.num_features, dtype=dtype)
        # a MetricCollection shares states of one name that are equal after its first batch, and features without
        # a negative value make these equal
        self._sums = "signed_sums" if signed else "absolute_sums"
        self.add_state(self._sums, sums, dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(self.num_classes, dtype=dtype), dist_reduce_fx="sum")

    def update(self, features: Tensor, target: Tensor) -> None:
        """Adds a batch.

        Args:
            features: activations of the layer, `[B, D]` or `[B, D, ...]`.
            target: class indices `[B]` in `[0, C)`.

        Raises:
            TypeError: a wrong type or dtype.
            ValueError: a wrong shape, length or device, or (checked on the CPU) an index outside `[0, C)`.
        """
        self._check(features, target, self.num_classes, self.num_features)
        a = functional.activation(features.detach(), feature_dim=self.feature_dim, signed=self.signed)
        setattr(self, self._sums, self.sums.index_add(0, target.long(), a.to(self.sums.dtype)))
        self.counts = self.counts + functional.class_counts(target, self.num_classes, self.counts.dtype)

    @property
    def sums(self) -> Tensor:
        """Sums of activations by class, `[C, D]`."""
        found: Tensor = getattr(self, self._sums)
        return found

    @property
    def class_means(self) -> Tensor:
        """Class means `M` of the samples so far (of this process outside `compute`), `[C, D]`."""
        self._check_seen(self.counts.sum())
        return self.sums / (self.counts + self.eps).unsqueeze(1)

    def _live(self) -> Tensor:
        self._check_seen(self.counts.sum())
        return (self.sums != 0).any(0)

    def _seen_means(self) -> Tensor:
        # a class without samples has no mean that could be the largest
        return self.class_means.masked_fill((self.counts == 0).unsqueeze(1), -torch.inf)


class Impurity(_ClassMeans):
    """Mean impurity of the features: how little each tells the classes apart.

    Args:
        num_classes: C.
        num_features: D.
        kind: `"gini"`, `"entropy"` (signed activations and a softmax over the classes), `"renyi"` or
            `"shannon"`.
        per_feature: give the impurity of each feature, `[D]`, a scalar where there is a single one.
        feature_dim: the axis of the features, -1 for `[B, T, D]`.
        eps: keeps divisions finite.
        kwargs: torchmetrics' own.

    Source: METHOD "Gini term", "entropy alternative", "scale-free impurity"; see `functional.impurity`.

    Example:
        >>> metric = Impurity(num_classes=2, num_features=2)
        >>> metric.update(torch.tensor([[4.0, 1.0]]), torch.tensor([0]))
        >>> metric.update(torch.tensor([[0.0, 1.0]]), torch.tensor([1]))
        >>> round(float(metric.compute()), 4)
        0.25
    """

    higher_is_better: bool | None = False

    def __init__(
        self,
        num_classes: int,
        num_features: int,
        kind: functional.Impurity = "gini",
        *,
        per_feature: bool = False,
        feature_dim: int = 1,
        eps: float = EPS,
        **kwargs: Any,
    ) -> None:
        checks.check_choice(kind, "kind", functional.IMPURITIES)
        signed = kind == "entropy"
        super().__init__(num_classes, num_features, feature_dim=feature_dim, signed=signed, eps=eps, **kwargs)
        self.kind = kind
        self.per_feature = per_feature

    def compute(self) -> Tensor:
        """The mean over the features, a scalar; or, if made so, each feature's, `[D]`."""
        P = functional.distribution_of_means(self.class_means, softmax=self.kind == "entropy", eps=self.eps)
        found = functional.impurity(P, self.kind)
        return found if self.per_feature else found.mean()


class CoverageDivergence(_ClassMeans):
    """How far the share of features per class is from the prior: KL(t‖q), in nats.

    Args:
        num_classes: C.
        num_features: D.
        prior: `"batch"` (the classes' shares of the samples so far), `"uniform"` or a distribution `[C]`.
            Classes that had no sample are left out, as in `functional.terms`.
        feature_dim: the axis of the features, -1 for `[B, T, D]`.
        eps: keeps divisions and logarithms finite.
        kwargs: torchmetrics' own.

    Source: METHOD "share of features per class", "KL term"; see `functional.coverage_divergence`.

    Example:
        >>> metric = CoverageDivergence(num_classes=2, num_features=2, prior="uniform")
        >>> metric.update(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]))
        >>> abs(float(metric.compute())) < 1e-9
        True
    """

    higher_is_better: bool | None = False
    shares: Tensor | None

    def __init__(
        self,
        num_classes: int,
        num_features: int,
        prior: str | Tensor = "batch",
        *,
        feature_dim: int = 1,
        eps: float = EPS,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_classes, num_features, feature_dim=feature_dim, eps=eps, **kwargs)
        found = checks.check_prior(prior, self.num_classes)
        self.prior = found if isinstance(found, str) else "given"
        shares = found.detach().clone() if isinstance(found, Tensor) else None
        self.register_buffer("shares", shares, persistent=False)

    def compute(self) -> Tensor:
        """The divergence, a scalar."""
        P = functional.distribution_of_means(self.class_means, eps=self.eps)
        if self.shares is not None:
            t = self.shares
        elif self.prior == "uniform":
            t = torch.full_like(self.counts, 1 / self.num_classes)
        else:
            t = self.counts
        return functional.coverage_divergence(P, t, present=self.counts > 0, eps=self.eps)


class Ownership(NamedTuple):
    """Which class owns each feature.

    `owner`, `[D]`: the class with the largest mean activation, -1 for a dead feature. `share`, `[D]`: the
    owner's share `P` of the feature, 0 for a dead one. `owned`, `[C]`: the number of features of each class.
    """

    owner: Tensor
    share: Tensor
    owned: Tensor


class Owners(_ClassMeans):
    """Which class owns each feature, how much of it, and how many each class owns.

    torchmetrics makes a scalar of `owner` and `share` where there is a single feature.

    Args:
        num_classes: C.
        num_features: D.
        feature_dim: the axis of the features, -1 for `[B, T, D]`.
        signed: leave the activations' sign; the shares are then no shares where means are below 0.
        eps: keeps divisions finite.
        kwargs: torchmetrics' own.

    Source: METHOD "class distribution of a feature", of which this reads off the largest entry (extension).

    Example:
        >>> metric = Owners(num_classes=2, num_features=3)
        >>> metric.update(torch.tensor([[3.0, 1.0, 0.0], [1.0, 4.0, 0.0]]), torch.tensor([0, 1]))
        >>> found = metric.compute()
        >>> found.owner.tolist(), found.owned.tolist()
        ([0, 1, -1], [1, 1])
        >>> [round(share, 4) for share in found.share.tolist()]
        [0.75, 0.8, 0.0]
    """

    def compute(self) -> Ownership:
        """The owners, as `Ownership(owner, share, owned)`."""
        live, owner = self._live(), self._seen_means().argmax(0)
        P = functional.distribution_of_means(self.class_means, eps=self.eps)
        share = P.gather(0, owner.unsqueeze(0)).squeeze(0).masked_fill(~live, 0)
        owned = owner.new_zeros(self.num_classes).index_add(0, owner, live.to(owner.dtype))
        return Ownership(owner.masked_fill(~live, -1), share, owned)


class DeadFeatures(_ClassMeans):
    """Number of features that were zero for all samples.

    Args:
        num_classes: C.
        num_features: D.
        feature_dim: the axis of the features, -1 for `[B, T, D]`.
        eps: takes no part here.
        kwargs: torchmetrics' own.

    Source: METHOD "class distribution of a feature", whose dead features these are.

    Example:
        >>> metric = DeadFeatures(num_classes=2, num_features=3)
        >>> metric.update(torch.tensor([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]]), torch.tensor([0, 1]))
        >>> metric.compute()
        tensor(1)
    """

    higher_is_better: bool | None = False

    def __init__(
        self, num_classes: int, num_features: int, *, feature_dim: int = 1, eps: float = EPS, **kwargs: Any
    ) -> None:
        # signed activations could cancel
        super().__init__(num_classes, num_features, feature_dim=feature_dim, eps=eps, **kwargs)

    def compute(self) -> Tensor:
        """The number, a whole scalar."""
        return (~self._live()).sum()


class ClassSelectivity(_ClassMeans):
    """Mean class selectivity of the live features: (mu_max - mu_rest) / (mu_max + mu_rest).

    `mu_max` is a feature's largest class mean, `mu_rest` the mean of the other classes' means. 0: alike for all
    classes; 1: one class only. Classes without samples take no part; NaN where fewer than two classes had
    samples or no feature is live.

    Args:
        num_classes: C.
        num_features: D.
        feature_dim: the axis of the features, -1 for `[B, T, D]`.
        signed: leave the activations' sign; the index may then leave `[0, 1]`.
        eps: keeps divisions finite.
        kwargs: torchmetrics' own.

    Source: Leavitt and Morcos, "Selectivity considered harmful: evaluating the causal impact of class
    selectivity in DNNs", ICLR 2021, arXiv 2003.01262.

    Example:
        >>> metric = ClassSelectivity(num_classes=2, num_features=2)
        >>> metric.update(torch.tensor([[3.0, 0.0], [1.0, 4.0]]), torch.tensor([0, 1]))
        >>> round(float(metric.compute()), 4)
        0.75
    """

    higher_is_better: bool | None = True

    def compute(self) -> Tensor:
        """The mean over the live features, a scalar."""
        live = self._live()
        top = self._seen_means().amax(0)
        rest = (self.class_means.sum(0) - top) / ((self.counts > 0).sum() - 1)
        return ((top - rest) / (top + rest)).masked_fill(~live, 0).sum() / live.sum()


class KFeatureAccuracy(_Streamed):
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
        self._check(features, target, self.num_classes, self.num_features)
        a = functional.activation(features.detach(), feature_dim=self.feature_dim, signed=True)
        dtype = torch.promote_types(a.dtype, self.kept.dtype)
        logits = a.to(dtype) @ self.kept.to(dtype).T + self.bias
        self.correct = self.correct + (logits.argmax(1) == target.long()).sum()
        self.total = self.total + target.shape[0]

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
