"""The plots of a comparison: each is drawn where the data are there, and none by colour alone."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torchdiscern.lab.comparison_report import curves, drawing
from torchdiscern.lab.comparison_report.drawing import HUES, LINE, PAPER, QUIET, TEXT, Look, Named
from torchdiscern.lab.comparison_report.reading import (
    Comparison,
    Measure,
    finite,
    one_line,
    shortened,
    spread,
    verdict_of,
)
from torchdiscern.lab.files import make_folder, write_atomically

FURTHER = 6  # measures beside accuracy whose differences are drawn
ROW = 0.45  # inches an arm takes: its name, and the marks below
SIDES = 0.15
TITLE = 56  # letters that fit above a plot
# marker, and whether filled, for each verdict
MARKS = {
    "better": ("o", HUES[0]),
    "worse": ("X", HUES[1]),
    "equivalent": ("D", HUES[2]),
    "higher": ("^", HUES[3]),
    "lower": ("v", HUES[3]),
}
UNDECIDED = ("o", QUIET)


def draw(results: Mapping[str, Any]) -> dict[str, Figure]:
    """Every plot that the results have the data for.

    Args:
        results: as in `results.json`.

    Returns:
        Figures by name: `difference-MEASURE` (accuracy first, up to six more), `differences` (those six in one
        picture), `seeds`, `trade-off`, `robust-NORM`, `removed` and `tuning`.

    Example:
        >>> runs = [
        ...     {"arm": arm, "seed": seed, "metrics": {"accuracy": 0.8 + 0.01 * seed}}
        ...     for arm in ("ce", "renyi")
        ...     for seed in range(2)
        ... ]
        >>> list(draw({"baseline": "ce", "arms": {"ce": {}, "renyi": {}}, "runs": runs}))
        ['seeds']
    """
    said = Comparison(results)
    with drawing.style():
        shown = [metric for metric in said.key_metrics(FURTHER + 1) if _rows(said, metric)]
        figures = {f"difference-{_plain(metric)}": _difference(said, metric) for metric in shown}
        further = [metric for metric in shown if metric != "accuracy"]
        if len(further) > 1:
            figures["differences"] = _differences(said, further)
        if "accuracy" in said.measures:
            figures["seeds"] = _seeds(said, "accuracy")
        if pair := _pair(said):
            figures["trade-off"] = _trade_off(said, *pair)
        for norm, radii in said.radii().items():
            figures[f"robust-{_plain(norm)}"] = curves.robust(said, norm, radii)
        if said.removed():
            figures["removed"] = curves.removed(said)
        if said.tuned():
            figures["tuning"] = curves.tuning(said)
    return figures


def save(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Writes each figure as `NAME.png` and `NAME.svg`; a reader never sees half a file.

    Args:
        figures: as `draw` gives them.
        folder: is made where it is missing.

    Returns:
        The files.

    Example:
        >>> import tempfile
        >>> runs = [{"arm": "ce", "seed": 0, "metrics": {"accuracy": 0.8}}]
        >>> with tempfile.TemporaryDirectory() as out:
        ...     [file.name for file in save(draw({"baseline": "ce", "runs": runs}), Path(out))]
        ['seeds.png', 'seeds.svg']
    """
    make_folder(folder, "out")
    files = []
    for name, figure in figures.items():
        for suffix, content in (("png", drawing.png(figure)), ("svg", drawing.svg(figure, name))):
            files.append(folder / f"{name}.{suffix}")
            write_atomically(files[-1], content)
    return files


def captions(results: Mapping[str, Any]) -> dict[str, str]:
    """One sentence for every plot that `draw` makes of these results, by its name."""
    said = Comparison(results)
    base = said.short(said.baseline)
    interval = ", with its interval" if _spread_known(said) else ""
    found = {
        "differences": f"Differences to {base} in the measures beside accuracy.",
        "seeds": "Each arm's accuracy: a dot is a run, a thin line joins the runs of one seed, and the upright "
        f"mark is the mean{interval}.",
        "removed": "Accuracy after the features that carry least were set to zero; the more of it that is left, "
        " the better the features are concentrated.",
        "tuning": "The best validation accuracy so far, trial by trial; a curve that still climbs at its end was "
        "tuned too little.",
    }
    for metric in said.key_metrics(FURTHER + 1):
        measure = said.measure(metric)
        lower = " Lower is better here." if measure.better < 0 else ""
        band = "; the shaded band is too small to matter" if _band(said, metric) is not None else ""
        found[f"difference-{_plain(metric)}"] = (
            f"Difference in {measure.label} to {base}: the mark is the mean{interval}; small dots are seeds"
            f"{band}.{lower}"
        )
    if pair := _pair(said):
        x, y = (said.measure(metric).label for metric in pair)
        found["trade-off"] = (
            f"What an arm gains in {x} beside what it does to {y}: means{interval.replace('its', 'their')}."
        )
    for norm in said.radii():
        found[f"robust-{_plain(norm)}"] = (
            f"Accuracy under attack ({curves.norm_name(norm)}) by the radius of the attack{interval}; "
            "radius 0 is the accuracy without an attack, on all test images."
        )
    return found


