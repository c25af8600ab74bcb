"""What a linear classifier decides, and which features decide it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn.functional import normalize, pad

from torchdiscern.lab.inspecting.blocks import row_blocks, small, strongest
from torchdiscern.lab.inspecting.seen import Seen
from torchdiscern.lab.networks.cosine import SMALL
from torchdiscern.lab.report.contents import Decisions, Layer
from torchdiscern.metrics import ClassMeans, KFeatureAccuracy

FEW = (1, 5, 20)
SPOKE = 12
OWN, NEAREST_MEAN = "the network's own", "nearest class mean"
NEAREST = (
    f"Decisions are those of the {NEAREST_MEAN}: each image counts in the mean of its own class, so that its "
    "accuracy is better than on other images, and its probabilities mean little."
)


@dataclass(frozen=True, eq=False)
class Classifier:
    """A linear classifier over what a network's own reads.

    Args:
        source: which, for people: `"the network's own"` or `"nearest class mean"`.
        weight: `[C, F]`.
        bias: `[C]`; minus infinity for a class that it cannot predict.
        by_direction: whether it reads features at a length of 1.
    """

    source: str
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    by_direction: bool = False

    def reads(self, features: Tensor) -> Tensor:
        """What it multiplies by its weights, `[n, F]`."""
        return normalize(features, dim=1, eps=SMALL) if self.by_direction else features


def classifier_of(seen: Seen) -> Classifier:
    """The network's own classifier, or the nearest class mean where it was made for other classes.

    The class mean `m[c]` of what is read that is nearest in Euclidean distance has the largest
    `f . m[c] - |m[c]|^2 / 2`; a class without images has none and is never predicted.

    Args:
        seen: N images, at least one.
    """
    if seen.weight is not None:
        bias = np.zeros(len(seen.weight)) if seen.bias is None else seen.bias.astype(np.float64)
        return Classifier(OWN, seen.weight.astype(np.float64), bias, seen.by_direction)
    means, counts = _means(seen)
    return Classifier(NEAREST_MEAN, means, np.where(counts > 0, -np.square(means).sum(1) / 2, -np.inf))


def decisions_of(seen: Seen, layer: Layer) -> Decisions | None:
    """What the classifier of `classifier_of` makes of the features of the last layer.

    Args:
        seen: N images, at least one.
        layer: the numbers of the last layer.

    Returns:
        None where the classifier does not read this layer's features.

    Source: extension.
    """
    if not seen.reads_last:
        return None
    classifier = classifier_of(seen)
    means, counts = _means(seen)
    read_means = _means(seen, classifier)[0] if classifier.by_direction else means
    few = {k: _Few(classifier, means, k) for k in FEW if k <= seen.read.shape[1]}
    decided: list[_Decided] = []
    right: list[NDArray[np.bool_]] = []
    for rows, block in row_blocks(seen.read):
        features, label = torch.from_numpy(block), torch.from_numpy(seen.labels[rows])
        decided.append(_decided(classifier.reads(features), label, classifier))
        right.append(np.stack([(kept.predicted(features) == label).numpy() for kept in few.values()]))
    found = _Decided(*(np.concatenate(parts) for parts in zip(*decided, strict=True)))
    right_of_few = dict(zip(few, np.concatenate(right, axis=1), strict=True))
    parts = np.where(counts[:, None] > 0, read_means * classifier.weight, np.nan)
    owned = np.arange(seen.num_classes)[:, None] == layer.owner
    return Decisions(
        source=classifier.source,
        **found._asdict(),
        confusion=_confusion(seen.labels, found.predicted, seen.num_classes),
        accuracy=float((found.predicted == seen.labels).mean()),
        few={k: (float(hit.mean()), _by_class(hit, seen.labels, counts)) for k, hit in right_of_few.items()},
        owned_part=np.where(owned, parts, 0 * parts).sum(1),
        whole_part=parts.sum(1),
    )


class _Decided(NamedTuple):
    """Of some images; see `contents.Decisions`."""

    predicted: NDArray[np.int32]
    probability: NDArray[np.float32]
    own_probability: NDArray[np.float32]
    logits: NDArray[np.float32]
    biases: NDArray[np.float32]
    spoke: NDArray[np.int32]
    parts: NDArray[np.float32]
    against: NDArray[np.int32]
    against_parts: NDArray[np.float32]


def _decided(features: Tensor, label: Tensor, classifier: Classifier) -> _Decided:
    """Of features as the classifier reads them, `[n, F]`."""
    weight, bias = torch.from_numpy(classifier.weight), torch.from_numpy(classifier.bias)
    logits = features @ weight.T + bias
    predicted = logits.argmax(1)
    both = torch.stack([predicted, label], 1)
    probability = logits.softmax(1).gather(1, both).float().numpy()
    spoke, parts = strongest(features * weight[predicted], SPOKE)
    against, against_parts = strongest(features * (weight[predicted] - weight[label]), SPOKE)
    return _Decided(
        predicted=predicted.int().numpy(),
        probability=probability[:, 0],
        own_probability=probability[:, 1],
        logits=small(logits.gather(1, both)),
        biases=small(bias[both]),
        spoke=spoke,
        parts=parts,
        against=against,
        against_parts=against_parts,
    )


class _Few:
    """A classifier of which each class keeps its k most contributing features, as `KFeatureAccuracy` has it."""

    def __init__(self, classifier: Classifier, means: NDArray[np.float64], k: int) -> None:
        # a metric takes two classes at least; this one is never predicted
        missing = max(0, 2 - len(means))
        weight, average = (pad(torch.from_numpy(x), (0, 0, 0, missing)) for x in (classifier.weight, means))
        bias = pad(torch.from_numpy(classifier.bias), (0, missing), value=-torch.inf)
        kept = KFeatureAccuracy(average, weight, bias, k).kept
        if classifier.source == NEAREST_MEAN:
            # the distance over the features that are kept: that over all would speak for short means alone
            bias = torch.where(bias.isfinite(), -kept.square().sum(1) / 2, bias)
        # almost all of it is 0
        self._kept, self._bias = csr_array(kept.numpy()), bias

    def predicted(self, features: Tensor) -> Tensor:
        logits = self._kept @ features.T.contiguous().numpy()
        return (torch.from_numpy(logits).T + self._bias).argmax(1)


def _means(seen: Seen, classifier: Classifier | None = None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Signed class means of the features, `[C, F]`, as the classifier reads them if given, and the images of each
    class, `[C]`."""
    # a metric takes two classes at least; one without images changes nothing
    metric = ClassMeans(max(2, seen.num_classes), seen.read.shape[1], signed=True)
    for rows, block in row_blocks(seen.read):
        features = torch.from_numpy(block)
        features = features if classifier is None else classifier.reads(features)
        metric.update(features, torch.from_numpy(seen.labels[rows]))
    return metric.compute()[: seen.num_classes].numpy(), metric.counts[: seen.num_classes].numpy()


def _confusion(labels: NDArray[np.int64], predicted: NDArray[np.int32], num_classes: int) -> NDArray[np.int64]:
    pairs = np.bincount(labels * num_classes + predicted, minlength=num_classes**2)
    return pairs.reshape(num_classes, num_classes)


def _by_class(
    right: NDArray[np.bool_], labels: NDArray[np.int64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Accuracy of each class, `[C]`; NaN for one without images."""
    hits = np.bincount(labels, weights=right, minlength=len(counts))
    return np.where(counts > 0, hits / np.maximum(counts, 1), np.nan)
