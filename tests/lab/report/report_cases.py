"""Feature reports to look at and to test with: numbers from a seed, names that a page must survive."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from torchdiscern.lab.report.contents import (
    Changes,
    Contents,
    Decisions,
    Examples,
    Histograms,
    Inspected,
    Layer,
    Suspicions,
    Table,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "\"quoted\" & 'so' --> ]]> {{ 7 * 7 }} </script><!--",
    "<img src=x onerror=alert(2)>",
    "שלום ‮evil",
    "🐢🐢 turtle",
    "=HYPERLINK(1)",
    "@sum, with comma",
    "-1+1\nsecond line",
    "x" * 300,
    "",
]
PARTS = 12
NETWORKS = ("cross-entropy", "scale-free", "entropy")
ACCURACY = Table(
    "How accurate each network is",
    ["network", "accuracy, %", "difference, points", "mean impurity"],
    [
        ["cross-entropy", "61.2 ± 0.4", "", "0.83"],
        ["scale-free", "61.9 ± 0.5", "+0.7 (\N{MINUS SIGN}0.1 to 1.5)", "0.54"],
    ],
    ["Mean ± standard deviation over 3 seeds.", "scale-free: the interval of the difference holds 0."],
)
# of a report with two layers, a class 6 without images, features 3 (dead) and 5 (broken)
VIEWS = [
    "#/",
    "#/features",
    "#/feature/1/0",
    "#/feature/1/3",
    "#/feature/1/5",
    "#/classes",
    "#/class/1",
    "#/class/6",
    "#/images",
    "#/image/2",
    "#/image/100",
    "#/labels",
    "#/class/99",
]


def example(
    images: int = 240,
    classes: int | Sequence[str] = 8,
    features: int = 48,
    *,
    layers: int = 1,
    networks: int | Sequence[str] = 1,
    tables: Sequence[Table] = (),
    changes: bool = False,
    usual: bool = True,
    seed: int = 0,
    decisions: bool = True,
    suspicions: bool = True,
    maps: int = 5,
    files: Sequence[str] | None = None,
    size: int = 32,
    dead: Sequence[int] = (3,),
    broken: Sequence[int] = (),
    gone: Sequence[int] = (),
    empty: Sequence[int] = (),
    labels: NDArray[Any] | None = None,
    thumbnails: Callable[[NDArray[Any]], tuple[Any, Any]] | None = None,
    shown: int = 9,
    title: str = "ResNet-18 on photographs",
) -> Contents:
    """A report of `images` images; classes in `empty` have none of them, images in `gone` have no picture.

    Each network after the first one fires for fewer classes. `changes` are from the first to the second, `usual`
    whether they come with what two seeds differ by.
    """
    random = np.random.default_rng(seed)
    names = list(classes) if not isinstance(classes, int) else [f"class {c:03d}" for c in range(classes)]
    filled = np.array([c for c in range(len(names)) if c not in empty])
    if labels is None:
        labels = np.sort(filled[np.arange(images) % len(filled)])
    labels = labels.astype(np.int32)

    def pictures(rows: NDArray[Any]) -> tuple[Any, Any]:
        tone = (labels[rows] * 37 % 200 + 30).astype(np.uint8)
        pixels = np.repeat(tone, size * size * 3).reshape(len(rows), size, size, 3)
        pixels[:, : size // 2, :, 1] = (rows * 13 % 255).astype(np.uint8)[:, None, None]
        return pixels, ~np.isin(rows, list(gone))

    titles = [NETWORKS[n] for n in range(networks)] if isinstance(networks, int) else list(networks)
    inspected = []
    for index, name in enumerate(titles):
        made = [
            _layer(
                f"layer{number + 1}",
                labels,
                len(names),
                features,
                random,
                dead,
                broken,
                maps,
                shown,
                last=number + 1 == layers,
                pull=1 + 2 * index,
            )
            for number in range(layers)
        ]
        acts, last = made[-1]
        decided = _decisions(acts, last, labels, len(names), random) if decisions else None
        doubts = _suspicions(acts, last, labels, random) if suspicions and len(filled) > 1 else None
        inspected.append(Inspected(name, [layer for _, layer in made], decided, doubts))
    return Contents(
        title=title,
        facts={
            "model": title,
            "data": f"{images} images of {len(names)} classes",
            "fingerprint": "3f2a9c",
            "split": "test",
            "dead threshold": "zero on every image",
            "date": "2026-11-25",
            "versions": "torchdiscern 0.1, torch 2.14.1",
        },
        classes=names,
        files=list(files or (f"test/{names[c]}/{i:06d}.webp" for i, c in enumerate(labels))),
        labels=labels,
        networks=inspected,
        thumbnails=thumbnails or pictures,
        notes=["The images are the test part; training has not seen them."],
        tables=list(tables),
        changes=_changes(inspected[0].layers[-1], inspected[1].layers[-1], random, usual) if changes else None,
    )


def _layer(
    name: str,
    labels: NDArray[np.int32],
    many: int,
    features: int,
    random: np.random.Generator,
    dead: Sequence[int],
    broken: Sequence[int],
    maps: int,
    shown: int,
    *,
    last: bool,
    pull: float,
) -> tuple[NDArray[np.float32], Layer]:
    favourite = random.integers(0, many, features)
    likes = random.gamma(0.6, 0.3, (many, features))
    likes[favourite, np.arange(features)] += pull * random.gamma(1.2, 1.5, features)
    acts = (likes[labels] * random.gamma(2.0, 0.5, (len(labels), features))).astype(np.float32)
    acts[acts < 0.05] = 0
    acts[:, [j for j in dead if j < features]] = 0
    counts = np.bincount(labels, minlength=many)
    sums = np.zeros((many, features))
    np.add.at(sums, labels, acts)
    means = sums / np.maximum(counts, 1)[:, None]
    flags = np.isin(np.arange(features), broken)
    means[:, flags] = 0
    total = means.sum(0)
    P = np.divide(means, total, out=np.zeros_like(means), where=total > 0)
    gone = total == 0
    width = 0.25 * P * (1 - P) / np.sqrt(np.maximum(counts, 1) / 10)[:, None]
    square = (P**2).sum(0)
    coverage = P.sum(1) / max(P.sum(), 1e-12)
    prior = counts / counts.sum()
    present = (prior > 0) & (coverage > 0)
    order = np.argsort(-acts, 0, kind="stable")
    on = (acts > 0).sum(0)
    top = np.full((features, shown), -1, dtype=np.int32)
    middle, any_ = top.copy(), top.copy()
    for j in range(features):
        fires = order[: on[j], j]
        top[j, : min(shown, on[j])] = fires[:shown]
        start = max(0, on[j] // 2 - shown // 2)
        some = fires[start : start + shown]
        middle[j, : len(some)] = some
        few = random.choice(len(labels), min(shown, len(labels)), replace=False)
        any_[j, : len(few)] = few
    top[flags], middle[flags], any_[flags] = -1, -1, -1
    edges = np.linspace(0, np.maximum(acts.max(0), 1e-6), 25).T.astype(np.float32)
    own = np.zeros((features, 24), dtype=np.float32)
    rest = own.copy()
    owner = np.where(gone, -1, P.argmax(0)).astype(np.int32)
    for j in map(int, np.flatnonzero(~gone)):
        mine = labels == owner[j]
        for target, chosen in ((own, mine), (rest, ~mine)):
            found = np.histogram(acts[chosen, j], edges[j])[0]
            target[j] = found / max(found.sum(), 1)
    centred = acts - acts.mean(0)
    scale = np.sqrt((centred**2).sum(0))
    with np.errstate(divide="ignore", invalid="ignore"):
        alike = np.nan_to_num((centred.T @ centred) / scale[:, None] / scale, nan=-2)
    np.fill_diagonal(alike, -2)
    alike[flags], alike[:, flags] = -2, -2
    near = np.full((features, 5), -1, dtype=np.int32)
    likeness = np.zeros((features, 5), dtype=np.float32)
    best = np.argsort(-alike, 1)[:, :5]
    near[:, : best.shape[1]] = np.where(np.take_along_axis(alike, best, 1) > -2, best, -1)
    likeness[:, : best.shape[1]] = np.take_along_axis(alike, best, 1)

    def unless_broken(values: NDArray[Any]) -> NDArray[np.float64]:
        return np.where(flags, np.nan, values)

    def examples(rows: NDArray[np.int32]) -> Examples:
        values = np.take_along_axis(acts, np.maximum(rows, 0).T, 0).T.astype(np.float32)
        return Examples(rows, values, _maps(rows.shape, maps, random) if maps else None)

    return acts, Layer(
        name=name,
        distribution=P,
        low=np.maximum(P - width, 0).astype(np.float32),
        high=np.minimum(P + width, 1).astype(np.float32),
        mean=unless_broken(acts.mean(0)),
        owner=owner,
        share=unless_broken(P.max(0)),
        impurity=unless_broken(np.where(gone, 1.0, 1 - square)),
        impurity_renyi=unless_broken(
            np.where(gone, 1.0, -np.log(np.maximum(square, 1e-12)) / max(np.log(many), 1e-12))
        ),
        effective=unless_broken(np.divide(1, square, out=np.zeros(features), where=~gone)),
        firing=unless_broken((acts > 0).mean(0)),
        dead=gone & ~flags,
        broken=flags,
        removal=unless_broken(random.normal(-0.001, 0.002, features)) if last else None,
        coverage=coverage,
        prior=prior,
        divergence=float((coverage[present] * np.log(coverage[present] / prior[present])).sum()),
        top=examples(top),
        middling=examples(middle),
        random=examples(any_),
        histograms=Histograms(edges, own, rest),
        nearest=near,
        likeness=likeness,
    )


def _maps(shape: tuple[int, ...], side: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """A hill somewhere in each image."""
    centre = random.uniform(0, side - 1, (*shape, 2))
    away = [(np.arange(side) - centre[..., axis, None]) ** 2 for axis in (0, 1)]
    hill = np.exp(-(away[0][..., :, None] + away[1][..., None, :]) / (0.08 * side * side))
    scaled: NDArray[np.uint8] = (255 * hill / hill.max((-1, -2), keepdims=True)).astype(np.uint8)
    return scaled


def _decisions(
    acts: NDArray[np.float32], layer: Layer, labels: NDArray[np.int32], many: int, random: np.random.Generator
) -> Decisions:
    weight = layer.distribution - layer.distribution.mean(0)
    weight = 3 * (weight + random.normal(0, (1 + 0.012 * weight.shape[1]) * weight.std() + 1e-3, weight.shape))
    bias = random.normal(0, 0.1, many)
    logits = acts @ weight.T + bias
    odds = np.exp(logits - logits.max(1, keepdims=True))
    odds /= odds.sum(1, keepdims=True)
    predicted = logits.argmax(1).astype(np.int32)
    rows = np.arange(len(labels))
    spoke, against = (np.full((len(labels), PARTS), -1, dtype=np.int32) for _ in range(2))
    parts, against_parts = (np.zeros((len(labels), PARTS), dtype=np.float32) for _ in range(2))
    for target, values, weights in (
        (spoke, parts, weight[predicted]),
        (against, against_parts, weight[predicted] - weight[labels]),
    ):
        for i in rows:
            if target is against and predicted[i] == labels[i]:
                continue
            each = acts[i] * weights[i]
            best = np.argsort(-each)[:PARTS]
            best = best[each[best] > 0]
            target[i, : len(best)], values[i, : len(best)] = best, each[best]
    confusion = np.zeros((many, many), dtype=np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    counts = confusion.sum(1)
    own = np.divide(np.diag(confusion), counts, out=np.full(many, np.nan), where=counts > 0)
    owned = np.full(many, np.nan)
    whole = owned.copy()
    for c in np.flatnonzero(counts):
        mean = acts[labels == c].mean(0) * weight[c]
        owned[c], whole[c] = mean[layer.owner == c].sum(), mean.sum()
    accuracy = float((predicted == labels).mean())
    few = {k: (accuracy * part, own * part) for k, part in ((1, 0.5), (5, 0.8), (20, 0.97))}
    pair = np.stack([predicted, labels], 1)
    return Decisions(
        source="the network's own",
        predicted=predicted,
        probability=odds[rows, predicted].astype(np.float32),
        own_probability=odds[rows, labels].astype(np.float32),
        logits=np.take_along_axis(logits, pair, 1).astype(np.float32),
        biases=bias[pair].astype(np.float32),
        spoke=spoke,
        parts=parts,
        against=against,
        against_parts=against_parts,
        confusion=confusion,
        accuracy=accuracy,
        few=few,
        owned_part=owned,
        whole_part=whole,
    )


def _suspicions(
    acts: NDArray[np.float32], layer: Layer, labels: NDArray[np.int32], random: np.random.Generator
) -> Suspicions:
    chosen = random.permutation(len(labels))[: max(1, len(labels) // 4)].astype(np.int32)
    margin = np.sort(random.normal(0.2, 0.3, len(chosen))).astype(np.float32)
    present = np.unique(labels)
    place = np.searchsorted(present, labels[chosen])
    nearer = present[(place + random.integers(1, len(present), len(chosen))) % len(present)].astype(np.int32)
    spoke = np.full((len(chosen), 4), -1, dtype=np.int32)
    for i, (image, near) in enumerate(zip(chosen, nearer, strict=True)):
        fires = acts[image] * (layer.distribution[near] - layer.distribution[labels[image]])
        best = np.argsort(-fires)[:4]
        best = best[fires[best] > 0]
        spoke[i, : len(best)] = best
    return Suspicions(
        rule="Distance to the mean features of the label, less that to the nearest other class.",
        rows=chosen,
        margin=margin,
        nearer=nearer,
        spoke=spoke,
        worth=["Of 100 labels made wrong on purpose the first 100 images hold 91."],
    )


def _changes(first: Layer, second: Layer, random: np.random.Generator, usual: bool) -> Changes:
    """Live features, each with one that is nearest among those left."""
    rows, columns = (np.flatnonzero(~layer.dead & ~layer.broken) for layer in (first, second))
    apart = 0.5 * np.abs(first.distribution[:, rows, None] - second.distribution[:, None, columns]).sum(0)
    pairs: list[tuple[float, int, int]] = []
    free = set(range(len(columns)))
    for i, row in enumerate(rows):
        k = min(sorted(free), key=lambda j: apart[i, j])
        free.remove(k)
        pairs.append((float(apart[i, k]), int(row), int(columns[k])))
    pairs.sort()
    distance = np.array([pair[0] for pair in pairs])
    return Changes(
        first=np.array([pair[1] for pair in pairs], dtype=np.int32),
        second=np.array([pair[2] for pair in pairs], dtype=np.int32),
        distance=distance,
        usual=np.sort(0.6 * distance * random.uniform(0.6, 1.1, len(distance))) if usual else None,
        usual_name="cross-entropy, seeds 0 and 1" if usual else "",
    )


def changes_of(contents: Contents) -> Changes:
    assert contents.changes is not None
    return contents.changes
