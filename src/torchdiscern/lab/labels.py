"""What a run learns from: parts, targets and wrong labels, all drawn from one seed.

Each draw has its own generator and ranks all images, used or not, so that one setting does not move what another
draws, and less of a setting is a subset of more of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from torchdiscern import checks
from torchdiscern.lab.label_files import read_labels, read_matrix
from torchdiscern.lab.seeds import generator

TARGETS = ("class", "coarse", "groups:K", "FILE.csv:COLUMN")
TERM_LABELS = ("target", "fine", "kmeans:K", "FILE.csv:COLUMN")
COLUMN = "label"


@dataclass(frozen=True, eq=False)
class Labels:
    """The rows of each part, and what each image's labels are; N images.

    Args:
        train, val, test: sorted rows of the images.
        held_out: rows of the classes that the network never sees, whatever their part.
        target: `[N]`, what training and validation see: with wrong labels on their rows; -1 where held out.
        true: `[N]`, the target without wrong labels.
        classes: names of the target's classes.
        term: `[N]`, what the terms are given in the target's place, -1 where unknown; None for the target itself
            and for clusters, which need features.
        term_classes: number of classes of what the terms are given.
        clusters: K of `kmeans:K`, else 0.
    """

    train: Tensor
    val: Tensor
    test: Tensor
    held_out: Tensor
    target: Tensor
    true: Tensor
    classes: list[str]
    term: Tensor | None
    term_classes: int
    clusters: int


def make_labels(
    *,
    labels: Tensor,
    classes: list[str],
    files: list[str],
    parts: Mapping[str, Tensor],
    coarse: Tensor | None,
    coarse_classes: list[str],
    seed: int,
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    per_class: int | None = None,
    label_noise: float | str = 0.0,
    imbalance: float = 1.0,
    holdout_classes: int = 0,
    target: str = "class",
    term_labels: str = "target",
) -> Labels:
    """What a run learns from.

    Args:
        labels: `[N]`, the class of each image, the fine one where `target` is coarser.
        classes: the C classes' names.
        files: N names that CSV files call the images by.
        parts: rows of `"train"`, `"val"` and `"test"` where the data has them.
        coarse: `[C]`, the coarse class of each class, where the data has some.
        coarse_classes: their names.
        seed: all that is drawn follows from it.
        val_fraction, test_fraction, per_class, label_noise, imbalance, holdout_classes, target, term_labels: as
            the recipe's. A matrix of wrong labels has the target's classes in their order, and no header.

    Raises:
        ValueError, TypeError: a setting that is wrong or does not fit the images.

    Example:
        >>> names = {"classes": list("abcd"), "files": [f"{i}.png" for i in range(40)], "coarse_classes": []}
        >>> images = {"labels": torch.arange(40) % 4, "parts": {}, "coarse": None, **names}
        >>> found = make_labels(**images, seed=0, target="groups:2")
        >>> len(found.train), len(found.val), len(found.test), found.classes
        (28, 4, 8, ['group 0', 'group 1'])
    """
    if checks.check_number(imbalance, "imbalance") < 1:
        raise ValueError(
            f"imbalance: got {imbalance:g}, expected at least 1; 100 leaves the last class 1% of the first."
        )
    if per_class is not None:
        checks.check_whole(per_class, "per_class", low=1, hint="pass the training images of each class")
    kept = kept_classes(len(classes), holdout_classes, seed)
    fine, fine_classes = renumbered(labels, classes, kept)
    seen = fine >= 0
    train, val, test = (rows[seen[rows]] for rows in split(labels, parts, seed, val_fraction, test_fraction))
    if len(train) == 0:
        raise ValueError("parts: no image is left to train on, expected some; mend parts or holdout_classes.")
    if per_class is not None:
        train = drawn(train, fine, torch.full((len(kept),), per_class), generator(seed, "per_class"))
    # after the cap, which would cut a tail of larger classes flat
    tail = long_tail(fine[train].bincount(minlength=len(kept)), imbalance)
    train = drawn(train, fine, tail, generator(seed, "imbalance"))

    kind, value, column = _form(target, "target", TARGETS)
    if kind == "class":
        true, names = fine, fine_classes
    elif kind == "coarse":
        if coarse is None:
            raise ValueError(
                "target: got 'coarse' for data without coarse classes, expected cifar100's; set target=groups:10."
            )
        true, names = renumbered(torch.where(seen, coarse[labels], -1), coarse_classes, coarse[kept].unique())
    elif kind == "groups":
        number = _number(value, "target", target, len(kept), "classes")
        true = torch.where(seen, grouped(len(kept), number, seed)[fine], -1)
        names = [f"group {index}" for index in range(number)]
    else:
        true, names = _read_seen(value, column, files, "target", seen)
        _check_all_labelled(true, seen, files, value)
    if len(names) < 2:
        raise ValueError(
            f"target: {target!r} leaves {len(names)} class to learn, expected at least 2; choose another target, "
            "or hold out fewer classes."
        )

    term, term_classes, clusters = None, len(names), 0
    kind, value, column = _form(term_labels, "term_labels", TERM_LABELS)
    if kind == "fine":
        term, term_classes = fine, len(kept)
    elif kind == "kmeans":
        clusters = term_classes = _number(value, "term_labels", term_labels, len(train), "training images")
    elif kind == "csv":
        term, found = _read_seen(value, column, files, "term_labels", seen)
        term_classes = len(found)
    labelled = len(train) if term is None else int((term[train] >= 0).sum())
    if term_classes < 2 or labelled == 0:
        raise ValueError(
            f"term_labels: {term_labels!r} gives {term_classes} class(es) and a label to {labelled} training "
            "image(s), expected at least 2 and some; add labels, or choose others."
        )
    return Labels(
        train=train,
        val=val,
        test=test,
        held_out=(~seen).nonzero().flatten(),
        target=noisy(true, {"train": train, "val": val}, len(names), label_noise, seed),
        true=true,
        classes=names,
        term=term,
        term_classes=term_classes,
        clusters=clusters,
    )


def kept_classes(num_classes: int, holdout: int, seed: int) -> Tensor:
    """The classes that are not held out, sorted."""
    checks.check_whole(holdout, "holdout_classes", low=0, hint="pass how many classes the network never sees")
    if holdout and num_classes - holdout < 2:
        raise ValueError(
            f"holdout_classes: got {holdout} of {num_classes} classes, expected at least 2 to be left; hold out "
            "fewer."
        )
    order = torch.randperm(num_classes, generator=generator(seed, "holdout_classes"))
    return order[holdout:].sort().values


def renumbered(numbers: Tensor, names: list[str], kept: Tensor) -> tuple[Tensor, list[str]]:
    """Labels that count the kept classes alone, in their order, and their names; -1 for what is not kept.

    Example:
        >>> renumbered(torch.tensor([0, 1, 2, -1]), ["a", "b", "c"], torch.tensor([0, 2]))
        (tensor([ 0, -1,  1, -1]), ['a', 'c'])
    """
    new = torch.full((len(names) + 1,), -1)  # the last place is what -1 reads
    new[kept] = torch.arange(len(kept))
    return new[numbers], [names[index] for index in kept.tolist()]


def split(
    labels: Tensor, parts: Mapping[str, Tensor], seed: int, val_fraction: float, test_fraction: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Sorted rows of train, val and test: those that are given, the others cut from train, class by class.

    Without a given train part it is what the others leave. A class gives `fraction` of its images, at least one
    of three or more, and never its last one.
    """
    fractions = {"test": _share(test_fraction, "test_fraction"), "val": _share(val_fraction, "val_fraction")}
    given = {part: rows for part, rows in parts.items() if len(rows)}
    taken = torch.cat([torch.empty(0, dtype=torch.long), *given.values()])
    times = taken.bincount(minlength=len(labels))
    if bool((times > 1).any()):
        raise ValueError(
            f"parts: {int((times > 1).sum())} image(s) stand in several parts, the first is row "
            f"{int((times > 1).nonzero()[0])}, expected each in one; leave it in one."
        )
    found = {part: rows.sort().values for part, rows in given.items()}
    if "train" not in found:
        found["train"] = (times == 0).nonzero().flatten()
    for part in [part for part in fractions if part not in found]:
        pool = found["train"]
        counts = cut_counts(labels[pool].bincount(), fractions[part])
        found[part] = drawn(pool, labels, counts, generator(seed, "split", part))
        found["train"] = pool[~torch.isin(pool, found[part])]
    return found["train"], found["val"], found["test"]


