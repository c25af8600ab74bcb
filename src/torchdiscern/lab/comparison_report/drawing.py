"""What all plots share: size, colours that pages can turn dark, marks for arms, names that never overlap."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO, StringIO
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.transforms import blended_transform_factory

PAPER, TEXT, QUIET, LINE, GROUND = "#ffffff", "#1c2430", "#5b6675", "#d9dee5", "#e9edf3"
# Okabe and Ito's without the yellows, which white swallows, and Tol's indigo
HUES = ("#0072b2", "#d55e00", "#009e73", "#a8548a", "#56b4e9", "#332288")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "p", "h")  # 11 and 6: no two of 66 arms look alike
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
NAMES = {PAPER: "paper", TEXT: "text", QUIET: "quiet", LINE: "line", GROUND: "ground"} | {
    hue: f"hue-{index}" for index, hue in enumerate(HUES)
}

WIDTH = 5.2  # inches; a phone shows that nearly one to one, so that its text stays legible there
LEFT, RIGHT, TOP, BOTTOM = 0.58, 0.15, 0.4, 0.55
DPI = 150
GAP = 0.175  # inches from a name to the next

SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be found, copied and read aloud
    "axes.unicode_minus": False,  # the minus of the tables
    "text.parse_math": False,  # a name with a dollar sign is a name
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same picture on every machine
    "font.size": 9.5,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": LINE,
    "axes.facecolor": PAPER,
    "figure.facecolor": PAPER,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GROUND,
    "lines.markersize": 5,
}


@contextmanager
def style(salt: str = "torchdiscern") -> Iterator[None]:
    """Inside it figures are made and rendered in the style of the page, and nothing else is changed by that."""
    settings: Any = SETTINGS | {"svg.hashsalt": salt}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # the PNG of a name with an emoji has a box there; SVG and page show it
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


@dataclass(frozen=True)
class Look:
    """How one arm is drawn everywhere."""

    colour: str
    marker: str
    dashes: Any

    @classmethod
    def of(cls, index: int) -> "Look":
        """Of the arm at `index`; the baseline, which is the first, in the colour of the text."""
        if index == 0:
            return cls(TEXT, "o", "-")
        return cls(HUES[(index - 1) % len(HUES)], MARKERS[index % len(MARKERS)], DASHES[index % len(DASHES)])


def one_plot(height: float, right: float = RIGHT, left: float = LEFT) -> tuple[Figure, Axes]:
    """A figure of the common width around axes of the given height, in inches."""
    whole = height + TOP + BOTTOM
    figure = Figure(figsize=(WIDTH, whole), dpi=DPI)
    box = (left / WIDTH, BOTTOM / whole, (WIDTH - left - right) / WIDTH, height / whole)
    return figure, figure.add_axes(box)


def heading(axes: Axes, text: str, left: float = LEFT) -> None:
    """A title from the left edge of the figure on, where it has more room than above the axes."""
    axes.annotate(
        text,
        xy=(0, 1),
        xycoords="axes fraction",
        xytext=(-72 * (left - 0.12), 8),
        textcoords="offset points",
        fontsize=10.5,
        fontweight="bold",
        annotation_clip=False,
    )


def apart(wished: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places near the wished ones, in ascending order, at least `gap` apart and inside the bounds if they fit."""
    blocks: list[list[float]] = []  # sum of the wished starts, and how many stand in it
    for place in wished:
        blocks.append([place, 1])
        while len(blocks) > 1 and _start(blocks[-2], gap, low, high) + gap * blocks[-2][1] > _start(
            blocks[-1], gap, low, high
        ):
            total, members = blocks.pop()
            blocks[-1][0] += total - members * gap * blocks[-1][1]
            blocks[-1][1] += members
    return [_start(block, gap, low, high) + gap * index for block in blocks for index in range(int(block[1]))]


def _start(block: list[float], gap: float, low: float, high: float) -> float:
    return max(low, min(block[0] / block[1], high - gap * (block[1] - 1)))


def keep_to_shares(axes: Axes, axis: Literal["x", "y"], unit: str) -> None:
    """Shows no percentage below 0 or above 100, where wide intervals of few seeds reach to."""
    if unit != "%":
        return
    low, high = axes.get_xlim() if axis == "x" else axes.get_ylim()
    limits = (max(low, -2.0), min(high, 102.0))
    axes.set_xlim(limits) if axis == "x" else axes.set_ylim(limits)


@dataclass(frozen=True)
class Named:
    """A point, in data coordinates, and the name that belongs to it."""

    x: float
    y: float
    text: str
    look: Look


def names_at_right(axes: Axes, height: float, named: Sequence[Named]) -> None:
    """Writes the names in a column right of the axes, each with its arm's mark and a thin line from its point."""
    low, high = axes.get_ylim()
    ordered = sorted(named, key=lambda one: one.y)
    wished = [(one.y - low) / ((high - low) or 1.0) for one in ordered]
    places = apart(wished, GAP / height, 0.0, 1.0)
    beside = blended_transform_factory(axes.transAxes, axes.transAxes)
    for one, place in zip(ordered, places, strict=True):
        axes.annotate(
            "",
            xy=(one.x, one.y),
            xycoords="data",
            xytext=(1.025, place),
            textcoords=beside,
            arrowprops={"arrowstyle": "-", "color": QUIET, "lw": 0.4, "shrinkA": 0, "shrinkB": 0},
            annotation_clip=False,
            zorder=1,
        )
        axes.plot(
            [1.04],
            [place],
            marker=one.look.marker,
            color=one.look.colour,
            transform=beside,
            clip_on=False,
            markersize=4.5,
        )
        axes.text(1.065, place, one.text, transform=beside, va="center", fontsize=8.5)


def png(figure: Figure) -> bytes:
    with style():
        content = BytesIO()
        FigureCanvasAgg(figure).print_png(content, metadata={"Software": None})  # type: ignore[no-untyped-call]
        return content.getvalue()


def svg(figure: Figure, salt: str) -> str:
    """The same text for the same figure, today and tomorrow."""
    with style(salt):
        content = StringIO()
        none = {"Date": None, "Creator": None, "Format": None, "Type": None}
        FigureCanvasSVG(figure).print_svg(content, metadata=none)  # type: ignore[no-untyped-call]
        return content.getvalue()


def for_page(drawn: str, name: str, label: str) -> str:
    """An SVG to stand inside a page: colours that follow the page's, and ids that no other plot there has.

    Args:
        drawn: as `svg` gives it.
        name: of letters, digits and hyphens, one a plot.
        label: what it shows, for those who do not see it; escaped already.
    """
    inside = drawn[drawn.index("<svg") :]
    inside = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", inside, flags=re.DOTALL)
    # in tags alone: an arm may be called what looks like an attribute
    inside = re.sub(r"<[^>]*>", lambda found: _of_plot(found[0], name), inside)
    size = re.search(r'viewBox="[^"]+"', inside)
    assert size is not None
    return f'<svg {size[0]} role="img" aria-label="{label}"' + inside[inside.index(">") :]


def _of_plot(tag: str, name: str) -> str:
    tag = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', tag)
    tag = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', tag)
    tag = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", tag)
    for colour, variable in NAMES.items():
        tag = tag.replace(f": {colour}", f": var(--{variable})")
    return tag
