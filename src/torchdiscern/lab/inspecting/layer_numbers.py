"""The numbers of one layer's features, from what a pass over the images left."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchdiscern import functional
from torchdiscern.lab.inspecting.blocks import places_by_class, row_blocks
from torchdiscern.lab.inspecting.decisions import classifier_of
from torchdiscern.lab.inspecting.examples import middling_of, random_of, top_of
from torchdiscern.lab.inspecting.likeness import most_alike
from torchdiscern.lab.inspecting.removed_one import accuracy_change
from torchdiscern.lab.inspecting.seen import Seen
from torchdiscern.lab.inspecting.share_intervals import REPLICATES, draws_of, share_intervals
from torchdiscern.lab.report.contents import Examples, Histograms, Layer
from torchdiscern.lab.seeds import derived
from torchdiscern.metrics import Owners

BINS = 24
NEAREST = 5
CELLS = 2**23  # numbers held at once where a block is of features: 32 MB


def numbers_of(seen: Seen, index: int) -> Layer:
    """All that a feature report shows of one layer.

    Args:
        seen: N images, at least one.
        index: of the layer in `seen.layers`.

    Returns:
        The numbers of its D features, those that `torchdiscern.metrics` defines by it.

    Source: METHOD; the rest is extension.
    """
    layer = seen.layers[index]
    broken = layer.broken
    shares = shares_of(layer.activation, seen.labels, seen.num_classes, broken)
    spread = _spread(layer.activation, seen.labels, shares, broken)
    removal = None
    if seen.reads_last and index == len(seen.layers) - 1:
        classifier = classifier_of(seen)
        removal = accuracy_change(seen.read, seen.labels, classifier.weight, classifier.bias)
    nearest, likeness = most_alike(layer.activation, shares.mean, spread.constant, NEAREST)
    return Layer(
        name=layer.name,
        distribution=shares.distribution,
        low=spread.low,
        high=spread.high,
        mean=_unless(broken, shares.mean),
        owner=shares.owner,
        share=_unless(broken, shares.share),
        impurity=_unless(broken, shares.impurity),
        impurity_renyi=_unless(broken, shares.impurity_renyi),
        effective=_unless(broken, shares.effective),
        firing=_unless(broken, spread.firing),
        dead=(shares.owner < 0) & ~broken,
        broken=broken,
        removal=None if removal is None else _unless(broken, removal),
        coverage=shares.coverage,
        prior=shares.prior,
        divergence=shares.divergence,
        top=_no_images(broken, top_of(layer)),
        middling=_no_images(broken, middling_of(seen, index, spread.median)),
        random=_no_images(broken, random_of(seen, index)),
        histograms=spread.histograms,
        nearest=nearest,
        likeness=likeness,
    )


@dataclass(frozen=True, eq=False)
class Shares:
    """What follows from the class means; see `contents.Layer`."""

    distribution: NDArray[np.float64]
    mean: NDArray[np.float64]
    owner: NDArray[np.int32]
    share: NDArray[np.float64]
    impurity: NDArray[np.float64]
    impurity_renyi: NDArray[np.float64]
    effective: NDArray[np.float64]
    coverage: NDArray[np.float64]
    prior: NDArray[np.float64]
    divergence: float


def _unless(broken: NDArray[np.bool_], values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(broken, np.nan, values)


def _no_images(broken: NDArray[np.bool_], examples: Examples) -> Examples:
    return replace(examples, rows=np.where(broken[:, None], np.int32(-1), examples.rows))


def shares_of(
    activation: NDArray[np.float32],
    labels: NDArray[np.int64],
    num_classes: int,
    broken: NDArray[np.bool_],
) -> Shares:
    """What the class means of activations `[N, D]` come to, a block of images at a time.

    Features that are `broken`, `[D]`, come to what features do that never fire.
    """
    width = activation.shape[1]
    # a metric takes two classes at least; one without images changes nothing
    metric = Owners(max(2, num_classes), width)
    for rows, block in row_blocks(activation):
        metric.update(torch.from_numpy(block), torch.from_numpy(labels[rows]))
    metric.sums[:, torch.from_numpy(broken)] = 0
    ownership = metric.compute()
    owner, share = ownership.owner.reshape(width), ownership.share.reshape(width)  # scalars of a single feature
    P = functional.distribution_of_means(metric.class_means, eps=metric.eps)
    prior, mass = metric.counts / metric.counts.sum(), P.sum(1)
    purity = P.square().sum(0).clamp(1 / num_classes, 1)  # of a feature as small as eps it is less
    # a single class has a logarithm of 0; and no -0 for people
    impurity_renyi = functional.renyi(P) + 0.0 if num_classes > 1 else (owner < 0).double()
    return Shares(
        distribution=P[:num_classes].numpy(),
        mean=(metric.sums.sum(0) / metric.counts.sum()).numpy(),
        owner=owner.int().numpy(),
        share=share.numpy(),
        impurity=functional.gini(P).numpy(),
        impurity_renyi=impurity_renyi.numpy(),
        effective=(1 / purity).masked_fill(owner < 0, 0).numpy(),
        coverage=_share_of_features(mass[:num_classes], metric.eps).numpy(),
        prior=prior[:num_classes].numpy(),
        divergence=float(functional.coverage_divergence(P, prior, eps=metric.eps)),
    )


def _share_of_features(mass: Tensor, eps: float) -> Tensor:
    """METHOD's `q`, whose logarithm the divergence takes: uniform where every feature is dead."""
    return (mass + eps) / mass.sum().clamp_min(len(mass) * eps)


