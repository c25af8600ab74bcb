"""What the class means say of the features: impurity, coverage, owners, dead ones, selectivity."""

from typing import Any, NamedTuple

from torch import Tensor

from torchdiscern import checks, functional
from torchdiscern.metrics.streamed import ClassMeans
from torchdiscern.terms import terms_of_means


class Impurity(ClassMeans):
    """Mean impurity of the features: how little each tells the classes apart.

    Args:
        num_classes: C.
        num_features: D.
        kind: `"gini"`, `"entropy"` (signed activations and a softmax over the classes), `"renyi"` or
            `"shannon"`.
        damping: of the loss beside which the metric stands; see `functional.distribution_of_means`.
        per_feature: give the impurity of each feature, `[D]`, a scalar where there is a single one.
        settings: those of `ClassMeans` (`feature_dim`, `ignore_index`, `eps`) and torchmetrics' own.

    Source: METHOD "Gini term", "entropy alternative", "scale-free impurity"; see `functional.impurity`.

    Example:
        >>> import torch
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
        damping: float = 0.0,
        per_feature: bool = False,
        **settings: Any,
    ) -> None:
        checks.check_choice(kind, "kind", functional.IMPURITIES)
        super().__init__(num_classes, num_features, signed=kind == "entropy", **settings)
        self.kind = kind
        self.damping = checks.check_damping(damping, kind)
        self.per_feature = per_feature

    def compute(self) -> Tensor:
        """The mean over the features, a scalar; or, if made so, each feature's, `[D]`."""
        P = functional.distribution_of_means(
            self.class_means, damping=self.damping, softmax=self.kind == "entropy", eps=self.eps
        )
        found = functional.impurity(
            functional.spread_rest(P) if self.damping and self.kind == "shannon" else P, self.kind
        )
        return found if self.per_feature else found.mean()


class CoverageDivergence(ClassMeans):
    """How far the share of features per class is from the prior: KL(t‖q), in nats.

    Args:
        num_classes: C.
        num_features: D.
        prior: `"batch"` (the classes' shares of the samples so far), `"uniform"` or a distribution `[C]`.
            Classes that had no sample are left out, as in `functional.terms`.
        damping: of the loss beside which the metric stands; see `functional.distribution_of_means`.
        softmax: take the entropy alternative's distribution: signed activations, softmax over the classes.
        settings: those of `ClassMeans` (`feature_dim`, `ignore_index`, `eps`) and torchmetrics' own.

    Source: METHOD "share of features per class", "KL term"; see `functional.coverage_divergence`.

    Example:
        >>> import torch
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
        damping: float = 0.0,
        softmax: bool = False,
        **settings: Any,
    ) -> None:
        super().__init__(num_classes, num_features, signed=softmax, **settings)
        self.kind: functional.Impurity = "entropy" if softmax else "gini"
        self.damping = checks.check_damping(damping, self.kind)
        found = checks.check_prior(prior, self.num_classes)
        self.prior = found if isinstance(found, str) else "given"
        shares = found.detach().clone() if isinstance(found, Tensor) else None
        self.register_buffer("shares", shares, persistent=False)

    def compute(self) -> Tensor:
        """The divergence, a scalar."""
        prior = self.prior if self.shares is None else self.shares
        found = terms_of_means(self._means(), self.num_classes, self.kind, prior, self.damping, self.eps)
        return found.coverage_divergence


class Ownership(NamedTuple):
    """Which class owns each feature.

    `owner`, `[D]`: the class with the largest mean activation, -1 for a dead feature. `share`, `[D]`: the
    owner's share `P` of the feature, 0 for a dead one. `owned`, `[C]`: the number of features of each class.
    """

    owner: Tensor
    share: Tensor
    owned: Tensor


class Owners(ClassMeans):
    """Which class owns each feature, how much of it, and how many each class owns.

    torchmetrics makes a scalar of `owner` and `share` where there is a single feature.

    Args:
        num_classes: C.
        num_features: D.
        signed: leave the activations' sign; the shares are then no shares where means are below 0.

    Source: METHOD "class distribution of a feature", of which this reads off the largest entry (extension).

    Example:
        >>> import torch
        >>> metric = Owners(num_classes=2, num_features=3)
        >>> metric.update(torch.tensor([[3.0, 1.0, 0.0], [1.0, 4.0, 0.0]]), torch.tensor([0, 1]))
        >>> found = metric.compute()
        >>> found.owner.tolist(), found.owned.tolist()
        ([0, 1, -1], [1, 1])
        >>> found.share
        tensor([0.7500, 0.8000, 0.0000], dtype=torch.float64)
    """

    def compute(self) -> Ownership:
        """The owners, as `Ownership(owner, share, owned)`."""
        live, owner = self._live(), self._seen_means().argmax(0)
        P = functional.distribution_of_means(self.class_means, eps=self.eps)
        share = P.gather(0, owner.unsqueeze(0)).squeeze(0).masked_fill(~live, 0)
        owned = owner.new_zeros(self.num_classes).index_add(0, owner, live.to(owner.dtype))
        return Ownership(owner.masked_fill(~live, -1), share, owned)


class DeadFeatures(ClassMeans):
    """Number of features that were zero for all samples.

    Args:
        num_classes: C.
        num_features: D.
        settings: those of `ClassMeans` (`feature_dim`, `ignore_index`, `eps`) and torchmetrics' own.

    Source: METHOD "class distribution of a feature", whose dead features these are.

    Example:
        >>> import torch
        >>> metric = DeadFeatures(num_classes=2, num_features=3)
        >>> metric.update(torch.tensor([[4.0, 0.0, 0.0], [0.0, 4.0, 0.0]]), torch.tensor([0, 1]))
        >>> metric.compute()
        tensor(1)
    """

    higher_is_better: bool | None = False

    def __init__(self, num_classes: int, num_features: int, **settings: Any) -> None:
        super().__init__(num_classes, num_features, signed=False, **settings)  # signed ones could cancel

    def compute(self) -> Tensor:
        """The number, a whole scalar."""
        return (~self._live()).sum()


class ClassSelectivity(ClassMeans):
    """Mean class selectivity of the live features: (mu_max - mu_rest) / (mu_max + mu_rest).

    `mu_max` is a feature's largest class mean, `mu_rest` the mean of the other classes' means. 0: alike for all
    classes; 1: one class only. Classes without samples take no part; NaN where fewer than two classes had
    samples or no feature is live.

    Args:
        num_classes: C.
        num_features: D.
        signed: leave the activations' sign; the index may then leave `[0, 1]`.

    Source: Leavitt and Morcos, "Selectivity considered harmful: evaluating the causal impact of class
    selectivity in DNNs", ICLR 2021, arXiv 2003.01262.

    Example:
        >>> import torch
        >>> metric = ClassSelectivity(num_classes=2, num_features=2)
        >>> metric.update(torch.tensor([[3.0, 0.0], [1.0, 4.0]]), torch.tensor([0, 1]))
        >>> round(float(metric.compute()), 4)
        0.75
    """

    def compute(self) -> Tensor:
        """The mean over the live features, a scalar."""
        live = self._live()
        top = self._seen_means().amax(0)
        rest = (self.class_means.sum(0) - top) / ((self.counts > 0).sum() - 1)
        return ((top - rest) / (top + rest)).masked_fill(~live, 0).sum() / live.sum()