def cut_counts(counts: Tensor, fraction: float) -> Tensor:
    """How many images of each class are cut from it.

    Example:
        >>> cut_counts(torch.tensor([0, 1, 2, 3, 500]), 0.08)
        tensor([ 0,  0,  0,  1, 40])
    """
    wanted = (counts.double() * fraction).round().long()
    if fraction > 0:
        wanted = torch.where(counts >= 3, wanted.clamp_min(1), wanted)
    return wanted.minimum(counts - 1).clamp_min(0)


def long_tail(counts: Tensor, imbalance: float) -> Tensor:
    """How many images each class may keep: exponentially from the largest class's down to 1 / `imbalance` of it.

    Example:
        >>> long_tail(torch.tensor([100, 100, 100]), 100)
        tensor([100,  10,   1])
    """
    place = torch.arange(len(counts), dtype=torch.float64) / max(1, len(counts) - 1)
    return (int(counts.max()) * imbalance**-place).round().long().clamp_min(1)


def drawn(rows: Tensor, labels: Tensor, counts: Tensor, draw: torch.Generator) -> Tensor:
    """The given number of rows of each class, or all where it has fewer; sorted."""
    order = rows[torch.randperm(len(labels), generator=draw)[rows].argsort()]
    order = order[labels[order].argsort(stable=True)]
    sizes = labels[order].bincount(minlength=len(counts))
    place = torch.arange(len(order)) - (sizes.cumsum(0) - sizes)[labels[order]]
    return order[place < counts[labels[order]]].sort().values


