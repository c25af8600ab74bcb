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

ON_TARGET, ON_FINE = "scale-free, on the target", "scale-free, on finer labels"
ON_CLUSTERS, STRONG = "scale-free, on clusters", "the same, weights 3 and 1"
PAPERS, PAPERS_FINE = "the paper's terms", "the paper's, on finer labels"
ADVERSARIAL, MANY = "adversarial training", "trained on the finer labels"
SERIES = {
    ON_TARGET: (HUES[0], "o"),
    ON_FINE: (HUES[4], "p"),
    ON_CLUSTERS: (HUES[2], "^"),
    STRONG: (HUES[5], "D"),
    PAPERS: (HUES[1], "s"),
    PAPERS_FINE: (HUES[1], "X"),
    ADVERSARIAL: (QUIET, "v"),
    MANY: (TEXT, "P"),
}
# arms that are not drawn and no rivals: with our terms, or cross-entropy in other settings
UNSAID = (
    "shannon",
    "renyi-memory",
    "renyi-light",
    "clean+renyi",
    "ce-other-settings",
    "renyi-strong-other-settings",
)
MARKED = {"better or worse": "better", "equivalent": "equivalent", "undecided": "undecided"}
NAME, MARK, AFTER = 0.24, 0.17, 0.16  # inches: a setting's name, each of its intervals, the room below them
SIDES, TITLE, LEGEND, BELOW = 0.15, 0.32, 0.17, 0.55


@dataclass(frozen=True)
class Setting:
    """One comparison, in words, and which of its arms are drawn."""

    kind: str
    words: str
    comparison: str
    arms: dict[str, str]


Row = tuple[Setting, Comparison, str]  # and the measure
FINE = {ON_TARGET: "renyi", PAPERS: "gini"}
COARSE = {
    ON_TARGET: "renyi-target",
    ON_FINE: "renyi-fine",
    ON_CLUSTERS: "renyi-kmeans",
    STRONG: "renyi-kmeans-3",
    PAPERS_FINE: "gini-fine",
    ADVERSARIAL: "adversarial-1",
    MANY: "many-class",
}
SAME = "layer, cross-entropy's settings: {}"
SETTINGS = (
    Setting("fine", "layer, tuned: clean labels", "caltech101-head-30", FINE),
    Setting("fine", SAME.format("clean labels"), "caltech101-head-30-same", {ON_TARGET: "renyi-strong"}),
    Setting("fine", "layer, tuned: 5 images a class", "caltech101-head-5", FINE),
    Setting("fine", "layer, tuned: long tail", "caltech101-head-tail", FINE),
    Setting("fine", "layer, tuned: 40% wrong labels", "caltech101-head-wrong", FINE),
    Setting("coarse", "layer, tuned: two groups", "caltech101-coarse-2", COARSE),
    Setting("coarse", "layer, tuned: ten groups", "caltech101-coarse-10", COARSE),
    Setting("coarse", SAME.format("two groups"), "caltech101-coarse-2-same", COARSE),
    Setting("coarse", SAME.format("ten groups"), "caltech101-coarse-10-same", COARSE),
    Setting("whole", "thin ResNet from scratch", "cifar100-clean", FINE),
    Setting("whole", "the same, 40% wrong labels", "cifar100-wrong", FINE),
    Setting("whole", "EfficientNet fine-tuned", "caltech101-whole", FINE),
    Setting("whole", "thin ResNet from scratch, 20 super-classes", "cifar100-coarse", COARSE),
    Setting("whole", "EfficientNet fine-tuned, ten groups", "caltech101-groups-whole", COARSE),
)
# of each picture its title, its measure, and which settings it shows
QUESTIONS = {
    "accuracy": ("Accuracy", "accuracy", ("fine",)),
    "accuracy-coarse": ("Accuracy below a coarse target", "accuracy", ("coarse",)),
    "accuracy-whole": ("Accuracy of networks trained whole", "accuracy", ("whole",)),
    "one-feature": ("Accuracy by one feature a class", "k_feature_accuracy_1", ("fine", "coarse", "whole")),
    "attack": ("Accuracy under attack, features, L2 radius 2", "robust_l2_2", ("coarse",)),
    "attack-pixels": ("Accuracy under attack, pixels, L2 radius 0.125", "robust_l2_0.125", ("whole",)),
    "transfer": ("Few-shot accuracy on unseen classes", "few_shot_accuracy", ("fine", "whole")),
}


