"""The plots with a line for each arm: attacks by radius, features removed, tuning by trial."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from torchdiscern.lab.comparison_report import drawing
from torchdiscern.lab.comparison_report.drawing import Look, Named
from torchdiscern.lab.comparison_report.reading import Comparison, Measure, finite, shortened

BESIDE = 1.85  # inches right of the axes, for the names


def norm_name(norm: str) -> str:
    return {"l2": "L2", "linf": "L-infinity", "l1": "L1"}.get(norm, norm)


def robust(said: Comparison, norm: str, radii: Mapping[float, str]) -> Figure:
    """Accuracy by radius of the attack."""
    along = _from_zero(said, radii)
    figure, axes, height = _axes(said)
    drawing.heading(axes, shortened(f"accuracy under attack, {norm_name(norm)}", 56))
    _means(axes, said, along, height)
    axes.set_xlabel(f"radius, {norm_name(norm)}")
    return figure


def removed(said: Comparison) -> Figure:
    """Accuracy by the share of the features that were removed."""
    along = _from_zero(said, said.removed())
    figure, axes, height = _axes(said)
    drawing.heading(axes, "accuracy with features removed")
    _means(axes, said, along, height)
    axes.set_xlabel("features removed, %")
    return figure


def tuning(said: Comparison) -> Figure:
    """Best value so far by trial."""
    measure = said.measure("accuracy")
    figure, axes, height = _axes(said)
    drawing.heading(axes, "tuning: best so far")
    named, ends = [], []
    for arm, trials in said.tuned().items():
        look = Look.of(said.arms.index(arm))
        numbers = [trial + 1 for trial, _ in trials]
        best, highest = [], trials[0][1]
        for _, value in trials:
            highest = max(highest, value)
            best.append(measure.scale * highest)
        axes.plot(
            numbers,
            best,
            color=look.colour,
            linestyle=look.dashes,
            lw=1.4,
            marker=look.marker,
            ms=3.5,
            markevery=max(1, len(numbers) // 5),
            drawstyle="steps-post",
        )
        named.append(Named(numbers[-1], best[-1], said.short(arm), look))
        ends.append(numbers[-1])
    axes.set_xlim(0.5, max(ends) + 0.5)
    axes.locator_params(axis="x", integer=True)
    drawing.names_at_right(axes, height, named)
    axes.set_xlabel("trial")
    axes.set_ylabel(_validation(measure))
    return figure


def _validation(measure: Measure) -> str:
    return f"validation accuracy{', ' + measure.unit if measure.unit else ''}"


def _axes(said: Comparison) -> tuple[Figure, Axes, float]:
    height = max(2.9, drawing.GAP * (len(said.arms) + 1))
    return *drawing.one_plot(height, right=BESIDE), height


def _from_zero(said: Comparison, measures: Mapping[float, str]) -> dict[float, str]:
    """With plain accuracy at 0, where nothing else was measured there."""
    start = {0.0: "accuracy"} if "accuracy" in said.measures else {}
    return dict(sorted((start | dict(measures)).items()))


def _means(axes: Axes, said: Comparison, along: Mapping[float, str], height: float) -> None:
    """A line an arm through its means, moved a little aside so that the intervals do not cover each other."""
    measure = said.measure(list(along.values())[-1])
    arms = [arm for arm in said.arms if any(said.mean(arm, metric) for metric in along.values())]
    reach = max(along) - min(along) or 1.0
    step = min(0.006, 0.07 / max(1, len(arms))) * reach
    named = []
    for index, arm in enumerate(arms):
        look = Look.of(said.arms.index(arm))
        aside = step * (index - (len(arms) - 1) / 2)
        places: list[float] = []
        means: list[float] = []
        for x, metric in along.items():
            mean = said.mean(arm, metric)
            if mean is None:
                continue
            places.append(x + aside)
            means.append(measure.scale * mean["mean"])
            low, high = finite(mean.get("low")), finite(mean.get("high"))
            if low is not None and high is not None:
                _upright(axes, places[-1], [measure.scale * low, measure.scale * high], look)
        axes.plot(places, means, color=look.colour, linestyle=look.dashes, marker=look.marker, lw=1.2, ms=4)
        named.append(Named(places[-1], means[-1], said.short(arm), look))
    axes.margins(x=0.04, y=0.05)
    drawing.keep_to_shares(axes, "y", measure.unit)
    axes.set_xticks(list(along))
    axes.set_xticklabels([_tick(value, metric) for value, metric in along.items()])
    drawing.names_at_right(axes, height, named)
    axes.set_ylabel(f"accuracy{', ' + measure.unit if measure.unit else ''}")


def _tick(value: float, metric: str) -> str:
    """Radii of pixels as their measure has them: 4/255 and not 0.0156863."""
    named = metric.rpartition("_")[2]
    return named if "/" in named else f"{value:g}"


def _upright(axes: Axes, place: float, ends: Sequence[float], look: Look) -> None:
    axes.plot([place] * 2, ends, "-", color=look.colour, lw=0.9, alpha=0.75)
