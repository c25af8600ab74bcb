"""What was found in a data set, what was done about it, and what one could do."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

# What was done, and what one could do; in the order in which they are shown.
KINDS: dict[str, tuple[str, str]] = {
    "images missing from the set": (
        "what is there is used",
        "complete the set before comparing with published numbers",
    ),
    "unreadable or damaged": ("left out", "mend or remove them"),
    "decompression bomb": ("left out", "scale them down, or remove them"),
    "link out of the folder": ("left out", "copy what it points to into the folder"),
    "more than 16 bits a channel": ("left out", "scale them to 8 or 16 bits, since only you know their range"),
    "same image in train and val or test": (
        "left out of train",
        "keep one copy, since a learned image tests nothing",
    ),
    "same image in both parts": ("kept, as everybody does with this set", "nothing"),
    "image outside of the classes": ("left out", "move it into a class folder"),
    "folder beside the parts": ("passed over", "move it, or name it train, val or test"),
    "other files": ("passed over", "nothing, if they are no images"),
    "class without images": ("left out", "add images or remove the folder"),
    "class that train lacks": ("its images left out of val and test", "add images of it to train"),
    "class that val or test lacks": ("kept", "add images, since nothing tests what is learned of it"),
    "part without images": ("left out", "add images or remove the folder"),
    "class of one image": ("kept", "add images, since one can be learned or tested on, not both"),
    "same image in two classes": ("kept", "decide for one class"),
    "same image twice": ("kept", "remove copies, since they may come to be learned and tested on"),
    "class a tenth of the largest or smaller": ("kept", "look at each class's accuracy, not only at the mean"),
    "one channel": ("copied to three", "nothing, unless they should have colour"),
    "palette": ("made RGB", "nothing"),
    "transparent": ("laid on white", "nothing, unless they were meant for another ground"),
    "CMYK": ("made RGB without a colour profile", "convert them with theirs where colour matters"),
    "16 bits a channel": ("scaled to 8", "scale them yourself if they fill a part of the range only"),
    "several frames": ("the first is taken", "save further frames as files, if they matter"),
}


@dataclass(frozen=True)
class Finding:
    """One kind of thing that was found.

    Args:
        kind: what it is, in a few words.
        count: how many there are.
        first: the first one, for people.
        effect: what was done.
        advice: what one could do.
    """

    kind: str
    count: int
    first: str
    effect: str
    advice: str


class Findings:
    """Counts as it is told and keeps the first of each kind."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, kind: str, first: str, count: int = 1) -> None:
        before, kept = self._found.get(kind, (0, first))
        self._found[kind] = (before + count, kept)

    def found(self) -> tuple[Finding, ...]:
        return tuple(
            Finding(kind, *self._found[kind], effect, advice)
            for kind, (effect, advice) in KINDS.items()
            if kind in self._found
        )

    def left_out(self) -> str:
        """What is missing because of findings, for an error's sentence; empty where nothing is."""
        parts = [
            f"{one.count} {one.kind}, first {one.first!r}" for one in self.found() if "left out" in one.effect
        ]
        return f" (left out: {'; '.join(parts)})" if parts else ""


def readable(name: str) -> str:
    """A file system's name as valid unicode, whatever bytes it is made of."""
    return os.fsencode(name).decode(errors="replace")


def unique(names: Iterable[str]) -> list[str]:
    """Readable names, numbered where two have become the same."""
    taken: dict[str, None] = {}
    for name in names:
        shown = candidate = readable(name)
        number = 2
        while candidate in taken:
            candidate, number = f"{shown} ({number})", number + 1
        taken[candidate] = None
    return list(taken)