def draw(kept: Mapping[str, Comparison]) -> dict[str, Figure]:
    """For each of `QUESTIONS` every setting's differences to cross-entropy.

    Args:
        kept: the comparisons by name; a setting whose comparison is not among them, or has too few seeds for a
            verdict, is left out.
    """
    rows = {question: _rows(metric, kinds, kept) for question, (_, metric, kinds) in QUESTIONS.items()}
    return {question: _drawn(question, found) for question, found in rows.items() if found}


def _rows(metric: str, kinds: Sequence[str], kept: Mapping[str, Comparison]) -> list[Row]:
    rows = []
    for setting in SETTINGS:
        said = kept.get(setting.comparison)
        if said is None or setting.kind not in kinds:
            continue
        if _contrasts(setting, said, metric):
            rows.append((setting, said, metric))
    return rows


def _drawn(question: str, rows: Sequence[Row]) -> Figure:
    heights = [NAME + MARK * len(_contrasts(*row)) + AFTER for row in rows]
    drawn = {name for row in rows for name, _ in _contrasts(*row)}
    seen = [name for name in SERIES if name in drawn]
    with drawing.style(question):
        whole = sum(heights) + TITLE + LEGEND * -(-(len(seen) + len(MARKED)) // 2) + BELOW
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
        axes.set_xlabel("difference to cross-entropy, points (right is better)")
        _heading(figure, whole, QUESTIONS[question][0], seen)
    return figure


def _contrasts(setting: Setting, said: Comparison, metric: str) -> list[tuple[str, dict[str, Any]]]:
    enough = (one for one in setting.arms.items() if len(said.differences(one[1], metric)) >= ENOUGH)
    found = ((series, said.contrast(arm, metric)) for series, arm in enough)
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
        found
        for arm in said.rivals
        if arm not in (*setting.arms.values(), *UNSAID) and (found := said.contrast(arm, metric))
    ]
    if others:
        highest = max(others, key=lambda found: float(found["difference"]))
        low, high = scale * highest["low"], scale * highest["high"]
        shown = f"rival: {highest['arm']} [{low:+.1f}, {high:+.1f}] {highest['verdict']}"
        place: dict[str, Any] = {
            "transform": across,
            "va": "center",
            "ha": "right",
            "fontsize": 7.5,
            "color": QUIET,
        }
        axes.text(1, top + NAME / 2 + 0.03, shown, bbox=box, zorder=5, **place)
    for index, (series, contrast) in enumerate(_contrasts(setting, said, metric)):
        colour, marker = SERIES[series]
        y = top + NAME + MARK * (index + 0.5)
        axes.plot([scale * contrast["low"], scale * contrast["high"]], [y, y], "-|", color=colour, lw=1.6, ms=5)
        style = _filled(contrast["verdict"], colour)
        axes.plot([scale * contrast["difference"]], [y], marker, ms=5.5, zorder=4, **style)


def _filled(verdict: str, colour: str) -> dict[str, Any]:
    """How a mark is filled: wholly where a difference was shown, half where equality was, else not."""
    if verdict == "equivalent":
        return {"color": colour, "fillstyle": "left", "mfcalt": PAPER}
    return {"color": colour, "mfc": colour if verdict in ("better", "worse") else PAPER}


def _heading(figure: Figure, whole: float, title: str, seen: list[str]) -> None:
    figure.text(SIDES / drawing.WIDTH, 1 - 0.2 / whole, title, fontsize=10.5, fontweight="bold", va="center")
    marks = [
        Line2D([], [], color=SERIES[name][0], marker=SERIES[name][1], ms=5.5, lw=1.6, label=name) for name in seen
    ]
    for label, verdict in MARKED.items():
        marks.append(Line2D([], [], marker="o", ms=5.5, lw=0, label=label, **_filled(verdict, TEXT)))
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
