"""The evidence in one picture a question: what our terms changed in every setting that was compared."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from torchdiscern.lab.comparison_report import drawing
from torchdiscern.lab.comparison_report.drawing import HUES, LINE, PAPER, QUIET, TEXT
from torchdiscern.lab.comparison_report.reading import ENOUGH, Comparison

SCALE_FREE, PAPERS = "scale-free form", "the paper's terms"
ON_CLUSTERS, STRONG = "scale-free, on clusters", "the same, 3 times the weights"
SERIES = {
    SCALE_FREE: (HUES[0], "o"),
    ON_CLUSTERS: (HUES[2], "^"),
    STRONG: (HUES[5], "D"),
    PAPERS: (HUES[1], "s"),
}
DECIDED = ("better", "worse")
NAME, MARK, AFTER = 0.24, 0.17, 0.16  # inches: a setting's name, each of its intervals, the room below them
SIDES, TITLE, LEGEND, BELOW = 0.15, 0.32, 0.17, 0.55


@dataclass(frozen=True)
class Setting:
    """One comparison, in words, and which of its arms are ours."""

    words: str
    comparison: str
    arms: dict[str, str]


Row = tuple[Setting, Comparison, str]  # and the measure
ON_THE_TARGET = {SCALE_FREE: "renyi", PAPERS: "gini"}
BELOW_IT = {
    SCALE_FREE: "renyi-fine",
    ON_CLUSTERS: "renyi-kmeans",
    STRONG: "renyi-kmeans-3",
    PAPERS: "gini-fine",
}
SETTINGS = (
    Setting("layer: clean labels", "caltech101-head-30", ON_THE_TARGET),
    Setting("layer: five images a class", "caltech101-head-5", ON_THE_TARGET),
    Setting("layer: long tail, 30 to 3 images", "caltech101-head-tail", ON_THE_TARGET),
    Setting("layer: 40% wrong labels", "caltech101-head-wrong", ON_THE_TARGET),
    Setting("layer: two groups, tuned", "caltech101-coarse-2", BELOW_IT),
    Setting("layer: two groups, one setting for all", "caltech101-coarse-2-same", BELOW_IT),
    Setting("layer: ten groups, tuned", "caltech101-coarse-10", BELOW_IT),
    Setting("layer: ten groups, one setting for all", "caltech101-coarse-10-same", BELOW_IT),
    Setting("thin ResNet, CIFAR-100, untuned", "cifar100-clean", ON_THE_TARGET),
    Setting("thin ResNet, 40% wrong labels, untuned", "cifar100-wrong", ON_THE_TARGET),
    Setting("thin ResNet, 20 super-classes", "cifar100-coarse", BELOW_IT),
    Setting("EfficientNet fine-tuned, untuned", "caltech101-whole", ON_THE_TARGET),
    Setting("EfficientNet, ten groups", "caltech101-groups-whole", BELOW_IT),
)
# what a picture shows: its title, and in each setting the first of these measures that was taken
QUESTIONS = {
    "accuracy": ("Accuracy", ("accuracy",)),
    "one-feature": ("Accuracy by one feature a class", ("k_feature_accuracy_1",)),
    "attack": ("Accuracy under attack, L2, middle radius", ("robust_l2_2", "robust_l2_0.25")),
    "transfer": ("Few-shot accuracy on unseen classes", ("few_shot_accuracy",)),
}


def draw(kept: Mapping[str, Comparison]) -> dict[str, Figure]:
    """For each of `QUESTIONS` every setting's differences to cross-entropy.

    Args:
        kept: the comparisons by name; a setting whose comparison is not among them, or has too few seeds for a
            verdict, is left out.
    """
    rows = {question: _rows(metrics, kept) for question, (_, metrics) in QUESTIONS.items()}
    return {question: _drawn(question, found) for question, found in rows.items() if found}


def _rows(metrics: tuple[str, ...], kept: Mapping[str, Comparison]) -> list[Row]:
    rows = []
    for setting in SETTINGS:
        said = kept.get(setting.comparison)
        metric = next((one for one in metrics if said and one in said.measures), None)
        if said and metric and len(said.seeds) >= ENOUGH and _ours(setting, said, metric):
            rows.append((setting, said, metric))
    return rows


def _drawn(question: str, rows: Sequence[Row]) -> Figure:
    heights = [NAME + MARK * len(_ours(*row)) + AFTER for row in rows]
    seen = [name for name in SERIES if any(name in setting.arms for setting, *_ in rows)]
    with drawing.style(question):
        whole = sum(heights) + TITLE + LEGEND * -(-(len(seen) + 2) // 2) + BELOW
        figure = Figure(figsize=(drawing.WIDTH, whole), dpi=drawing.DPI)
        width = (drawing.WIDTH - 2 * SIDES) / drawing.WIDTH
        axes = figure.add_axes((SIDES / drawing.WIDTH, BELOW / whole, width, sum(heights) / whole))
        axes.axvline(0, color=TEXT, lw=0.9, zorder=1)
        top = 0.0
        for row, height in zip(rows, heights, strict=True):
            _row(axes, top, *row)
            top += height
        axes.set_ylim(top, 0)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.06)
        axes.set_xlabel("difference to cross-entropy, points")
        _heading(figure, whole, QUESTIONS[question][0], seen)
    return figure


def _ours(setting: Setting, said: Comparison, metric: str) -> list[tuple[str, dict[str, Any]]]:
    found = ((series, said.contrast(arm, metric)) for series, arm in setting.arms.items())
    return [(series, contrast) for series, contrast in found if contrast]


def _row(axes: Axes, top: float, setting: Setting, said: Comparison, metric: str) -> None:
    scale, across = said.measure(metric).scale, axes.get_yaxis_transform()
    box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}
    axes.axhline(top, color=LINE, lw=0.6, zorder=0)
    axes.text(
        0,
        top + NAME / 2 + 0.03,
        setting.words,
        transform=across,
        va="center",
        fontweight="bold",
        bbox=box,
        zorder=5,
    )
    others = [
        (found["difference"], arm)
        for arm in said.rivals
        if arm not in setting.arms.values() and (found := said.contrast(arm, metric))
    ]
    if others:
        highest, arm = max(others)
        shown = f"highest other: {arm} {scale * highest:+.1f}"
        place: dict[str, Any] = {
            "transform": across,
            "va": "center",
            "ha": "right",
            "fontsize": 8,
            "color": QUIET,
        }
        axes.text(1, top + NAME / 2 + 0.03, shown, bbox=box, zorder=5, **place)
    for index, (series, contrast) in enumerate(_ours(setting, said, metric)):
        colour, marker = SERIES[series]
        y = top + NAME + MARK * (index + 0.5)
        axes.plot([scale * contrast["low"], scale * contrast["high"]], [y, y], "-|", color=colour, lw=1.6, ms=5)
        fill = colour if contrast["verdict"] in DECIDED else PAPER
        axes.plot([scale * contrast["difference"]], [y], marker, color=colour, mfc=fill, ms=5.5, zorder=4)


def _heading(figure: Figure, whole: float, title: str, seen: list[str]) -> None:
    figure.text(SIDES / drawing.WIDTH, 1 - 0.2 / whole, title, fontsize=10.5, fontweight="bold", va="center")
    marks = [
        Line2D([], [], color=SERIES[name][0], marker=SERIES[name][1], ms=5.5, lw=1.6, label=name) for name in seen
    ]
    for label, fill in (("better or worse", TEXT), ("undecided or equivalent", PAPER)):
        marks.append(Line2D([], [], color=TEXT, marker="o", mfc=fill, ms=5.5, lw=0, label=label))
    figure.legend(
        handles=marks,
        loc="upper left",
        bbox_to_anchor=(SIDES / drawing.WIDTH - 0.012, 1 - 0.27 / whole),
        ncols=2,
        frameon=False,
        fontsize=8,
        handlelength=1.6,
        columnspacing=1.0,
        borderpad=0.2,
    )
