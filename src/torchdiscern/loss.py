"""The loss as a module: weights, layers and schedule around the functions of `functional`."""

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from torchdiscern import checks, inputs
from torchdiscern.impurities import IMPURITIES, Impurity
from torchdiscern.layers import layers_of, mean, named_parts, one_a_layer
from torchdiscern.memory import ClassMemory
from torchdiscern.processes import Group, agree, processes, together
from torchdiscern.targets import ClassSums, means_of, rows_of, sums_of
from torchdiscern.terms import Terms, terms_of_means


class DiscriminabilityLoss(nn.Module):
    """Asks each feature to fire for few classes, and all features to cover the classes; add it to cross-entropy.

    `(1/L) * sum over layers l of (impurity_weight[l] * impurity_l + kl_weight[l] * coverage_divergence_l)`.
    Nothing changes at inference.

    Args:
        num_classes: C, at least 2.
        impurity_weight: weight of the mean impurity, at least 0; one number, or one a layer.
        kl_weight: weight of the coverage divergence, at least 0; one number, or one a layer.
        impurity: `"gini"` (the paper's), `"entropy"` (its alternative), `"renyi"` or `"shannon"` (scale-free,
            extensions; see `functional`).
        prior: how the features should be spread over the classes: `"batch"` (as the batch's labels are: the
            paper's), `"uniform"`, or a distribution `[C]` summing to 1. The latter two are conditioned on the
            classes present in the batch (extension; the paper's value where all are).
        start_epoch: the weights are 0 before this epoch, counted from 1.
        ramp_epochs: the weights rise in equal steps over this many epochs: `1 / (ramp_epochs + 1)` of their
            value in `start_epoch`, all of it from `start_epoch + ramp_epochs` on (extension).
        damping: pulls fading features back before they die under the scale-free impurities; 0 is the paper's
            formula, 0.1 a good value (extension; see `functional.distribution_of_means`).
        eps: keeps divisions and logarithms finite.
        feature_dim: the axis of the features: 1 for `[B, D, ...]`, -1 for the `[B, T, D]` of a transformer.
        ignore_index: the class index of samples and positions to leave out, as in cross-entropy (extension).
        class_weight: `[C]`, how much a sample of each class counts, at least 0 (extension).
        class_counts: `[C]`, the training set's samples of each class: the prior is their share, in the place of
            `prior` (extension).
        fine_to_coarse: `[C]`, for each class the coarser class that a layer shall tell apart; one map for all
            layers, or one a layer, None where the classes stay as they are (extension).
        sync: within an initialised process group, take the batches of all processes as one while training;
            the gradients are right once they are averaged, as DistributedDataParallel and FSDP do (extension).
        process_group: the group to do that in, by default the one of all processes.
        memory: momentum of running class means, for batches with few samples of each class; 0 keeps none
            (extension). While training, each batch moves the means of its classes by `1 - memory`, and the
            terms are those of all running means; the gradient goes through the batch's part. The batch prior
            is then the share of each class in the samples seen.
        num_features: D, one number or one a layer; needed with `memory` alone.
        memory_age: forget the means of a class that was in none of so many batches.
        memory_gib: the most that the running means may take, in GiB.

    Shape:
        - features: one tensor `[B, D]` or `[B, D, ...]`, or a sequence or mapping of them, one a layer.
        - target: class indices `[B]` in `[0, C)`; extensions: class indices of positions, `[B, ...]`; shares of
          each sample in the classes, floats `[B, C]`, dense or sparse; several labels a sample, booleans
          `[B, C]`.
        - weight: how much each sample counts, `[B]`, or one a position (extension).
        - mask: booleans `[B, ...]`, true at the positions to be read (extension).
        - output: a scalar, in float32 at least.

    Attributes:
        parts: the parts of the last call by name, detached scalars: `loss`, and as means over the layers
            `impurity`, `coverage_divergence`, `dead_share` (of features that are zero for the whole batch),
            `impurity_weight` and `kl_weight` (in force). Of several layers each part stands also under
            `<layer>/<part>`, the layer being its key in a mapping or its position in a sequence. Reading them
            does not make a device wait; turning them into numbers does.
        epoch: the epoch in force, a buffer, so that it is saved and restored with the module.

    Raises:
        TypeError, ValueError: with one sentence on the argument at fault. Shapes, dtypes and devices are
            checked at each call; the target's values only on the CPU and outside `torch.compile`, since
            reading them would make an accelerator wait. There, an index outside `[0, C)` stops the program
            by a device-side assertion. NaN or infinite features give NaN.

    Source: METHOD, arXiv 2202.07073.

    Example:
        >>> criterion = DiscriminabilityLoss(num_classes=10)
        >>> features, target = torch.rand(32, 64, 4, 4), torch.randint(10, (32,))
        >>> loss = criterion(features, target)  # to be added to cross-entropy
        >>> sorted(criterion.parts)
        ['coverage_divergence', 'dead_share', 'impurity', 'impurity_weight', 'kl_weight', 'loss']
    """

    epoch: Tensor
    parts: dict[str, Tensor]

    def __init__(
        self,
        num_classes: int,
        impurity_weight: float | Sequence[float] = 0.5,
        kl_weight: float | Sequence[float] = 0.5,
        impurity: Impurity = "gini",
        prior: str | Tensor | Sequence[float] = "batch",
        start_epoch: int = 1,
        ramp_epochs: int = 0,
        damping: float = 0.0,
        eps: float = 1e-10,
        *,
        feature_dim: int = 1,
        ignore_index: int = -100,
        class_weight: Tensor | Sequence[float] | None = None,
        class_counts: Tensor | Sequence[float] | None = None,
        fine_to_coarse: Tensor | Sequence[Any] | None = None,
        sync: bool = True,
        process_group: Group = None,
        memory: float = 0.0,
        num_features: int | Sequence[int] | None = None,
        memory_age: int | None = None,
        memory_gib: float = 1.0,
    ) -> None:
        super().__init__()
        self.num_classes = checks.check_num_classes(num_classes)
        checks.check_choice(impurity, "impurity", IMPURITIES)
        checks.check_feature_dim(feature_dim)
        self.impurity_weight = checks.check_weights(impurity_weight, "impurity_weight")
        self.kl_weight = checks.check_weights(kl_weight, "kl_weight")
        if isinstance(self.impurity_weight, tuple):
            checks.check_layer_count(self.kl_weight, len(self.impurity_weight), "kl_weight")
        self.impurity = impurity
        self.start_epoch = checks.check_whole(start_epoch, "start_epoch", low=1, hint="epochs are counted from 1")
        self.ramp_epochs = checks.check_whole(ramp_epochs, "ramp_epochs", low=0, hint="use 0 for no ramp")
        self.damping = checks.check_damping(damping, impurity)
        self.eps = checks.check_eps(eps)
        self.feature_dim = feature_dim
        self.ignore_index = checks.check_index(ignore_index, "ignore_index")
        self.sync = sync
        self.process_group = process_group
        self.prior: str | Tensor
        if class_counts is not None:
            distribution: str | Tensor = checks.check_class_counts(class_counts, self.num_classes, prior)
        else:
            distribution = checks.check_prior(prior, self.num_classes)
        if isinstance(distribution, Tensor):
            self.register_buffer("prior", distribution.detach().clone())
        else:
            self.prior = distribution
        self.class_weight: Tensor | None
        weights = (
            None
            if class_weight is None
            else checks.check_class_numbers(class_weight, num_classes, "class_weight")
        )
        if weights is not None and not weights.any():
            raise ValueError(
                "class_weight: got 0 for every class, expected a number above 0 for some; raise one."
            )
        self.register_buffer("class_weight", weights)
        maps = checks.check_fine_to_coarse(fine_to_coarse, self.num_classes)
        self._coarse = [None if coarse is None else int(coarse.max()) + 1 for coarse in maps]
        for layer, coarse in enumerate(maps):
            self.register_buffer(f"_fine_to_coarse_{layer}", coarse, persistent=False)
        self._widths = checks.check_memory(memory, num_features, memory_age)
        classes = [self._classes(layer) for layer in range(len(self._widths))]
        checks.check_memory_size(classes, self._widths, memory_gib)
        memories = [
            ClassMemory(C, D, float(memory), memory_age) for C, D in zip(classes, self._widths, strict=True)
        ]
        self.memory = nn.ModuleList(memories) if memories else None
        self._rows: int | None = None
        self.register_buffer("epoch", torch.tensor(1))
        self.parts = {}
        self._epoch_came = False
        self._told_no_gradient = False

    @classmethod
    def recommended(cls, num_classes: int, **settings: Any) -> Self:
        """The loss with the settings that we recommend for so many classes.

        - Damping 0.1 always: without it features die, under the Gini impurity too. Of 32 hidden ReLU units
          without batch norm, trained on handwritten digits, 17 to 26 died within 300 steps without it, whatever
          the impurity; with it at most one under `gini` and `shannon`, and under `renyi` none or one in eight of
          ten runs, 4 and 8 in the others (`python benchmarks/dead_features.py`).
        - Fewer than 20 classes: the paper's `gini` with weights 0.5 and 0.5.
        - From 20 on: the scale-free `renyi` with weights 1 and 0.5. The Gini impurity's slope is O(1/C) for
          unselective features; the logarithm's slope does not shrink with C. Do not take it for accuracy: on a
          layer above frozen features, 80 classes, tuned alike over ten seeds, it changed by +0.1 [-0.4, +0.6]
          points with clean labels and -0.0 [-0.7, +0.7] with 40% wrong. That one feature explains more decisions
          was shown there with weights of 5.3 and 3.7 and clean labels, and of 2.5 and 0.3 and a long tail.
        - A coarse target (two or ten random groups of classes): give the term finer labels than the target, or
          k-means clusters of the features, with `num_classes` their number. On such a layer 3 and 1 on 100
          clusters made it harder to fool in all four comparisons, and more accurate in three; these weights did
          when all arms had cross-entropy's settings, not reliably when tuned. Adversarial training did more, and
          so did training on the finer classes, where they are known. On pixels 1 and 0.5 showed no gain,
          neither on a network trained from scratch, where they lost 3.3 to 4.8 points of accuracy on clusters,
          nor on a pretrained one fine-tuned; 3 and 1 were not tried.
        - A network trained from scratch: begin with a tenth of these weights. On CIFAR-100 (90 classes, a thin
          ResNet, ten epochs, five seeds) `renyi` with 1 and 0.5 lost 4.7 points [3.7, 5.6], with 0.1 and 0.05
          0.75 [0.3, 1.2], undecided after correction, and hardly changed the features. With 40% wrong labels the
          same lost 16.3 [14.8, 17.8] and 1.3 [0.0, 2.7], the latter undecided.

        Measure on your own data, in pairs.

        Args:
            num_classes: C.
            **settings: any argument of the class, which then overrides the recommendation.

        Returns:
            A `DiscriminabilityLoss`; its `repr` shows the settings.

        Source: `docs/evidence.md`: two data sets, not a law.

        Example:
            >>> DiscriminabilityLoss.recommended(100).impurity
            'renyi'
        """
        checks.check_num_classes(num_classes)
        few: dict[str, Any] = {"impurity": "gini", "impurity_weight": 0.5, "kl_weight": 0.5, "damping": 0.1}
        if settings.get("impurity") == "entropy":  # a softmax does not fade
            few["damping"] = 0.0
        many = few | {"impurity": "renyi", "impurity_weight": 1.0}
        return cls(num_classes, **(few if num_classes < 20 else many) | settings)

    def set_epoch(self, epoch: int) -> None:
        """Tells the schedule which epoch begins.

        Call it at the start of each epoch, as on a `DistributedSampler`, but counted from 1. It is needed only
        with `start_epoch` or `ramp_epochs`.

        Args:
            epoch: at least 1.

        Raises:
            TypeError, ValueError: no whole number, or below 1.

        Example:
            >>> criterion = DiscriminabilityLoss(num_classes=10, start_epoch=10)
            >>> criterion.set_epoch(9)
            >>> criterion(torch.rand(8, 4), torch.arange(8)).item()
            0.0
        """
        hint = "epochs are counted from 1, so pass epoch + 1 from a loop that starts at 0"
        self.epoch.fill_(checks.check_whole(epoch, "epoch", low=1, hint=hint))
        self._epoch_came = True

    def forward(
        self,
        features: Tensor | Sequence[Tensor] | Mapping[str, Tensor],
        target: Tensor,
        *,
        weight: Tensor | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        layers = layers_of(features)
        impurity_weights = one_a_layer(self.impurity_weight, len(layers), "impurity_weight")
        kl_weights = one_a_layer(self.kl_weight, len(layers), "kl_weight")
        shared = self.sync and self.training and processes(self.process_group) > 1
        for layer, _, name in layers:
            inputs.check_features(layer, feature_dim=self.feature_dim, name=name, empty=shared)
            inputs.check_any_target(
                target,
                layer,
                self.num_classes,
                name=name,
                feature_dim=self.feature_dim,
                ignore_index=self.ignore_index,
                weight=weight,
                mask=mask,
            )
            if isinstance(self.prior, Tensor):
                inputs.check_prior_device(self.prior, layer, name=name)
        widths = [layer.shape[self.feature_dim] for layer, _, _ in layers]
        inputs.check_layer_features(widths, self._widths, len(self._coarse))
        if not torch.compiler.is_compiling():
            self._warn_of_silence([layer for layer, _, _ in layers])

        means = self._means([layer for layer, _, _ in layers], target, weight, mask, shared)
        strength = self._strength()
        parts, losses = [], []
        for index, (batch, w, v) in enumerate(zip(means, impurity_weights, kl_weights, strict=True)):
            found = self._terms(index, batch)
            loss = w * found.impurity + v * found.coverage_divergence
            losses.append(loss if strength is None else loss * strength.to(loss.dtype))
            part = {name: value.detach() for name, value in zip(Terms._fields, found, strict=True)}
            for name, in_full in (("impurity_weight", w), ("kl_weight", v)):
                part[name] = loss.new_full((), in_full) if strength is None else strength * in_full
            parts.append(part)
        loss = mean(losses)
        self.parts = {"loss": loss.detach()}
        self.parts.update(named_parts(layers, parts))
        return loss

    def agree_again(self) -> None:
        """Lets the processes agree anew, in the next call, on the largest batch: call it in every process.

        Needed only where there are more classes than samples in all processes together, and a batch is to be
        larger than any in the first call.
        """
        self._rows = None

    def extra_repr(self) -> str:
        prior = f"tensor of {self.num_classes} shares" if isinstance(self.prior, Tensor) else self.prior
        shown = {
            "num_classes": self.num_classes,
            "impurity_weight": self.impurity_weight,
            "kl_weight": self.kl_weight,
            "impurity": self.impurity,
            "prior": prior,
            "start_epoch": self.start_epoch,
            "ramp_epochs": self.ramp_epochs,
            "damping": self.damping,
            "feature_dim": self.feature_dim,
        }
        if not self.sync:
            shown["sync"] = False
        return ", ".join(f"{name}={value!r}" for name, value in shown.items())

    def _strength(self) -> Tensor | None:
        """The part of the weights that is in force; None where that is all of them, always."""
        if self.start_epoch == 1 and self.ramp_epochs == 0:
            return None
        # a tensor computed from a buffer, so that a new epoch compiles nothing anew
        return ((self.epoch - self.start_epoch + 1) / (self.ramp_epochs + 1)).clamp(0, 1)

    def _classes(self, layer: int) -> int:
        """C of a layer: coarse where it has a map."""
        return self._coarse[layer if len(self._coarse) > 1 else 0] or self.num_classes

    def _map(self, layer: int) -> Tensor | None:
        coarse: Tensor | None = getattr(self, f"_fine_to_coarse_{layer if len(self._coarse) > 1 else 0}")
        return coarse

    def _means(
        self, layers: list[Tensor], target: Tensor, weight: Tensor | None, mask: Tensor | None, shared: bool
    ) -> list[ClassSums]:
        """Class means of each layer in this batch, or in those of all processes."""
        rows = [
            rows_of(
                layer,
                target,
                self.num_classes,
                feature_dim=self.feature_dim,
                signed=self.impurity == "entropy",
                ignore_index=self.ignore_index,
                weight=weight,
                class_weight=self.class_weight,
                mask=mask,
                coarse=self._map(index),
                coarse_classes=self._classes(index),
            )
            for index, layer in enumerate(layers)
        ]
        if not shared:
            return [means_of(row, self.eps) for row in rows]
        sums = [sums_of(row) for row in rows]
        classes = [self._classes(index) for index in range(len(layers))]
        if self._rows is None:
            self._rows = agree(sums, classes, self.process_group)
        summed = together(sums, classes, self._rows, self.process_group)
        return [ClassSums(S / (n + self.eps).unsqueeze(1), n, labels) for S, n, labels in summed]

    def _terms(self, layer: int, batch: ClassSums) -> Terms:
        num_classes, coarse = self._classes(layer), self._map(layer)
        prior = self.prior
        if isinstance(prior, Tensor) and coarse is not None:
            prior = prior.new_zeros(num_classes).index_add(0, coarse, prior)
        if self.memory is None:
            return terms_of_means(batch, num_classes, self.impurity, prior, self.damping, self.eps)
        memory = self.memory[layer]
        assert isinstance(memory, ClassMemory)
        finite = batch.sums.detach().isfinite().all()
        blended, within = memory.blend(batch)
        found = terms_of_means(blended, num_classes, self.impurity, prior, self.damping, self.eps, within)
        return Terms(*(term.masked_fill(~finite, math.nan) for term in found))

    def _warn_of_silence(self, layers: list[Tensor]) -> None:
        """Tells once, where the loss is called, of a standing schedule and of a loss without gradient."""
        if not self.training:
            return
        if (self.start_epoch > 1 or self.ramp_epochs > 0) and not self._epoch_came:
            self._epoch_came = True
            warnings.warn(
                f"start_epoch={self.start_epoch} and ramp_epochs={self.ramp_epochs} need to know the epoch, "
                f"but set_epoch was never called, so epoch {int(self.epoch)} stays in force; call "
                "criterion.set_epoch(epoch) at the start of each epoch, counted from 1.",
                stacklevel=5,
            )
        without = torch.is_grad_enabled() and not any(layer.requires_grad for layer in layers)
        if without and not self._told_no_gradient:
            self._told_no_gradient = True
            warnings.warn(
                "features: none of the layers requires a gradient, so the loss can be read but teaches nothing; "
                "tap a layer that is not frozen and that ran with gradients, or read the loss under "
                "torch.no_grad().",
                stacklevel=5,
            )
