"""The evidence in one picture a question."""

import json
from typing import Any

import pytest

import evidence
import overview
from torchdiscern.lab.comparison_report.drawing import PAPER, svg
from torchdiscern.lab.comparison_report.reading import Comparison

TOLD_ELSEWHERE = {"caltech101-head-wrong-30", "caltech101-detectors"}  # a first run of another; wrong labels


def comparison(difference: float, seeds: int = 5, verdict: str = "undecided") -> Comparison:
    contrasts: list[dict[str, Any]] = [
        {"arm": "renyi", "difference": difference, "low": difference - 0.01, "high": difference + 0.01},
        {"arm": "gini", "difference": 0.001, "low": -0.01, "high": 0.012},
        {"arm": "opl", "difference": 0.02, "low": 0.0, "high": 0.04},
        {"arm": "centre", "difference": 0.03, "low": 0.0, "high": 0.06},
    ]
    runs = [
        {"arm": arm, "seed": seed, "metrics": {"accuracy": 0.8}}
        for arm in ("ce", "renyi", "gini", "opl", "centre")
        for seed in range(seeds)
    ]
    return Comparison(
        {
            "baseline": "ce",
            "arms": {arm: {} for arm in ("renyi", "gini", "opl", "centre")},
            "runs": runs,
            "measures": {"accuracy": {"label": "accuracy", "scale": 100, "unit": "%", "digits": 2}},
            "contrasts": [one | {"metric": "accuracy", "verdict": verdict} for one in contrasts],
        }
    )


def drawn(kept: dict[str, Comparison]) -> str:
    return svg(overview.draw(kept)["accuracy"], "test")


def test_a_setting_shows_its_name_and_the_highest_of_the_other_arms() -> None:
    shown = drawn({"caltech101-head-30": comparison(0.01)})
    assert "layer, tuned: clean labels" in shown
    assert "rival: centre [+0.0, +6.0] undecided" in shown
    assert "layer, tuned: 5 images a class" not in shown


def test_a_comparison_of_few_seeds_is_left_out_however_many_are_planned() -> None:
    begun = comparison(0.01, seeds=4)
    begun.seeds = [0, 1, 2, 3, 4]
    kept = {"caltech101-head-30": comparison(0.01), "cifar100-clean": begun}
    assert list(overview.draw(kept)) == ["accuracy"]


@pytest.mark.parametrize("verdict", ["better", "worse", "undecided", "equivalent"])
def test_a_mark_is_filled_where_the_verdict_is_a_difference_half_where_it_is_equality(verdict: str) -> None:
    figure = overview.draw({"caltech101-head-30": comparison(0.01, verdict=verdict)})["accuracy"]
    marks = [line for line in figure.axes[0].get_lines() if line.get_marker() in ("o", "s")]
    assert [mark.get_xdata()[0] for mark in marks] == [1.0, 0.1]  # type: ignore[index]
    fills = {(mark.get_fillstyle(), mark.get_markerfacecolor() == PAPER) for mark in marks}
    expected = {"undecided": ("full", True), "equivalent": ("left", False)}
    assert fills == {expected.get(verdict, ("full", False))}


def test_every_setting_that_is_kept_is_on_the_page() -> None:
    settings = {setting.comparison for setting in overview.SETTINGS}
    for name, said in evidence.everything().items():
        arms = json.dumps(said.arms)
        assert name in settings | TOLD_ELSEWHERE, f"{name} ({arms}) is in no picture"