def _spread_known(said: Comparison) -> bool:
    return any(finite((said.mean(arm, "accuracy") or {}).get("low")) is not None for arm in said.arms)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name)


def _rows(said: Comparison, metric: str) -> list[str]:
    return [arm for arm in said.rivals if said.contrast(arm, metric)]


def _band(said: Comparison, metric: str) -> float | None:
    bands = (finite((said.contrast(arm, metric) or {}).get("band")) for arm in said.rivals)
    return next((band for band in bands if band is not None), said.measure(metric).band)


def _pair(said: Comparison) -> tuple[str, str] | None:
    """What is laid off to the right, and upwards, in the trade-off: measures that two arms or more have."""
    shared = [
        name for name in said.key_metrics(99) if sum(said.mean(arm, name) is not None for arm in said.arms) > 1
    ]
    return (shared[1], shared[0]) if len(shared) > 1 else None


def _difference(said: Comparison, metric: str) -> Figure:
    figure, axes = drawing.one_plot(ROW * len(_rows(said, metric)), right=SIDES, left=SIDES)
    _forest(axes, said, metric)
    drawing.heading(axes, _forest_title(said, metric), left=SIDES)
    return figure


def _differences(said: Comparison, metrics: list[str]) -> Figure:
    columns = 2 if len(metrics) < 5 else 3
    lines = -(-len(metrics) // columns)
    height = ROW * max(len(_rows(said, metric)) for metric in metrics)
    each = height + drawing.TOP + drawing.BOTTOM
    figure = Figure(figsize=(4.4 * columns, each * lines), dpi=drawing.DPI)
    for index, metric in enumerate(metrics):
        line, column = divmod(index, columns)
        bottom = 1 - (line + 1) / lines + drawing.BOTTOM / (each * lines)
        own = ROW * len(_rows(said, metric))  # rows of one height in every panel
        box = ((column + 0.04) / columns, bottom + (height - own) / (each * lines), 0.92 / columns)
        axes = figure.add_axes((*box, own / (each * lines)))
        _forest(axes, said, metric)
        drawing.heading(axes, shortened(said.measure(metric).label, 44), left=SIDES)
    return figure


def _forest_title(said: Comparison, metric: str) -> str:
    label = said.measure(metric).label
    longest = f"{label}: difference to {said.short(said.baseline)}"
    fitting = (title for title in (longest, f"{label}: difference") if len(title) <= TITLE)
    return next(fitting, shortened(label, TITLE))


def _forest(axes: Axes, said: Comparison, metric: str) -> None:
    """Below each arm's name and verdict its interval, and its seeds' differences below that."""
    measure, rows, band = said.measure(metric), _rows(said, metric), _band(said, metric)
    if band is not None:
        axes.axvspan(-band * measure.scale, band * measure.scale, color=LINE, alpha=0.6, lw=0, zorder=0)
    axes.axvline(0, color=TEXT, lw=0.9, zorder=1)
    for row, arm in enumerate(rows):
        contrast = said.contrast(arm, metric) or {}
        dots = [measure.scale * value for value in said.differences(arm, metric).values()]
        axes.plot(dots, [row + 0.3] * len(dots), "o", color=QUIET, ms=2.6, alpha=0.65, mew=0)
        marker, colour = MARKS.get(contrast.get("verdict") or "", UNDECIDED)
        low, high = finite(contrast.get("low")), finite(contrast.get("high"))
        if low is not None and high is not None:
            ends = [measure.scale * low, measure.scale * high]
            axes.plot(ends, [row + 0.07] * 2, "-|", color=colour, lw=1.8, ms=6)
        place, fill = measure.scale * contrast["difference"], PAPER if colour == QUIET else colour
        axes.plot([place], [row + 0.07], marker, color=colour, mfc=fill, ms=5.5, zorder=4)
        shown = f"{measure.number(contrast['difference'], sign=True)} {verdict_of(contrast)}"
        _row_text(axes, row, said.short(arm), shown)
    _rows_of_names(axes, len(rows))
    better = {1: " (higher is better)", -1: " (lower is better)"}.get(measure.better, "")
    axes.set_xlabel(f"difference{', ' + measure.of_difference if measure.of_difference else ''}{better}")


def _row_text(axes: Axes, row: int, left: str, right: str) -> None:
    box = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.6}
    across = axes.get_yaxis_transform()
    axes.text(0, row - 0.27, left, transform=across, va="center", fontweight="bold", bbox=box, zorder=5)
    axes.text(1, row - 0.27, right, transform=across, va="center", ha="right", bbox=box, zorder=5)


