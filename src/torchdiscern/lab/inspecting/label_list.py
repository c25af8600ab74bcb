"""The images whose label is doubtful as a table and as CSV, and all others as a list of files."""

import csv
import io

from rich import box
from rich.markup import escape
from rich.table import Table

from torchdiscern.lab.report.contents import Contents

COLUMNS = ("file", "label", "nearer", "margin", "features")
SHOWN = 20
NO_LINE = set("\n\r\ufffd")  # the last stands for bytes that are no text


def rows_of(contents: Contents) -> list[tuple[str, str, str, str, str]]:
    """The cells under `COLUMNS`, worst first; the features, by number, with spaces."""
    found = contents.networks[0].suspicions
    if found is None:
        return []
    names = contents.classes
    return [
        (
            contents.files[row],
            names[contents.labels[row]],
            names[nearer],
            f"{margin:.4f}",
            " ".join(str(feature) for feature in spoke if feature >= 0),
        )
        for row, nearer, margin, spoke in zip(found.rows, found.nearer, found.margin, found.spoke, strict=True)
    ]


def as_csv(contents: Contents) -> str:
    """`file,label,nearer,margin,features`, a line an image, worst first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for file, label, nearer, *numbers in rows_of(contents):
        writer.writerow([*map(_no_formula, (file, label, nearer)), *numbers])
    return text.getvalue()


def _no_formula(text: str) -> str:
    """As the page's tables have it: nothing that a spreadsheet would run."""
    return f"'{text}" if text[:1] in "=+-@\t\r" else text


def other_files(contents: Contents) -> tuple[list[str], list[str]]:
    """The images that are not in the list, in their order, and those whose names no line can hold."""
    doubtful = (
        set() if contents.networks[0].suspicions is None else set(contents.networks[0].suspicions.rows.tolist())
    )
    names = [name for row, name in enumerate(contents.files) if row not in doubtful]
    bad = [name for name in names if NO_LINE & set(name)]
    return [name for name in names if not NO_LINE & set(name)], bad


def table(contents: Contents) -> Table:
    """The first `SHOWN`, and in the caption what the ranking is worth."""
    rows = rows_of(contents)
    found = contents.networks[0].suspicions
    worth = [] if found is None else [found.rule, *found.worth]
    shown = Table(
        title=f"{len(rows):,} of {len(contents.files):,} images stand nearer to another class than to their label"
        + (f"; the first {SHOWN}" if len(rows) > SHOWN else ""),
        caption="\n".join(map(escape, [*worth, *contents.notes])),
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for name in COLUMNS[:-1]:
        shown.add_column(name, justify="right" if name == "margin" else "left", overflow="fold")
    for cells in rows[:SHOWN]:
        shown.add_row(*map(escape, cells[:-1]))
    return shown
