"""Images whose label is doubtful, and what the doubt is worth."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from torchdiscern.lab.inspecting.blocks import CELLS, row_blocks, strongest
from torchdiscern.lab.inspecting.seen import Seen
from torchdiscern.lab.labels import noisy
from torchdiscern.lab.measures.detection import auroc, precision_of_first
from torchdiscern.lab.measures.wrong_labels import margins
from torchdiscern.lab.report.contents import Layer, Suspicions
from torchdiscern.lab.seeds import generator

SPOKE = 4
INJECTED = (0.05, 0.2)
DRAWS = 5
TRIED = 10_000  # images, on which the ranking is tried, ten times over
FIRST = 100
RULE = (
    "Ranked by how much nearer an image stands to another class than to its label: the cosine of what the "
    "classifier reads of it with the mean of its label's other images, less that with the nearest mean of "
    "another class; those below 0. Not all of these are wrong: look at them from the top on."
)


def suspicions_of(seen: Seen, layer: Layer, about: Sequence[str] = ()) -> Suspicions | None:
    """The images that stand nearer to another class than to their label, worst first.

    Args:
        seen: N images, at least one.
        layer: the numbers of one of its layers, whose features are to explain.
        about: what else is to be said of what the ranking is worth.

    Returns:
        None where fewer than two classes have images.

    Source: METHOD "Finding wrong labels" (extension).
    """
    present, compact = np.unique(seen.labels, return_inverse=True)
    if len(present) < 2:
        return None
    ranking = _ranking(seen.read, torch.from_numpy(compact), len(present))
    worst = ranking.margin.argsort(stable=True)
    rows = worst[ranking.margin[worst] < 0].numpy()
    nearer = present[ranking.nearer[rows].numpy()]
    activation = next(found.activation for found in seen.layers if found.name == layer.name)
    return Suspicions(
        rule=RULE,
        rows=rows.astype(np.int32),
        margin=ranking.margin[rows].float().numpy(),
        nearer=nearer.astype(np.int32),
        spoke=_spoke(activation, rows, layer.distribution, nearer, seen.labels[rows]),
        worth=[*_worth(seen.read, torch.from_numpy(compact), len(present)), *about],
    )


class _Ranking(NamedTuple):
    """By image, `[N]`: how much nearer it stands to its label than to the other class that is nearest."""

    margin: Tensor
    nearer: Tensor


def _ranking(read: NDArray[np.float32], labels: Tensor, num_classes: int) -> _Ranking:
    """`wrong_labels.mean_margin` a block at a time."""
    sums = torch.zeros(num_classes, read.shape[1], dtype=torch.float64)
    for rows, block in row_blocks(read):
        sums.index_add_(0, labels[rows], torch.from_numpy(block))
    counts = labels.bincount(minlength=num_classes)
    found = [margins(torch.from_numpy(block), labels[rows], sums, counts) for rows, block in row_blocks(read)]
    margin, nearer = (torch.cat(parts) for parts in zip(*found, strict=True))
    return _Ranking(margin, nearer)


def _spoke(
    activation: NDArray[np.float32],
    rows: NDArray[np.int64],
    distribution: NDArray[np.float64],
    nearer: NDArray[np.int64],
    labels: NDArray[np.int64],
) -> NDArray[np.int32]:
    """The features with the largest part of the evidence for one class rather than another, `[M, 4]`.

    See `wrong_labels.evidence_margin`. An image's sum of activations, by which evidence is divided, changes no
    order and is left out.
    """
    spoke = np.full((len(rows), SPOKE), -1, np.int32)
    step = max(1, CELLS // max(1, activation.shape[1]))
    for start in range(0, len(rows), step):
        part = slice(start, start + step)
        for_nearer = distribution[nearer[part]] - distribution[labels[part]]
        spoke[part] = strongest(torch.from_numpy(activation[rows[part]] * for_nearer), SPOKE)[0]
    return spoke


def _some(read: NDArray[np.float32], labels: Tensor) -> tuple[NDArray[np.float32], Tensor]:
    """At most `TRIED` images, drawn at random where there are more."""
    if len(labels) <= TRIED:
        return read, labels
    rows = torch.randperm(len(labels), generator=generator(0, "tried"))[:TRIED].sort().values
    return read[rows.numpy()], labels[rows]


def _worth(read: NDArray[np.float32], labels: Tensor, num_classes: int) -> list[str]:
    """What the ranking finds of labels made wrong on purpose, in sentences."""
    drawn = " of images drawn at random" if len(labels) > TRIED else ""
    read, labels = _some(read, labels)
    sentences = []
    for share in INJECTED:
        wrong = round(share * len(labels))
        if wrong == 0:
            continue
        first = min(FIRST, wrong)
        areas, found = [], []
        for draw in range(DRAWS):
            given = noisy(labels, {"seen": torch.arange(len(labels))}, num_classes, share, draw)
            # a draw may leave images in one class only, whose margin is infinite
            doubt = -_ranking(read, given, num_classes).margin.clamp(-2, 2)
            areas.append(auroc(doubt, given != labels))
            found.append(precision_of_first(doubt, given != labels, first))
        sentences.append(
            f"With {wrong:,} of {len(labels):,} labels{drawn} made wrong on purpose ({share:.0%}, any other "
            f"class alike), the ranking tells wrong from right with AUROC {_spread(areas, '.3f')}, where chance "
            f"is 0.5; of the first {first:,} images {_spread(found, '.0%')} are wrong ({DRAWS} draws)."
        )
    if not sentences:
        return ["There are too few images to try the ranking on labels made wrong on purpose."]
    return [
        *sentences,
        "For this the given labels count as right; where many are wrong already, these numbers can be far off.",
    ]


def _spread(values: list[float], form: str) -> str:
    mean = sum(values) / len(values)
    return f"{mean:{form}} ({min(values):{form}} to {max(values):{form}})"
