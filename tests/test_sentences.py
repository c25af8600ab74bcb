"""Numbers inside the sentences of a page."""

from typing import Any

import pytest

import sentences
from torchdiscern.lab.comparison_report.reading import Comparison
from torchdiscern.lab.evidence import seeds_needed


def run(arm: str, seed: int, accuracy: float, **settings: float) -> dict[str, Any]:
    return {"arm": arm, "seed": seed, "metrics": {"accuracy": accuracy}, "settings": settings}


def kept(low: float, high: float, verdict: str = "undecided") -> dict[str, Comparison]:
    contrast: dict[str, Any] = {
        "arm": "renyi",
        "metric": "accuracy",
        "low": low,
        "high": high,
        "verdict": verdict,
    }
    return {
        "clean": Comparison(
            {
                "baseline": "ce",
                "arms": {"renyi": {}},
                "measures": {"accuracy": {"scale": 100, "unit": "%", "digits": 2}},
                "means": {"ce": {"accuracy": {"mean": 0.8149}}, "renyi": {"accuracy": {"mean": 0.4}}},
                "contrasts": [
                    contrast
                    | {
                        "difference": (low + high) / 2,
                        "p": 0.0434,
                        "p_holm": 0.26,
                        "spread": 0.0058,
                        "band": 0.002,
                    }
                ],
                "recipe": {"weight_decay": 0.01, "dropout": 0.0},
                "runs": [
                    run("ce", 0, 0.81, weight_decay=0.02),
                    run("ce", 1, 0.82, weight_decay=0.02),
                    run("renyi", 0, 0.83, weight_decay=0.000072),
                    run("renyi", 1, 0.81, weight_decay=0.000072),
                ],
                "checks": {
                    "ce": {"attacks": {"noise": {"images": 500, "beyond": 0.0, "robust": 0.9, "ordinary": 0.3}}}
                },
            }
        )
    }


@pytest.mark.parametrize(
    ("low", "high", "form", "said"),
    [
        (0.0123, 0.0345, "span", "1.2 to 3.5"),
        (-0.0345, -0.0123, "span", "1.2 to 3.5"),
        (0.0002, 0.0093, "span.2", "0.02 to 0.93"),
        (-0.0123, 0.0345, "around", "1.2 points below to 3.5 above"),
    ],
)
def test_an_interval_in_words(low: float, high: float, form: str, said: str) -> None:
    assert sentences.number(kept(low, high), "clean", "renyi", "accuracy", form) == said


@pytest.mark.parametrize(
    ("form", "said"), [("mean", "81%"), ("mean.1", "81.5%"), ("value.1", "81.5"), ("times", "1")]
)
def test_an_arms_own_mean(form: str, said: str) -> None:
    assert sentences.number(kept(0.1, 0.2), "clean", "ce", "accuracy", form) == said


def test_an_arms_mean_beside_the_baselines() -> None:
    # 0.83 to 0.81 under one seed, 0.81 to 0.82 under the other
    assert sentences.number(kept(0.1, 0.2), "clean", "renyi", "accuracy", "times.4") == "1.0062"


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ("gain", "+1.00 [-1.00, +3.00]"),
        ("more", "1.0"),
        ("best", "2.0"),
        ("worst.2", "1.00"),
        ("p", "0.043"),
        ("holm.2", "0.26"),
        ("seeds", str(seeds_needed(0.5, spread=0.58, band=0.2))),
    ],
)
def test_a_difference_in_words(form: str, said: str) -> None:
    assert sentences.number(kept(-0.01, 0.03), "clean", "renyi", "accuracy", form) == said


def test_a_difference_below_zero_is_less() -> None:
    assert sentences.number(kept(-0.03, 0.01), "clean", "renyi", "accuracy", "less") == "1.0"


