"""Numbers inside the sentences of a page."""

from typing import Any

import pytest

import sentences
from torchdiscern.lab.comparison_report.reading import Comparison


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
                "measures": {"accuracy": {"scale": 100, "unit": "%"}},
                "means": {"ce": {"accuracy": {"mean": 0.8149}}, "renyi": {"accuracy": {"mean": 0.82}}},
                "contrasts": [contrast | {"difference": (low + high) / 2}],
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


@pytest.mark.parametrize(("form", "said"), [("mean", "81%"), ("mean.1", "81.5%")])
def test_an_arms_own_mean(form: str, said: str) -> None:
    assert sentences.number(kept(0.1, 0.2), "clean", "ce", "accuracy", form) == said


@pytest.mark.parametrize(
    ("low", "high", "form"), [(-0.01, 0.02, "span"), (0.01, 0.02, "around"), (0.1, 0.2, "no")]
)
def test_a_sentence_that_the_interval_does_not_fit_is_an_error(low: float, high: float, form: str) -> None:
    with pytest.raises(ValueError, match=r"say: clean renyi accuracy is \[.*which the form .* does not fit"):
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