@dataclass(frozen=True, eq=False)
class _Spread:
    """What needs all activations of a feature at once; see `contents.Layer`.

    `median`, `[D]`: of the activations above 0, 0 where there is none. `constant`, `[D]`: the same on all images.
    """

    low: NDArray[np.float32]
    high: NDArray[np.float32]
    firing: NDArray[np.float64]
    median: NDArray[np.float64]
    constant: NDArray[np.bool_]
    histograms: Histograms


def _spread(
    activation: NDArray[np.float32], labels: NDArray[np.int64], shares: Shares, broken: NDArray[np.bool_]
) -> _Spread:
    count, width = activation.shape
    num_classes = len(shares.distribution)
    order, begins = places_by_class(labels, num_classes)
    draws = draws_of(begins, derived(0, "intervals"))
    low, high = np.zeros((2, num_classes, width), np.float32)
    firing, median, constant = np.zeros(width), np.zeros(width), np.zeros(width, bool)
    edges = np.zeros((width, BINS + 1), np.float32)
    owned, rest = np.zeros((2, width, BINS), np.float32)
    step = max(1, CELLS // max(count, num_classes * REPLICATES))
    for start in range(0, width, step):
        block = slice(start, min(start + step, width))
        a = np.ascontiguousarray(activation[order, block].T)
        a[broken[block]] = 0
        ordered = np.sort(a, axis=1)
        constant[block] = ordered[:, 0] == ordered[:, -1]
        silent = (ordered <= 0).sum(1)
        firing[block] = (count - silent) / count
        median[block] = _middle(ordered, silent)
        peak = ordered[:, -1:]
        edges[block] = peak * np.linspace(0, 1, BINS + 1, dtype=np.float32)
        a /= np.where(peak > 0, peak, 1)  # in [0, 1], so that no sum overflows
        owned[block], rest[block] = _histograms(a, labels[order] == shares.owner[block, None])
        bounds = share_intervals(a, begins, draws)
        low[:, block], high[:, block] = _around(shares.distribution[:, block], *bounds)
    return _Spread(low, high, firing, median, constant, Histograms(edges, owned, rest))


def _middle(ordered: NDArray[np.float32], silent: NDArray[np.int64]) -> NDArray[np.float64]:
    """Median of each ascending row without its first `silent` numbers; 0 where no other is left."""
    each, count = np.arange(len(ordered)), ordered.shape[1]
    firing = count - silent
    lower = ordered[each, np.minimum(silent + (firing - 1) // 2, count - 1)].astype(np.float64)
    upper = ordered[each, np.minimum(silent + firing // 2, count - 1)].astype(np.float64)
    return np.where(firing > 0, (lower + upper) / 2, 0)


def _histograms(
    a: NDArray[np.float32], owner: NDArray[np.bool_]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Shares of the bins of [0, 1] among the images that are the owner's and among the others, `[d, BINS]`.

    A dead feature has none.

    Args:
        a: `[d, N]`, in [0, 1].
        owner: `[d, N]`, whether an image is of the feature's owner.
    """
    index = np.minimum((a * np.float32(BINS)).astype(np.int64), BINS - 1)
    index += BINS * owner
    index += np.arange(0, 2 * BINS * len(a), 2 * BINS)[:, None]
    counts = np.bincount(index.ravel(), minlength=2 * BINS * len(a)).reshape(len(a), 2, BINS)
    found = (counts / np.maximum(counts.sum(2, keepdims=True), 1)).astype(np.float32)
    found[a.max(1) <= 0] = 0
    return found[:, 1], found[:, 0]


def _around(
    point: NDArray[np.float64], low: NDArray[np.float32], high: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The bounds, opened where rounding or chance leaves the point outside."""
    near = point.astype(np.float32)
    below = np.where(near > point, np.nextafter(near, np.float32(-1)), near)
    above = np.where(near < point, np.nextafter(near, np.float32(2)), near)
    return np.minimum(low, below), np.maximum(high, above)
