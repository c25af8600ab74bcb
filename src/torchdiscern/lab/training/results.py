"""A run's numbers as a table."""

from typing import Any

from rich import box
from rich.markup import escape
from rich.table import Table

ROWS = [
    ("accuracy, %", "accuracy", 100, 2),
    ("accuracy, mean of classes, %", "accuracy_macro", 100, 2),
    ("negative log-likelihood", "negative_log_likelihood", 1, 4),
    ("calibration error, points", "calibration_error", 100, 2),
    ("impurity (Gini)", "impurity", 1, 4),
    ("impurity (Renyi)", "impurity_renyi", 1, 4),
    ("coverage divergence", "coverage_divergence", 1, 4),
    ("dead features", "dead_features", 1, 0),
]
PARTS = {"validation": "val", "test": "test"}


def rows(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows: validation and test, at the best validation epoch and at the last."""
    columns = [
        (f"{which}, {short}", result[which][part])
        for which in ("best", "last")
        for part, short in PARTS.items()
        if result[which][part] is not None
    ]
    body = [
        [label, *(f"{scale * found[key]:.{digits}f}" for _, found in columns)]
        for label, key, scale, digits in ROWS
    ]
    for k in columns[0][1]["k_feature_accuracy"] if columns else []:
        body.append([_few(k), *(f"{100 * found['k_feature_accuracy'][k]:.2f}" for _, found in columns)])
    return ["", *(name for name, _ in columns)], body


def result_table(result: dict[str, Any]) -> Table:
    """The same for the terminal."""
    header, body = rows(result)
    title = (
        f"{result['data']}: {result['model']}, {result['arm']}, seed {result['seed']}; "
        f"best: epoch {result['best']['epoch']}, last: {result['last']['epoch']}"
    )
    table = Table(title=escape(title), box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left", no_wrap=not number)
    for cells in body:
        table.add_row(*cells)
    return table


def measured_table(title: str, found: dict[str, Any]) -> Table:
    """One measurement for the terminal."""
    table = Table(title=escape(title), box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column(f"{found['images']:,} images", no_wrap=True)
    table.add_column("", justify="right")
    for label, key, scale, digits in ROWS:
        table.add_row(label, f"{scale * found[key]:.{digits}f}")
    for k, value in found["k_feature_accuracy"].items():
        table.add_row(_few(k), f"{100 * value:.2f}")
    return table


def _few(k: str) -> str:
    return f"accuracy by {k} feature{'s' if k != '1' else ''}, %"


def as_markdown(result: dict[str, Any]) -> str:
    """The same for a page."""
    header, body = rows(result)
    lines = [header, ["---", *("---:" for _ in header[1:])], *body]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
