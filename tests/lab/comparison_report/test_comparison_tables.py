"""The result of a comparison in the terminal, in Markdown, as CSV and in words."""

import csv
import io
import math
from typing import Any

import pytest
from comparison_example import example
from rich.console import Console

from torchdiscern.lab.comparison_report import as_markdown, csv_text, result_table
from torchdiscern.lab.comparison_report.reading import shortened
from torchdiscern.lab.comparison_report.words import headline, limits


def printed(results: dict[str, Any], width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(result_table(results))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def contrast_of(results: dict[str, Any], arm: str, metric: str) -> dict[str, Any]:
    return next(one for one in results["contrasts"] if (one["arm"], one["metric"]) == (arm, metric))


@pytest.mark.parametrize("arms", [1, 2, 12, 25])
@pytest.mark.parametrize("seeds", [1, 3, 10])
def test_fits_the_terminal(arms: int, seeds: int) -> None:
    assert Console(width=1000).measure(result_table(example(arms, seeds))).maximum <= 100
    lines = printed(example(arms, seeds)).splitlines()
    assert all(len(line) <= 100 for line in lines)
    assert not any("…" in line for line in lines)


def test_terminal_shows_the_numbers() -> None:
    results = example(12)
    shown = printed(results)
    for metric in ("accuracy", "k_feature_accuracy_5", "robust_l2_2"):
        one = contrast_of(results, "renyi", metric)
        assert f"{100 * one['difference']:+.2f} {one['verdict']}" in shown
        assert f"[{100 * one['low']:+.2f}, {100 * one['high']:+.2f}]" in shown
    mean = results["means"]["renyi"]["accuracy"]
    assert f"{100 * mean['mean']:.2f}" in shown
    assert f"±{100 * mean['deviation']:.2f}" in shown


def test_terminal_with_hostile_names() -> None:
    shown = printed(example(["ce", "[bold]no[/bold]", "x" * 80, "[/]", "🐢\n"], 3))
    assert "[bold]no[/bold]" in shown
    assert "[/]" in shown
    assert all(len(line) <= 100 for line in shown.splitlines())


def test_markdown() -> None:
    results = example(12)
    header, ruler, *rows = as_markdown(results).splitlines()
    assert header.startswith(
        "| arm | accuracy, % | accuracy: difference, points | 5-feature accuracy: difference, points"
    )
    assert ruler.count("|") == header.count("|")
    one, mean = contrast_of(results, "renyi", "accuracy"), results["means"]["renyi"]["accuracy"]
    cells = rows[2].strip("| ").split(" | ")
    assert cells[0] == "scale-free Renyi"
    assert cells[1] == f"{100 * mean['mean']:.2f} ±{100 * mean['deviation']:.2f}"
    ends = f"[{100 * one['low']:+.2f}, {100 * one['high']:+.2f}]"
    assert cells[2] == f"{100 * one['difference']:+.2f} {ends} {one['verdict']}"
    assert cells[-1] == "10"
    assert (
        as_markdown(results, ["impurity"]).splitlines()[0]
        == "| arm | impurity (Gini) | impurity (Gini): difference | seeds |"
    )


def test_markdown_with_hostile_names() -> None:
    table = as_markdown(example(["ce", "a|b", "<img src=x>", "*b*", "[a](http://b)", "`c`\n"], 3))
    assert len(table.splitlines()) == 8
    assert "a\\|b" in table
    assert "<img" not in table
    assert "\\*b\\*" in table
    assert "](" not in table


def test_csv() -> None:
    results = example(3, 2)
    results["runs"][0]["metrics"]["accuracy"] = None
    results["runs"][1]["metrics"]["accuracy"] = math.nan
    results["runs"][2]["settings"]["head"] = [512, True]
    rows = list(csv.DictReader(io.StringIO(csv_text(results))))
    assert len(rows) == 6
    assert [row["accuracy"] for row in rows[:2]] == ["", ""]
    for row, run in zip(rows[2:], results["runs"][2:], strict=True):
        assert (row["arm"], int(row["seed"])) == (run["arm"], run["seed"])
        assert all(float(row[name]) == value for name, value in run["metrics"].items())
        assert float(row["settings.learning_rate"]) == run["settings"]["learning_rate"]
    assert rows[2]["settings.head"] == "[512, true]"
    assert rows[3]["settings.head"] == ""
    assert "settings.arm" not in rows[0]


def test_headline_begins_with_what_was_named() -> None:
    results = example(12)
    first, *others = headline(results)
    assert first.startswith("Scale-free Renyi: better on 5-feature accuracy (+12.66 points [+12.06, +13.27]); ")
    assert others[0].startswith("5-feature accuracy, compared with cross-entropy: better: scale-free Renyi, ")
    assert others[1].startswith("Accuracy, compared with cross-entropy: better: ")
    results["named"] = None
    assert headline(results)[0].startswith("Accuracy, compared with cross-entropy: ")


@pytest.mark.parametrize(
    ("verdict", "says"),
    [
        ("better", "Scale-free Renyi: better on accuracy (+0.31 points [-0.20, +0.80])."),
        ("worse", "Scale-free Renyi: worse on accuracy (+0.31 points [-0.20, +0.80])."),
        ("equivalent", "Scale-free Renyi: accuracy: equivalent (+0.31 points [-0.20, +0.80])."),
        ("undecided", "Scale-free Renyi: accuracy: undecided (+0.31 points [-0.20, +0.80])."),
        ("higher", "Scale-free Renyi: accuracy: higher (+0.31 points [-0.20, +0.80])."),
        ("too few seeds", "Scale-free Renyi: too few seeds to say (accuracy +0.31 points [-0.20, +0.80])."),
        (None, "Scale-free Renyi: too few seeds to say (accuracy +0.31 points [-0.20, +0.80])."),
    ],
)
def test_verdicts_in_words(verdict: str | None, says: str) -> None:
    results = example(["ce", "renyi"], metrics=["accuracy"])
    results["contrasts"][0] |= {"difference": 0.0031, "low": -0.002, "high": 0.008, "verdict": verdict}
    assert headline(results) == [says]


def test_few_seeds_make_one_sentence() -> None:
    results = example(3, 2)
    assert headline(results | {"named": None}) == [
        "Too few seeds to say what helps: 2 seeds, and a verdict takes 5."
    ]
    assert headline(results)[0].startswith("Scale-free Renyi: too few seeds to say (5-feature accuracy +")


def test_a_named_contrast_that_is_missing_is_said_to_be() -> None:
    results = example(12)
    results["contrasts"] = [one for one in results["contrasts"] if one["metric"] != "k_feature_accuracy_5"]
    assert (
        headline(results)[0]
        == "Scale-free Renyi, 5-feature accuracy: named before the runs, but nothing to compare."
    )


def test_limits_speak_of_tuning_and_seeds() -> None:
    assert any("had 1 trial of tuning" in one for one in limits(example(2, 5, tune=1)))
    assert any(one.startswith("Nothing was tuned") for one in limits(example(2, 5, tune=0)))
    assert any(one.startswith("4 seeds: below 5") for one in limits(example(2, 4)))
    assert not any("below 5" in one for one in limits(example(2, 5)))


def test_shortened() -> None:
    assert shortened("short", 5) == "short"
    assert shortened("scale-free Renyi with memory", 22) == "scale-free…ith memory"
    assert all(len(shortened("x" * 80, length)) <= length for length in (3, 21, 22))
