"""The numbers of a trained network: how well it tells classes apart, and how its features do."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError, MulticlassStatScores

from torchdiscern import FeatureTap
from torchdiscern.lab.networks.cosine import weight_of
from torchdiscern.lab.training.batches import EvalBatches
from torchdiscern.lab.training.learner import ready
from torchdiscern.lab.training.prepared import Prepared
from torchdiscern.metrics import ClassMeans, CoverageDivergence, DeadFeatures, Impurity, KFeatureAccuracy

KS = (1, 5, 20)
BINS = 15
ALONE: dict[str, Any] = {"sync_on_compute": False}  # the other processes that trained are gone by now


class MacroAccuracy(MulticlassStatScores):
    """Mean of the accuracies of the classes that have images: torchmetrics counts one without as 0 once guessed.

    Example:
        >>> MacroAccuracy(3)(torch.tensor([0, 0, 1, 2]), torch.tensor([0, 0, 1, 1]))
        tensor(0.7500)
    """

    def __init__(self, num_classes: int, **options: Any) -> None:
        super().__init__(num_classes, average=None, **options)

    def compute(self) -> Tensor:
        right, *_, images = super().compute().unbind(1)
        there = images > 0
        return (right[there] / images[there]).mean()


class Reader:
    """What the classifier reads, the tapped features and the logits of each batch of some rows.

    Args:
        module: what runs on `prepared.inputs`.
        classifier: the linear layer inside it.
    """

    def __init__(self, prepared: Prepared, device: torch.device) -> None:
        self.prepared = prepared
        self.device = device
        self.module = prepared.module.to(device).eval()
        found = dict(prepared.network.module.named_modules())[prepared.network.classifier]
        assert isinstance(found, nn.Linear)
        self.classifier = found

    @torch.no_grad()
    def batches(self, rows: Tensor) -> Iterator[tuple[Tensor, dict[str, Tensor], Tensor, Tensor]]:
        """Rows, tapped features, what the classifier read, and logits in float32, of each batch."""
        with self._heard() as heard, FeatureTap(self.module, *self.prepared.layers) as tap:
            for batch in EvalBatches(self.prepared.inputs, rows):
                images = ready(replace(batch, inputs=batch.inputs.to(self.device)), self.prepared)
                logits = self.module(images).float()
                yield batch.rows, tap.features, heard[0], logits

    @contextmanager
    def _heard(self) -> Iterator[list[Tensor]]:
        heard: list[Tensor] = []

        def hear(_: nn.Module, args: Any) -> None:
            heard[:] = [args[0]]

        handle = self.classifier.register_forward_pre_hook(hear)
        try:
            yield heard
        finally:
            handle.remove()


def class_means(reader: Reader) -> Tensor:
    """Mean of what the classifier reads over the training images of each class, with its sign, `[C, D]`."""
    prepared = reader.prepared
    metric = ClassMeans(prepared.num_classes, reader.classifier.in_features, signed=True, **ALONE).to(
        reader.device
    )
    for rows, _, read, _ in reader.batches(prepared.labels.train):
        metric.update(read.flatten(1), prepared.labels.true[rows].to(reader.device))
    found: Tensor = metric.compute()
    return found


def measured(reader: Reader, rows: Tensor, target: Tensor, means: Tensor) -> dict[str, Any]:
    """The metrics of some rows, as plain numbers.

    Args:
        reader: of the trained network.
        rows: `[n]`, into the data.
        target: `[N]`, the labels that count.
        means: of `class_means`.

    Returns:
        `accuracy` and `accuracy_macro` (mean of the classes' own) in [0, 1], `negative_log_likelihood` in nats,
        `calibration_error` (15 bins, in [0, 1]), `k_feature_accuracy` by k; `impurity` (Gini), `impurity_renyi`,
        `coverage_divergence` and `dead_features` of the last tapped layer, and of each under `layers`.
    """
    prepared, C = reader.prepared, reader.prepared.num_classes
    head = reader.classifier
    of_logits = {
        "accuracy": MulticlassAccuracy(C, average="micro", **ALONE),
        "accuracy_macro": MacroAccuracy(C, **ALONE),
        "calibration_error": MulticlassCalibrationError(C, n_bins=BINS, **ALONE),
    }
    weight = weight_of(head).detach()
    few = {k: KFeatureAccuracy(means, weight, head.bias, k, **ALONE) for k in KS if k <= head.in_features}
    of_layers: dict[str, dict[str, Any]] = {}
    for metric in (*of_logits.values(), *few.values()):
        metric.to(reader.device)
    loss = 0.0
    for batch, features, read, logits in reader.batches(rows):
        labels = target[batch].to(reader.device)
        for metric in of_logits.values():
            metric.update(logits, labels)
        for metric in few.values():
            metric.update(read.flatten(1).float(), labels)
        loss += float(cross_entropy(logits, labels, reduction="sum"))
        for name, values in features.items():
            if name not in of_layers:
                of_layers[name] = _of_layer(prepared, values, reader.device)
            for metric in of_layers[name].values():
                metric.update(values.float(), labels)
    layers = {name: {key: _number(metric) for key, metric in found.items()} for name, found in of_layers.items()}
    last = list(layers.values())[-1]
    return (
        {name: _number(metric) for name, metric in of_logits.items()}
        | {"negative_log_likelihood": loss / len(rows), "images": len(rows)}
        | {"k_feature_accuracy": {str(k): _number(metric) for k, metric in few.items()}}
        | last
        | {"layers": layers}
    )


def _of_layer(prepared: Prepared, values: Tensor, device: torch.device) -> dict[str, Any]:
    axis = prepared.network.feature_dim if values.ndim > 2 else 1
    shape = (prepared.num_classes, values.shape[axis])
    found = {
        "impurity": Impurity(*shape, feature_dim=axis, **ALONE),
        "impurity_renyi": Impurity(*shape, "renyi", feature_dim=axis, **ALONE),
        "coverage_divergence": CoverageDivergence(*shape, feature_dim=axis, **ALONE),
        "dead_features": DeadFeatures(*shape, feature_dim=axis, **ALONE),
    }
    return {name: metric.to(device) for name, metric in found.items()}


def _number(metric: Any) -> float | int:
    found = metric.compute().item()
    return int(found) if isinstance(found, int) else float(found)
