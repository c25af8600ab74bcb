from typing import Any

import pytest

from torchdiscern.lab.demo import _contrasts
from torchdiscern.lab.tables import rows, verdicts

METRICS = {"impurity": 0.5, "coverage_divergence": 0.1, "dead_features": 2, "time_ratio": 1.5}


def results(*gains: float) -> dict[str, Any]:
    """Cross-entropy at 90, 92, 94, ... % accuracy, and arms that are better by `gains` in turn."""
    runs = []
    for seed, gain in enumerate(gains):
        base = 0.90 + 0.02 * seed
        for arm, accuracy in (("cross-entropy", base), ("paper's terms", base + gain), ("scale-free", base)):
            runs.append({"arm": arm, "seed": seed, "metrics": METRICS | {"accuracy": accuracy}})
    return {
        "settings": {"width": 64},
        "arms": {"cross-entropy": None, "paper's terms": {}, "scale-free": {}},
        "baseline": "cross-entropy",
        "runs": runs,
        "contrasts": _contrasts(runs),
    }


def test_rows() -> None:
    base, paper, _ = rows(results(0.01, 0.02, 0.03))
    assert base == ["cross-entropy", "92.00±2.00", "-", "0.500", "0.100", "2.0/64", "1.50x"]
    assert paper[1] == "94.00±3.00"
    assert paper[2] == "+2.00 [-0.48, +4.48]"  # t of 2 degrees of freedom 4.303, times 1 / sqrt 3


@pytest.mark.parametrize(
    ("gains", "says"),
    [
        (
            (0.01, 0.02, 0.03),
            "accuracy +2.00 points, give or take 2.48: no difference that 3 seeds can show",
        ),
        ((0.019, 0.02, 0.021), "raised accuracy by 2.00 points [+1.75, +2.25]"),
        ((-0.019, -0.02, -0.021), "lowered accuracy by 2.00 points [-2.25, -1.75]"),
        ((0.02,), "accuracy +2.00 points, and 1 seed(s) without a spread, which is too few to say more"),
    ],
)
def test_verdicts_say_what_was_measured(gains: tuple[float, ...], says: str) -> None:
    sentence = verdicts(results(*gains))[0]
    assert sentence.startswith(f"paper's terms: {says}")
    assert sentence.endswith("mean impurity of its features from 0.50 to 0.50.")
