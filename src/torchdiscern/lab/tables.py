"""Results as a table and in words, for the terminal and for the page."""

from statistics import fmean, stdev
from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

COLUMNS = [
    "arm",
    "accuracy, %",
    "difference, points",
    "impurity",
    "coverage divergence",
    "dead",
    "time per step",
]


def rows(results: dict[str, Any]) -> list[list[str]]:
    """The cells under `COLUMNS`, an arm a row: means over seeds, standard deviation, intervals of 95%."""
    width = results["settings"]["width"]
    return [
        [
            arm,
            _spread([100 * value for value in _values(results, arm, "accuracy")], 2),
            _difference(results, arm),
            f"{fmean(_values(results, arm, 'impurity')):.3f}",
            f"{fmean(_values(results, arm, 'coverage_divergence')):.3f}",
            f"{fmean(_values(results, arm, 'dead_features')):.1f}/{width}",
            f"{fmean(_values(results, arm, 'time_ratio')):.2f}x",
        ]
        for arm in results["arms"]
    ]


def arms_table(results: dict[str, Any]) -> Table:
    seeds = len({run["seed"] for run in results["runs"]})
    table = Table(
        title=f"{escape(results['data']['name'])}\n{results['data']['images']:,} images, "
        f"{len(results['data']['classes'])} classes, paired seeds: {seeds}",
        caption="accuracy: mean±standard deviation over seeds; difference: paired, to that of "
        "cross-entropy, [95% interval]; impurity (Gini), coverage divergence and dead features on the "
        "test images; time: ratio of a training step to cross-entropy's",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=0,
    )
    for name in COLUMNS:
        table.add_column(name.replace(" ", "\n"), vertical="bottom")
    for cells in rows(results):
        table.add_row(*cells)
    return table


def verdicts(results: dict[str, Any]) -> list[str]:
    """A sentence an arm: what it did to accuracy and to the features, and what that does not show."""
    return [_verdict(results, arm) for arm in results["arms"] if arm != results["baseline"]]


def _verdict(results: dict[str, Any], arm: str) -> str:
    accuracy, impurity = (_contrast(results, arm, metric) for metric in ("accuracy", "impurity"))
    points = 100 * accuracy["difference"]
    seeds = len({run["seed"] for run in results["runs"]})
    if accuracy["low"] is None:
        said = (
            f"accuracy {points:+.2f} points, and {seeds} seed(s) without a spread, which is too few to say more"
        )
    elif accuracy["verdict"] == "no difference shown":
        half = 50 * (accuracy["high"] - accuracy["low"])
        said = (
            f"accuracy {points:+.2f} points, give or take {half:.2f}: no difference that {seeds} seeds can show"
        )
    else:
        word = "raised" if accuracy["verdict"] == "higher" else "lowered"
        said = (
            f"{word} accuracy by {abs(points):.2f} points "
            f"[{100 * accuracy['low']:+.2f}, {100 * accuracy['high']:+.2f}]"
        )
    base = fmean(_values(results, results["baseline"], "impurity"))
    return f"{arm}: {said}; mean impurity of its features from {base:.2f} to {base + impurity['difference']:.2f}."


def _values(results: dict[str, Any], arm: str, metric: str) -> list[float]:
    return [run["metrics"][metric] for run in results["runs"] if run["arm"] == arm]


def _contrast(results: dict[str, Any], arm: str, metric: str) -> dict[str, Any]:
    found: dict[str, Any] = next(c for c in results["contrasts"] if (c["arm"], c["metric"]) == (arm, metric))
    return found


def _spread(values: list[float], digits: int) -> str:
    spread = f"±{stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{digits}f}{spread}"


def _difference(results: dict[str, Any], arm: str) -> str:
    if arm == results["baseline"]:
        return "-"
    found = _contrast(results, arm, "accuracy")
    if found["low"] is None:
        return f"{100 * found['difference']:+.2f}"
    return f"{100 * found['difference']:+.2f} [{100 * found['low']:+.2f}, {100 * found['high']:+.2f}]"
