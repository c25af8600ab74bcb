"""What a look at all images of a set shows: copies, and classes that are empty, lacking or small."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from torchdiscern.lab.data.findings import Findings, readable

IMBALANCE = 10


@dataclass(frozen=True)
class Row:
    """One image of a set.

    Args:
        index: where its pixels are.
        name: for people.
        part: empty where the set has none.
        label: its class.
        content: digest of its pixels.
    """

    index: int
    name: str
    part: str
    label: str
    content: bytes


def without_strangers(rows: list[Row], findings: Findings) -> list[Row]:
    """Without the images in val and test of classes that train lacks."""
    learned = {row.label for row in rows if row.part in ("", "train")}
    for label in sorted({row.label for row in rows} - learned):
        findings.add("class that train lacks", readable(label))
    return [row for row in rows if row.label in learned]


def without_leaks(rows: list[Row], findings: Findings) -> list[Row]:
    """Without the training images that val or test hold too."""
    leaks = _leaks(rows)
    for row, other in leaks:
        findings.add("same image in train and val or test", f"{row.name} is {other.name}")
    dropped = {row.index for row, _ in leaks}
    return [row for row in rows if row.index not in dropped]


def note_copies(rows: list[Row], findings: Findings, across_parts: bool) -> None:
    """Counts the images that are there more than once.

    Args:
        rows: all images that are used.
        findings: is told.
        across_parts: whether copies in two parts count; else only the kept leaks do.
    """
    if not across_parts:
        for row, other in _leaks(rows):
            findings.add("same image in both parts", f"{row.name} is {other.name}")
    groups: dict[tuple[str, bytes], list[Row]] = {}
    for row in rows:
        groups.setdefault(("" if across_parts else row.part, row.content), []).append(row)
    for first, *others in groups.values():
        stranger = next((row for row in others if row.label != first.label), None)
        if stranger is not None:
            findings.add("same image in two classes", f"{first.name} is {stranger.name}")
        elif others:
            findings.add("same image twice", f"{first.name} is {others[0].name}", len(others))


def note_classes(rows: list[Row], folders: dict[str, list[str]], findings: Findings) -> None:
    """Notes classes without images, of one image, much smaller than the largest, and lacking in a part.

    Args:
        rows: all images that are used.
        folders: the class folders of each part, by name.
        findings: is told.
    """
    counts = Counter(row.label for row in rows if row.part in ("", "train"))
    parts = {row.part for row in rows}
    for part, labels in folders.items():
        if part in ("", "train"):
            for label in sorted(set(labels) - set(counts)):
                findings.add("class without images", readable(label))
        elif part not in parts:
            findings.add("part without images", part)
        else:
            there = {row.label for row in rows if row.part == part}
            for label in sorted(set(counts) - there):
                findings.add("class that val or test lacks", f"{readable(label)} in {part}")
    largest = max(counts, key=lambda label: counts[label])
    for label in sorted(counts, key=lambda label: counts[label]):
        if counts[label] == 1:
            findings.add("class of one image", readable(label))
        if counts[label] * IMBALANCE <= counts[largest]:
            findings.add(
                "class a tenth of the largest or smaller",
                f"{readable(label)} has {counts[label]:,}, {readable(largest)} {counts[largest]:,}",
            )


def _leaks(rows: Iterable[Row]) -> list[tuple[Row, Row]]:
    held = {row.content: row for row in reversed(list(rows)) if row.part in ("val", "test")}
    return [(row, held[row.content]) for row in rows if row.part == "train" and row.content in held]