def _rows_of_names(axes: Axes, rows: int) -> None:
    axes.set_ylim(rows - 0.5, -0.55)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.margins(x=0.06)
    axes.locator_params(axis="x", nbins=6)


def _seeds(said: Comparison, metric: str) -> Figure:
    measure = said.measure(metric)
    rows = [arm for arm in said.arms if said.values(arm, metric)]
    figure, axes = drawing.one_plot(ROW * max(1, len(rows)), right=SIDES, left=SIDES)
    drawing.heading(axes, shortened(f"{measure.heading}: every run", TITLE), left=SIDES)
    found = [said.values(arm, metric) for arm in rows]
    for seed in said.seeds:
        pairs = [(measure.scale * values[seed], row) for row, values in enumerate(found) if seed in values]
        axes.plot([x for x, _ in pairs], [row + 0.12 for _, row in pairs], "-", color=LINE, lw=0.8, zorder=1)
    for row, (arm, values) in enumerate(zip(rows, found, strict=True)):
        look, mean = Look.of(said.arms.index(arm)), said.mean(arm, metric)
        dots = [measure.scale * value for value in values.values()]
        axes.plot(dots, [row + 0.12] * len(dots), look.marker, color=look.colour, ms=4, alpha=0.75, mew=0)
        if mean is not None:
            _interval(axes, measure, mean, row + 0.36)
        _row_text(axes, row, said.short(arm), spread(measure, mean))
    _rows_of_names(axes, len(rows))
    drawing.keep_to_shares(axes, "x", measure.unit)
    axes.set_xlabel(measure.heading)
    return figure


def _interval(axes: Axes, measure: Measure, mean: dict[str, Any], place: float) -> None:
    low, high = finite(mean.get("low")), finite(mean.get("high"))
    if low is not None and high is not None:
        axes.plot([measure.scale * low, measure.scale * high], [place] * 2, "-", color=TEXT, lw=1.4)
    axes.plot([measure.scale * mean["mean"]], [place], "|", color=TEXT, ms=8, mew=1.8)


def _trade_off(said: Comparison, right: str, up: str) -> Figure:
    x, y = said.measure(right), said.measure(up)
    arms = [arm for arm in said.arms if said.mean(arm, right) and said.mean(arm, up)]
    height = max(2.9, drawing.GAP * (len(arms) + 1))
    figure, axes = drawing.one_plot(height, right=curves.BESIDE)
    drawing.heading(axes, shortened(f"{y.label} and {x.label}", TITLE))
    named = []
    for arm in arms:
        look = Look.of(said.arms.index(arm))
        at = [said.mean(arm, metric) or {} for metric in (right, up)]
        place = x.scale * at[0]["mean"], y.scale * at[1]["mean"]
        axes.plot(*[[value] for value in place], look.marker, color=look.colour, zorder=4)
        for measure, mean, upright in ((x, at[0], False), (y, at[1], True)):
            low, high = finite(mean.get("low")), finite(mean.get("high"))
            if low is not None and high is not None:
                ends = [measure.scale * low, measure.scale * high]
                other = [place[0] if upright else place[1]] * 2
                across, along = (other, ends) if upright else (ends, other)
                axes.plot(across, along, "-", color=look.colour, lw=1.1, alpha=0.8, zorder=3)
        named.append(Named(*place, said.short(arm), look))
    axes.margins(0.08)
    drawing.keep_to_shares(axes, "x", x.unit)
    drawing.keep_to_shares(axes, "y", y.unit)
    drawing.names_at_right(axes, height, named)
    axes.set_xlabel(one_line(x.heading))
    axes.set_ylabel(one_line(y.heading))
    return figure
