"""The check before training: reads a folder as training will and says what it found."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text

from torchdiscern.lab.data.findings import Finding
from torchdiscern.lab.data.folder import read_folder
from torchdiscern.lab.data.images import Images

SIZE = 224
REORDERING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def check_folder(folder: Path, console: Console) -> Images:
    """Reads every image of a folder and prints how many there are and what is wrong with them.

    Args:
        folder: as for `read_folder`.
        console: where to print.

    Returns:
        The images, which stay in their files.

    Raises:
        ValueError: with one sentence, where there is nothing to learn from.
    """
    images = read_folder(
        folder,
        SIZE,
        progress=lambda paths: track(
            list(paths), "Reading", console=console, transient=True, disable=not console.is_terminal
        ),
        in_memory=False,
    )
    console.print(Text(summary(images)))
    if images.findings:
        console.print(findings_table(images.findings))
    else:
        console.print("Nothing is wrong with them.")
    return images


def summary(images: Images) -> str:
    """How many images and classes there are, in which parts, and how small and large the classes are."""
    counts = images.labels.bincount(minlength=len(images.classes))
    parts = ", ".join(f"{name} {len(rows):,}" for name, rows in images.parts.items())
    low, high = int(counts.argmin()), int(counts.argmax())
    smallest, largest = (f"{shown(images.classes[i])} ({int(counts[i]):,})" for i in (low, high))
    return (
        f"{shown(images.name)}: {len(images.labels):,} images{f' ({parts})' * bool(parts)} of "
        f"{len(images.classes):,} classes; the smallest is {smallest}, the largest {largest}."
    )


def findings_table(findings: Sequence[Finding]) -> Table:
    """The findings, a kind a row, safe to print whatever the files are called."""
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    for one in findings:
        said = Text(shown(f"{one.kind}: {one.effect}"))
        said.stylize("bold", 0, len(shown(one.kind)))
        said.append("\n" + shown(f"first: {one.first}") + "\n" + shown(f"what you can do: {one.advice}"))
        table.add_row(f"{one.count:,}", said)
    return table


def shown(text: str) -> str:
    """A name without what would steer the terminal or turn the text round."""
    return "".join(repr(char)[1:-1] if _steers(char) else char for char in text)


def _steers(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or unicodedata.bidirectional(char) in REORDERING