def grouped(num_classes: int, groups: int, seed: int) -> Tensor:
    """The group of each class, `[C]`, in groups whose sizes differ by one at most."""
    return torch.randperm(num_classes, generator=generator(seed, "groups")) % groups


def noisy(true: Tensor, parts: Mapping[str, Tensor], num_classes: int, noise: float | str, seed: int) -> Tensor:
    """Labels with wrong ones among the rows of each part, drawn for each part by itself.

    Args:
        true: `[N]`.
        parts: rows by the name of their part.
        num_classes: C.
        noise: exactly this share of a part gets another class, any with equal chance; or a CSV file with a matrix
            `[C, C]`, whose row of the true class says with what chance each class is given.
    """
    matrix = read_matrix(noise, num_classes) if isinstance(noise, str) else None
    share = 0.0 if isinstance(noise, str) else _share(noise, "label_noise", ", or a CSV file")
    found = true.clone()
    for part, rows in parts.items():
        draw = generator(seed, "label_noise", part)
        if matrix is None:
            found[rows] = replaced(true, share, num_classes, rows, draw)
        else:
            found[rows] = confused(true, matrix, rows, draw)
    return found


def replaced(true: Tensor, share: float, num_classes: int, rows: Tensor, draw: torch.Generator) -> Tensor:
    """Labels of the rows, of which exactly `round(share * n)` are another class than the true one."""
    rank = torch.randperm(len(true), generator=draw)[rows]
    steps = torch.randint(1, num_classes, (len(true),), generator=draw)[rows]
    wrong = rank.argsort()[: round(share * len(rows))]
    found = true[rows]
    found[wrong] = (found[wrong] + steps[wrong]) % num_classes
    return found


def confused(true: Tensor, matrix: Tensor, rows: Tensor, draw: torch.Generator) -> Tensor:
    """Labels of the rows, each drawn from the matrix's row of its true class."""
    sums = matrix.cumsum(1)
    sums = sums / sums[:, -1:]  # ends at 1 exactly, above all that is drawn
    chance = torch.rand(len(true), generator=draw, dtype=torch.float64)[rows]
    found = true[rows]
    for index in found.unique().tolist():
        here = true[rows] == index
        found[here] = torch.searchsorted(sums[index], chance[here], right=True)
    return found


def _read_seen(path: str, column: str, files: list[str], setting: str, seen: Tensor) -> tuple[Tensor, list[str]]:
    numbers, names = read_labels(path, column, files, setting)
    numbers = torch.where(seen, numbers, -1)
    return renumbered(numbers, names, numbers[numbers >= 0].unique())


def _check_all_labelled(numbers: Tensor, seen: Tensor, files: list[str], path: str) -> None:
    lacking = (seen & (numbers < 0)).nonzero().flatten()
    if len(lacking):
        raise ValueError(
            f"target: {path!r} has no label for {len(lacking)} image(s), the first is "
            f"{files[int(lacking[0])]!r}, expected one for every image; add them."
        )


def _form(spec: str, setting: str, forms: tuple[str, ...]) -> tuple[str, str, str]:
    """What a setting asks for: a word and its value, or `"csv"`, a path and a column."""
    if not isinstance(spec, str):
        raise TypeError(
            f"{setting}: got {checks.describe(spec)}, expected a text; pass one of {', '.join(forms)}."
        )
    path, colon, column = spec.rpartition(":")
    if colon and path.lower().endswith(".csv"):
        return "csv", path, column
    if spec.lower().endswith(".csv"):
        return "csv", spec, COLUMN
    word, colon, value = spec.partition(":")
    if (word if not colon else f"{word}:K") not in forms:
        raise ValueError(
            f"{setting}: got {spec!r}, expected one of {', '.join(forms)}; {checks.nearest(spec, forms)}"
        )
    return word, value, ""


def _number(text: str, setting: str, spec: str, high: int, what: str) -> int:
    if not text.isdecimal() or not 2 <= int(text) <= high:
        raise ValueError(
            f"{setting}: got {spec!r}, expected a whole number from 2 to {high}, the number of {what}, after the "
            "colon; choose one."
        )
    return int(text)


def _share(value: object, setting: str, otherwise: str = "") -> float:
    share = checks.check_number(value, setting)
    if share >= 1:
        raise ValueError(
            f"{setting}: got {share:g}, expected a share of at least 0 and below 1{otherwise}; 0.1 is a tenth."
        )
    return share