@pytest.mark.parametrize(
    ("arm", "form", "said"),
    [
        ("renyi", "chosen.2", "7.2e-5"),
        ("ce", "chosen", "0.02"),
        ("ce", "share.1", "2.0%"),
        ("renyi", "times.4", "0.0036"),
        ("renyi", "fold", "278"),
        ("ce", "recipe", "2"),
    ],
)
def test_a_setting(arm: str, form: str, said: str) -> None:
    assert sentences.number(kept(0.1, 0.2), "clean", arm, "weight_decay", form) == said


def test_a_setting_that_no_run_changed_is_the_recipes() -> None:
    assert sentences.number(kept(0.1, 0.2), "clean", "ce", "dropout", "share") == "0%"


def test_a_setting_that_differs_between_the_runs_of_an_arm_is_an_error() -> None:
    comparisons = kept(0.1, 0.2)
    comparisons["clean"].runs[0]["settings"]["weight_decay"] = 0.5
    with pytest.raises(ValueError, match="clean ce weight_decay, which the form 'chosen' does not fit"):
        sentences.number(comparisons, "clean", "ce", "weight_decay", "chosen")


def test_what_the_checks_for_masked_gradients_turned() -> None:
    comparisons = kept(0.1, 0.2)
    assert sentences.number(comparisons, "clean", "*", "checks", "turned") == "no image"
    more = {"attacks": {"noise": {"images": 50, "beyond": 0.04, "robust": 0.7, "ordinary": 0.2}}}
    comparisons["clean"].results["checks"]["renyi"] = more
    assert sentences.number(comparisons, "clean", "*", "checks", "turned") == "at most 2 of 50 images"
    said = sentences.number(comparisons, "clean", "*", "checks", "noise")
    assert said == "70% to 90% right, where the ordinary one left 20% to 30%"


@pytest.mark.parametrize(
    ("low", "high", "form"),
    [
        (-0.01, 0.02, "span"),
        (0.01, 0.02, "around"),
        (0.1, 0.2, "no"),
        (-0.03, 0.01, "more"),
        (-0.01, 0.03, "less"),
    ],
)
def test_a_sentence_that_the_interval_does_not_fit_is_an_error(low: float, high: float, form: str) -> None:
    with pytest.raises(ValueError, match=r"say: clean renyi accuracy is .*\[.*which the form .* does not fit"):
        sentences.number(kept(low, high), "clean", "renyi", "accuracy", form)


def test_a_sentence_that_the_verdict_does_not_bear_out_is_an_error() -> None:
    assert sentences.number(kept(0.01, 0.02, "better"), "clean", "renyi", "accuracy", "span", "better")
    with pytest.raises(ValueError, match="accuracy is undecided, the page says better; mend the sentence"):
        sentences.number(kept(0.01, 0.02), "clean", "renyi", "accuracy", "span", "better")


@pytest.mark.parametrize(
    "named", [("gone", "renyi", "accuracy"), ("clean", "opl", "accuracy"), ("clean", "renyi", "few")]
)
def test_a_number_that_is_not_kept_is_an_error(named: tuple[str, str, str]) -> None:
    with pytest.raises(ValueError, match="expected a kept comparison with this arm and measure"):
        sentences.number(kept(0.1, 0.2), *named, "span")


def test_a_page_is_rewritten_between_the_marks_alone() -> None:
    page = "It gained <!-- say clean renyi accuracy span better -->9.9\nto 9<!-- end --> points, not 9."
    expected = "It gained <!-- say clean renyi accuracy span better -->1.0 to 2.0<!-- end --> points, not 9."
    assert sentences.rewritten(page, kept(0.01, 0.02, "better")) == expected
    assert sentences.rewritten(expected, kept(0.01, 0.02, "better")) == expected


def test_a_mark_that_would_end_the_paragraph_is_an_error() -> None:
    page = "- It gained\n  <!-- say clean renyi accuracy span -->1.0 to 2.0<!-- end --> points."
    with pytest.raises(ValueError, match="at the start of a line"):
        sentences.rewritten(page, kept(0.01, 0.02))
