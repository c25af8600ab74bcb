"""The result of a comparison as a table for the terminal, as Markdown and as CSV."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from torchdiscern.lab.comparison_report.reading import (
    TOO_FEW,
    UNKNOWN,
    Comparison,
    finite,
    one_line,
    shortened,
    spread,
    verdict_of,
)

COLUMNS = 100
MORE = 3  # measures beside accuracy
NAME = 18


def result_table(results: Mapping[str, Any]) -> Table:
    """A row an arm: accuracy, and its difference to the baseline's in accuracy and what else matters most.

    Args:
        results: as in `results.json`.

    Returns:
        At most 100 columns wide: measures that do not fit are left out, the last first.

    Example:
        >>> runs = [{"arm": "ce", "seed": seed, "metrics": {"accuracy": 0.8}} for seed in range(2)]
        >>> means = {"ce": {"accuracy": {"mean": 0.8, "deviation": 0.01, "seeds": 2}}}
        >>> result_table({"baseline": "ce", "runs": runs, "means": means}).row_count
        1
    """
    said = Comparison(results)
    metrics = said.key_metrics(MORE + 1)
    console = Console(width=10 * COLUMNS)
    while True:
        table = _table(said, metrics)
        if len(metrics) <= 1 or console.measure(table).maximum <= COLUMNS:
            return table
        metrics = metrics[:-1]


def _table(said: Comparison, metrics: list[str]) -> Table:
    table = Table(
        title=escape(said.name),
        caption=f"difference: paired, to {escape(shortened(one_line(said.baseline), 40))}, whose own row shows "
        "means ±standard deviation over seeds; [95% interval] and verdict",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),
    )
    table.add_column("arm", max_width=NAME, no_wrap=True, overflow="ellipsis", vertical="top")
    for index, metric in enumerate(metrics):
        measure = said.measure(metric)
        if index == 0:
            table.add_column(escape(measure.heading.replace(", ", ",\n", 1)), vertical="top")
        head = f"{measure.label},\ndifference{', ' if measure.of_difference else ''}{measure.of_difference}"
        table.add_column(escape(head), vertical="top", max_width=17)
    table.add_column("seeds", justify="right")
    for arm in said.arms:
        first = [spread(said.measure(one), said.mean(arm, one)).replace(" ", "\n", 1) for one in metrics[:1]]
        cells = [*first, *(_lines(_cell(said, arm, metric, index == 0)) for index, metric in enumerate(metrics))]
        table.add_row(escape(shortened(one_line(arm), NAME)), *map(escape, cells), _seeds(said, arm))
    return table


def as_markdown(results: Mapping[str, Any], metrics: Sequence[str] | None = None) -> str:
    """The table of `result_table` for a page of Markdown, with the arms' titles.

    Args:
        results: as in `results.json`.
        metrics: which; the first is shown as mean and as difference, the others as difference, and the baseline's
            row shows means. By default accuracy and what else matters most.

    Example:
        >>> runs = [{"arm": "ce", "seed": seed, "metrics": {"accuracy": 0.8}} for seed in range(2)]
        >>> means = {"ce": {"accuracy": {"mean": 0.8, "deviation": 0.01, "seeds": 2}}}
        >>> print(as_markdown({"baseline": "ce", "runs": runs, "means": means}))
        | arm | accuracy | accuracy: difference | seeds |
        |---|---|---|---:|
        | ce | 0.800 ±0.010 | baseline | 2 |
    """
    said = Comparison(results)
    chosen = [name for name in metrics if name in said.measures] if metrics else said.key_metrics(MORE + 1)
    header = ["arm"]
    for index, metric in enumerate(chosen):
        measure = said.measure(metric)
        header += [measure.heading] * (index == 0)
        header.append(
            f"{measure.label}: difference{', ' if measure.of_difference else ''}{measure.of_difference}"
        )
    rows = [[*header, "seeds"]]
    for arm in said.arms:
        first = [spread(said.measure(one), said.mean(arm, one)) for one in chosen[:1]]
        cells = [" ".join(_cell(said, arm, metric, index == 0)) for index, metric in enumerate(chosen)]
        rows.append([said.title(arm), *first, *cells, _seeds(said, arm)])
    lines = ["| " + " | ".join(map(_markdown, row)) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * (len(rows[0]) - 1) + "---:|")
    return "\n".join(lines)


def csv_text(results: Mapping[str, Any]) -> str:
    """A row a run: arm, seed, every measure in its own unit, as `settings.NAME` every setting that was changed.

    Args:
        results: as in `results.json`.

    Example:
        >>> run = {"arm": "ce", "seed": 0, "metrics": {"accuracy": 0.8}, "settings": {"epochs": 2}}
        >>> print(csv_text({"baseline": "ce", "runs": [run], "recipe": {"epochs": 4}}), end="")
        arm,seed,best_epoch,seconds,machine,accuracy,settings.epochs
        ce,0,,,,0.8,2
    """
    said = Comparison(results)
    about = ("arm", "seed", "best_epoch", "seconds", "machine")
    changed = said.settings_changed()
    recipe = dict(results.get("recipe") or {})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*about, *said.measures, *(f"settings.{name}" for name in changed)])
    order = {arm: index for index, arm in enumerate(said.arms)}
    for run in sorted(said.runs, key=lambda one: (order.get(one["arm"], len(order)), one["seed"])):
        metrics, settings = run.get("metrics") or {}, run.get("settings") or {}
        writer.writerow(
            [
                *(run.get(name) for name in about),
                *(value if finite(value := metrics.get(name)) is not None else None for name in said.measures),
                *(_setting(settings.get(name, recipe.get(name))) for name in changed),
            ]
        )
    return text.getvalue()


def _setting(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list | tuple | bool) else value


def _cell(said: Comparison, arm: str, metric: str, first: bool) -> list[str]:
    """Difference, interval and verdict as far as they are known; of the baseline its mean."""
    measure = said.measure(metric)
    if arm == said.baseline:
        return ["baseline" if first else spread(measure, said.mean(arm, metric))]
    contrast = said.contrast(arm, metric)
    if contrast is None:
        return [UNKNOWN]
    difference = measure.number(contrast["difference"], sign=True)
    interval = measure.interval(contrast.get("low"), contrast.get("high"), sign=True)
    return [part for part in (difference, interval, verdict_of(contrast)) if part]


def _lines(parts: list[str]) -> str:
    """The parts below each other, in as few lines as a narrow column has room for."""
    if len(parts) == 3 and parts[2] != TOO_FEW:
        return f"{parts[0]} {parts[2]}\n{parts[1]}"
    return "\n".join(part.removesuffix(" to say").replace(" ±", "\n±") for part in parts)


def _seeds(said: Comparison, arm: str) -> str:
    return str(len({run["seed"] for run in said.runs if run["arm"] == arm}))


def _markdown(text: str) -> str:
    """Text that stays text in a cell of a table; an interval's brackets make no link by themselves."""
    for letter, written in {"&": "&amp;", "<": "&lt;", ">": "&gt;"}.items():
        text = text.replace(letter, written)
    for letter in "\\`*_|":
        text = text.replace(letter, f"\\{letter}")
    return text.replace("](", "]\\(").replace("][", "]\\[")
