"""What shows the result of a comparison: a page that loads nothing, plots, tables. It reads, and never trains."""

import re
from collections.abc import Mapping
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from torchdiscern.lab.comparison_report import drawing, plots, words
from torchdiscern.lab.comparison_report.plots import draw, save
from torchdiscern.lab.comparison_report.reading import (
    TOO_FEW,
    UNKNOWN,
    Comparison,
    count,
    finite,
    one_line,
    spread,
    verdict_of,
)
from torchdiscern.lab.comparison_report.tables import as_markdown, csv_text, result_table
from torchdiscern.lab.files import make_folder, write_atomically

__all__ = ["as_markdown", "csv_text", "draw", "result_table", "save", "write_comparison"]

UNKNOWN_CODE = "an unknown one"
_templates = Environment(
    loader=PackageLoader(__package__, "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ABOUT_RUN = ("best_epoch", "seconds", "machine")


def write_comparison(results: Mapping[str, Any], out: Path, report_command: str = "") -> Path:
    """Writes `comparison.html`, one file that loads nothing, into `out`.

    Args:
        results: as in `results.json`; what is absent or null there is left out, or said to be unknown.
        out: a folder; is made where it is missing.
        report_command: what shows the networks' features; empty where their weights are not kept.

    Returns:
        The page.

    Example:
        >>> import tempfile
        >>> runs = [{"arm": "ce", "seed": 0, "metrics": {"accuracy": 0.8}}]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_comparison({"baseline": "ce", "runs": runs}, Path(folder)).name
        'comparison.html'
    """
    said = Comparison(results)
    shown = plots.captions(results)
    figures = [
        {
            "name": name,
            "caption": shown[name],
            "svg": Markup(drawing.for_page(drawing.svg(figure, name), _id(name), str(escape(shown[name])))),
        }
        for name, figure in plots.draw(results).items()
        if name != "differences"  # its parts stand on the page one by one, so that a phone can show them
    ]
    page = _templates.get_template("page.html.j2").render(
        said=said,
        style=Markup((resources(__package__) / "style.css").read_text()),
        about=one_line(results.get("about") or ""),
        headline=words.headline(results),
        arm_by_arm=words.arm_by_arm(results),
        limits=words.limits(results),
        seeds=words.seeds_in_words(said),
        figures=figures,
        checks=_checks(said, results.get("checks") or {}),
        means=_means(said),
        contrasts=_contrasts(said),
        arms=_arms(said),
        tuned=_tuned(said),
        runs=_runs(said),
        recipe={name: _value(value) for name, value in (results.get("recipe") or {}).items()},
        failed=[
            {
                "arm": _arm(said, one.get("arm", "")),
                "seed": one.get("seed"),
                "why": one_line(one.get("why") or ""),
            }
            for one in results.get("failed") or []
        ],
        made=_made(results),
        report_command=report_command.encode("utf-8", "replace").decode(),
    )
    make_folder(out, "out")
    write_atomically(out / "comparison.html", page)
    return out / "comparison.html"


def _id(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9-]+", "-", name)


def _arm(said: Comparison, arm: str) -> dict[str, str]:
    """Title, and the name by which a command knows the arm where that is another."""
    title, name = said.title(arm), one_line(arm)
    return {"title": title, "name": name if name != title else ""}


def _checks(said: Comparison, checks: Mapping[str, Any]) -> dict[str, Any] | None:
    """What other attacks said of each arm's network; one column for the worst made on other arms'."""
    if not checks:
        return None
    some = next(iter(checks.values()))
    names = {"more_steps": "more steps", "decision": "by decisions alone", "noise": "noise"}
    rows = []
    for arm, one in checks.items():
        attacks = one["attacks"]
        columns = [[attacks[name]] if name in attacks else [] for name in names]
        columns.append([found for name, found in attacks.items() if name.startswith("transfer_")])
        cells = [_turned(column) for column in columns]
        rows.append({"arm": _arm(said, arm), "robust": f"{100 * one['robust']:.1f}%", "cells": cells})
    return {
        "attacks": [*names.values(), "made on other arms"],
        "where": f"{some['norm'].replace('l2', 'L2').replace('linf', 'L-infinity')} {some['radius']:g}",
        "tolerance": f"{100 * some['tolerance']:g}%",
        "rows": rows,
    }


def _turned(attacks: list[Mapping[str, Any]]) -> str:
    """`0.0% (68.0%)`: what they turned beyond the ordinary attack, and what they left right."""
    if not attacks:
        return UNKNOWN
    beyond, robust = (max(one["beyond"] for one in attacks), min(one["robust"] for one in attacks))
    return f"{100 * beyond:.1f}% ({100 * robust:.1f}%)"


def _means(said: Comparison) -> list[dict[str, Any]]:
    found = []
    for group, names in said.groups().items():
        measures = [said.measure(name) for name in names]
        rows = []
        for arm in said.arms:
            means = [said.mean(arm, name) for name in names]
            cells = [
                {
                    "mean": spread(measure, mean),
                    "interval": measure.interval(mean.get("low"), mean.get("high")) if mean else "",
                    "seeds": _fewer(said, mean),
                }
                for measure, mean in zip(measures, means, strict=True)
            ]
            rows.append({"arm": _arm(said, arm), "cells": cells})
        found.append({"group": group, "headings": [measure.heading for measure in measures], "rows": rows})
    return found


def _fewer(said: Comparison, mean: Mapping[str, Any] | None) -> str:
    """`9 seeds` where a mean is not over all of them."""
    seeds = count(mean.get("seeds")) if mean else None
    if seeds is None or seeds == len(said.seeds) or seeds == 1:
        return ""
    return f"{seeds} seeds"


def _contrasts(said: Comparison) -> list[dict[str, Any]]:
    """For each group its measures, for each measure its contrasts, in the order of the arms."""
    order = {arm: index for index, arm in enumerate(said.arms)}
    groups = {name: group for group, names in said.groups().items() for name in names}
    found: dict[str, dict[str, list[dict[str, Any]]]] = {group: {} for group in said.groups()}
    for one in sorted(said.contrasts, key=lambda one: order.get(one["arm"], len(order))):
        parts = found.setdefault(groups.get(one["metric"], "Further measures"), {})
        parts.setdefault(one["metric"], []).append(_contrast(said, one))
    return [
        {
            "group": group,
            "measures": [
                {"heading": _difference_heading(said, name), "rows": parts[name]}
                for name in [
                    *(name for name in said.measures if name in parts),
                    *(set(parts) - set(said.measures)),
                ]
            ],
            "many": sum(map(len, parts.values())),
        }
        for group, parts in found.items()
        if parts
    ]


def _difference_heading(said: Comparison, metric: str) -> str:
    measure = said.measure(metric)
    better = {1: "higher is better", -1: "lower is better"}.get(measure.better, "neither way is better")
    return f"{measure.label} ({'in ' + measure.of_difference + ', ' if measure.of_difference else ''}{better})"


def _contrast(said: Comparison, one: Mapping[str, Any]) -> dict[str, Any]:
    measure = said.measure(one["metric"])
    share = finite(one.get("probability"))
    ends = [finite(one.get(f"probability_{end}")) for end in ("low", "high")]
    between = f" [{ends[0]:.2f}, {ends[1]:.2f}]" if None not in ends else ""
    interval = measure.interval(one.get("low"), one.get("high"), sign=True)
    return {
        "arm": _arm(said, one["arm"]),
        "to": "" if one.get("baseline", said.baseline) == said.baseline else said.title(one["baseline"]),
        "named": said.named == (one["arm"], one["metric"]),
        "verdict": verdict_of(one),
        "kind": "few" if verdict_of(one) == TOO_FEW else verdict_of(one).split()[0],
        "difference": measure.number(one.get("difference"), sign=True),
        "interval": interval or ("one seed" if count(one.get("seeds")) == 1 else UNKNOWN),
        "bootstrap": measure.interval(one.get("boot_low"), one.get("boot_high"), sign=True) or UNKNOWN,
        "p": [_p(one.get(name)) for name in ("p", "p_permutation", "p_holm")],
        "probability": UNKNOWN if share is None else f"{share:.2f}{between}",
        "seeds": UNKNOWN if (seeds := count(one.get("seeds"))) is None else str(seeds),
    }


def _p(value: Any) -> str:
    known = finite(value)
    if known is None:
        return UNKNOWN
    return "<0.001" if known < 0.001 else f"{known:.3f}"


def _arms(said: Comparison) -> list[dict[str, Any]]:
    about = said.results.get("arms") or {}
    return [
        {
            "arm": _arm(said, arm),
            "settings": [
                f"{one_line(name)}={_value(value)}"
                for name, value in ((about.get(arm) or {}).get("settings") or {}).items()
            ],
        }
        for arm in said.arms
    ]


def _tuned(said: Comparison) -> dict[str, Any]:
    """The settings that tuning chose, beside what the recipe has."""
    about, recipe = said.results.get("arms") or {}, said.results.get("recipe") or {}
    chosen = {arm: (about.get(arm) or {}).get("tuned") or {} for arm in said.arms}
    names = list(dict.fromkeys(name for settings in chosen.values() for name in settings))
    best = {arm: max(value for _, value in trials) for arm, trials in said.tuned().items()}
    measure = said.measure("accuracy")
    rows = [
        {
            "arm": _arm(said, arm),
            "cells": [_value(chosen[arm][name]) if name in chosen[arm] else UNKNOWN for name in names],
            "best": measure.number(best.get(arm)),
        }
        for arm in said.arms
        if chosen[arm]
    ]
    return {
        "names": [one_line(name) for name in names],
        "recipe": [_value(recipe[name]) if name in recipe else UNKNOWN for name in names],
        "rows": rows,
        "best": f"best validation accuracy{', ' + measure.unit if measure.unit else ''}",
    }


def _runs(said: Comparison) -> dict[str, Any]:
    measures = [said.measure(name) for name in said.measures]
    about = [name for name in ABOUT_RUN if any(run.get(name) is not None for run in said.runs)]
    order = {arm: index for index, arm in enumerate(said.arms)}
    rows = [
        {
            "arm": _arm(said, run["arm"]),
            "seed": str(run["seed"]),
            "cells": [measure.number((run.get("metrics") or {}).get(measure.name)) for measure in measures]
            + [_value(run.get(name)) for name in about],
        }
        for run in sorted(said.runs, key=lambda run: (order.get(run["arm"], len(order)), run["seed"]))
    ]
    headings = [measure.heading for measure in measures] + [name.replace("_", " ") for name in about]
    return {"headings": headings, "rows": rows}


def _made(results: Mapping[str, Any]) -> dict[str, Any]:
    hours = finite(results.get("hours"))
    commits = [run.get("code") for run in results.get("runs") or []]
    if not all(commits):
        commits = [one.get("git") or UNKNOWN_CODE for one in results.get("sessions") or [results]]
    return {
        "command": str(results.get("command") or "").encode("utf-8", "replace").decode(),
        "versions": [
            f"{one_line(name)} {one_line(value)}" for name, value in (results.get("versions") or {}).items()
        ],
        "machines": [
            ", ".join(
                f"{one_line(name).replace('_', ' ')}: {_value(value)}" for name, value in (machine or {}).items()
            )
            for machine in results.get("machines") or []
        ],
        "git": [] if set(commits) == {UNKNOWN_CODE} else [one_line(one) for one in dict.fromkeys(commits)],
        "tuned": bool(results.get("tune")),
        "started": one_line(results.get("started") or ""),
        "finished": one_line(results.get("finished") or ""),
        "hours": "" if hours is None else f"{hours:.2f} hours" if hours >= 1 else f"{60 * hours:.1f} minutes",
    }


def _value(value: Any) -> str:
    """A setting as a reader would write it."""
    if value is None:
        return UNKNOWN
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_value, value)) or "none"
    if isinstance(value, dict):
        return ", ".join(f"{one_line(name)}: {_value(part)}" for name, part in value.items()) or "none"
    return one_line(value) or "none"
