"""What a feature report holds: numbers and pictures of networks on one set of images, read once.

`inspecting` fills it, `page` writes it. All arrays are numpy's; C classes, D features of a layer, N images.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Small = NDArray[np.float32]
Rows = NDArray[np.int32]
Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Examples:
    """Images that show when a feature fires, one row a feature; a row of -1 stands for no image.

    Args:
        rows: `[D, K]`, places in `Contents.files`.
        activations: `[D, K]`, of the feature on that image.
        maps: `[D, K, G, G]`, where in the image the feature fires: 255 at the image's largest activation, 0 where
            it is silent; None where the layer has no positions.
    """

    rows: Rows
    activations: Small
    maps: Bytes | None = None


@dataclass(frozen=True, eq=False)
class Histograms:
    """How often a feature takes which activation, for images of its owner and for all the others.

    Args:
        edges: `[D, B + 1]`, of the bins, ascending from 0 to the feature's largest activation.
        owner: `[D, B]`, shares of the owner's images, each row summing to 1, or to 0 for a dead feature.
        rest: `[D, B]`, shares of the other images, likewise.
    """

    edges: Small
    owner: Small
    rest: Small


@dataclass(frozen=True, eq=False)
class Layer:
    """The D features of one tapped layer.

    Args:
        name: of the layer in the network.
        distribution: `P`, `[C, D]`: each live feature's column sums to 1, a dead one's is 0.
        low, high: `[C, D]`, bounds of the 95% bootstrap interval of `distribution` over the images of each class.
        mean: `[D]`, mean activation over the images.
        owner: `[D]`, the class with the largest share; -1 for a dead feature or a broken one.
        share: `[D]`, the owner's share; 0 for a dead feature.
        impurity: `[D]`, Gini, in [0, 1 - 1/C]; 1 for a dead feature.
        impurity_renyi: `[D]`, in [0, 1].
        effective: `[D]`, effective number of classes, `1 / sum of P**2`, in [1, C]; 0 for a dead feature.
        firing: `[D]`, share of the images on which the feature is above 0 (in magnitude).
        dead: `[D]`, zero on every image.
        broken: `[D]`, NaN or infinite on some image. Such a feature has no owner and no part in `distribution`,
            `coverage` and `divergence`; its other numbers are NaN, it is not dead, and it has no images.
        removal: `[D]`, by how much accuracy changes when the feature is set to zero, in [-1, 1], below 0
            where the feature helps; None where the classifier does not read this layer.
        coverage: `q`, `[C]`, share of the live features' distributions that falls on each class.
        prior: `t`, `[C]`, share of the images.
        divergence: KL(t‖q), of coverage from prior, in nats.
        top, middling, random: images that make the feature fire most; around the median of those on which it
            fires; and any.
        histograms: of the activations.
        nearest: `[D, 5]`, the features whose activations go most alike, best first; -1 where there is none.
        likeness: `[D, 5]`, their correlation over the images, in [-1, 1].
    """

    name: str
    distribution: Floats
    low: Small
    high: Small
    mean: Floats
    owner: Rows
    share: Floats
    impurity: Floats
    impurity_renyi: Floats
    effective: Floats
    firing: Floats
    dead: Flags
    broken: Flags
    removal: Floats | None
    coverage: Floats
    prior: Floats
    divergence: float
    top: Examples
    middling: Examples
    random: Examples
    histograms: Histograms
    nearest: Rows
    likeness: Small


@dataclass(frozen=True, eq=False)
class Decisions:
    """What a linear classifier makes of the features of the layer that it reads, the last of `Inspected.layers`.

    An image's logit of class c is `bias[c] + sum over j of f[j] * weight[c, j]`; a feature's part of it is
    `f[j] * weight[c, j]`.

    Args:
        source: which classifier, for people: `"the network's own"`, or `"nearest class mean"` where the network
            was made for other classes.
        predicted: `[N]`.
        probability: `[N]`, of the predicted class.
        own_probability: `[N]`, of the label.
        logits: `[N, 2]`, of the predicted class and of the label.
        biases: `[N, 2]`, the classifier's own part of the two.
        spoke: `[N, 12]`, features with the largest part of the predicted class's logit, best first; -1 for none.
        parts: `[N, 12]`, these parts.
        against: `[N, 12]`, features with the largest part of predicted less label; -1 where the label is
            predicted.
        against_parts: `[N, 12]`, these parts.
        confusion: `[C, C]`, images by label (row) and prediction (column).
        accuracy: over all images, in [0, 1].
        few: by k, `(accuracy over all images, [C] accuracy of each class)` where each class keeps its k most
            contributing features; NaN for a class without images.
        owned_part: `[C]`, mean part of the class's own logit, over its images, that the features it owns carry.
        whole_part: `[C]`, that of all features; NaN, like `owned_part`, for a class without images.
    """

    source: str
    predicted: Rows
    probability: Small
    own_probability: Small
    logits: Small
    biases: Small
    spoke: Rows
    parts: Small
    against: Rows
    against_parts: Small
    confusion: NDArray[np.int64]
    accuracy: float
    few: dict[int, tuple[float, Floats]]
    owned_part: Floats
    whole_part: Floats


@dataclass(frozen=True, eq=False)
class Suspicions:
    """Images whose label is doubtful, worst first; M of them, of which the page shows the first.

    Args:
        rule: how they were ranked, in a sentence for people.
        rows: `[M]`, places in `Contents.files`.
        margin: `[M]`, low where the label is doubtful.
        nearer: `[M]`, the class that the image stands nearest to beside its label.
        spoke: `[M, 4]`, features that fire for that class rather than for the label, best first; -1 for none.
        worth: what the ranking finds of labels that were made wrong on purpose, in sentences for people.
    """

    rule: str
    rows: Rows
    margin: Small
    nearer: Rows
    spoke: Rows
    worth: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Inspected:
    """One network's part of a report.

    Args:
        name: for people, such as the network's or its arm's; no two of a report are the same.
        layers: those inspected, in the network's order.
        decisions: None where the classifier reads no inspected layer.
        suspicions: None where no label can be doubted: fewer than two classes with images.
    """

    name: str
    layers: list[Layer]
    decisions: Decisions | None
    suspicions: Suspicions | None


@dataclass(frozen=True, eq=False)
class Changes:
    """The last layers of the first two networks of a report, feature by feature.

    Args:
        first, second: `[m]`, features that are a pair, by ascending distance.
        distance: `[m]`, total variation between their class distributions, in [0, 1].
        usual: `[n]`, ascending, the distances between two networks that differ in their seed alone: what differs
            no more than these says nothing; None where there is no such pair.
        usual_name: which two networks these are, for people.
    """

    first: Rows
    second: Rows
    distance: Floats
    usual: Floats | None = None
    usual_name: str = ""


@dataclass(frozen=True)
class Table:
    """A table of the overview that is made elsewhere, ready to be shown.

    Args:
        title: of the table.
        columns: their headings.
        rows: of as many cells; the first cell names the row.
        sentences: what is said below it.
    """

    title: str
    columns: list[str]
    rows: list[list[str]]
    sentences: list[str] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Contents:
    """A feature report before it is written.

    Args:
        title: for people, such as the network's name.
        facts: of the overview, in order: name and value, for people (model, data, fingerprint, split, date, ...).
        classes: C names.
        files: N names of images, in the order of all rows.
        labels: `[N]`, indices into `classes`.
        networks: those that were shown the images, at least one.
        thumbnails: rows `[n]` to pixels `[n, S, S, 3]`, uint8, and to `[n]` booleans, False for an image that has
            disappeared or changed since; called in parts, once for each image.
        notes: what the reader must know, in sentences.
        tables: of the overview, such as how accurate each network is.
        changes: from the first network to the second; None where there is one network, or no two are compared.
    """

    title: str
    facts: dict[str, str]
    classes: list[str]
    files: list[str]
    labels: Rows
    networks: list[Inspected]
    thumbnails: Callable[[Rows], tuple[Bytes, Flags]]
    notes: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    changes: Changes | None = None
