"""Every measure by its name: its label and unit, which way is better, and what counts as the same."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from torchdiscern import checks

ATTACKED = 500  # test images, by default, where robust accuracy is measured
Norm = Literal["l2", "linf"]
OF_FEATURES: Mapping[Norm, Mapping[str, float]] = {
    "l2": {"1": 1.0, "2": 2.0, "4": 4.0},
    "linf": {"0.02": 0.02, "0.05": 0.05, "0.1": 0.1},
}
OF_PIXELS: Mapping[Norm, Mapping[str, float]] = {
    "l2": {"0.125": 0.125, "0.25": 0.25, "0.5": 0.5},
    "linf": {"1/255": 1 / 255, "2/255": 2 / 255, "4/255": 4 / 255},
}


@dataclass(frozen=True)
class Measure:
    """How a measure is shown and judged.

    Args:
        label: for people.
        scale: what a value is multiplied by to be shown: 100 for shares.
        unit: after that; empty where there is none.
        digits: after the point, as shown.
        better: +1 where more is better, -1 where less is, 0 where neither is.
        band: of practical equivalence, in the measure's own unit before scaling: differences inside do not
            matter. None where no difference is judged.
    """

    label: str
    scale: float
    unit: str
    digits: int
    better: Literal[-1, 0, 1]
    band: float | None


def _share(label: str, better: Literal[-1, 0, 1] = 1, band: float | None = 0.002, digits: int = 2) -> Measure:
    return Measure(label, 100, "%", digits, better, band)


DETECTORS = {
    "own": "own probability",
    "cross_validated": "cross-validated probability",
    "means_frozen": "class means of frozen features",
    "means": "class means of trained features",
    "evidence": "evidence of the features",
}
# Bands. Shares of images, and chances of one: two in a thousand, as for accuracy, whatever they are taken over;
# the first hundred a whole image. Likelihood and divergence: 0.01 nats, one percent of a likelihood. Impurity, in
# [0, 1]: 0.01. Dead features: half a feature. Time and memory have no band of their own, as one that fits depends
# on their size: see `relative_band`.
MEASURES: Mapping[str, Measure] = {
    "accuracy": _share("accuracy"),
    "accuracy_macro": _share("macro accuracy"),
    "negative_log_likelihood": Measure("negative log-likelihood", 1, "nats", 3, -1, 0.01),
    "calibration_error": _share("calibration error", -1),
    "k_feature_accuracy_": _share("{}-feature accuracy"),
    "accuracy_without_": _share("accuracy without {}% of the features"),
    "few_shot_accuracy": _share("few-shot accuracy on held-out classes"),
    "ood_auroc": _share("out-of-distribution AUROC, probability"),
    "ood_auroc_logit": _share("out-of-distribution AUROC, logit"),
    "robust_l2_": _share("robust accuracy, L2 {}"),
    "robust_linf_": _share("robust accuracy, L-infinity {}"),
    "impurity": Measure("impurity (Gini)", 1, "", 3, -1, 0.01),
    "impurity_renyi": Measure("impurity (Renyi)", 1, "", 3, -1, 0.01),
    "coverage_divergence": Measure("coverage divergence", 1, "nats", 3, -1, 0.01),
    "dead_features": Measure("dead features", 1, "", 1, -1, 0.5),
    **{f"wrong_auroc_{name}": _share(f"wrong labels found (AUROC), {one}") for name, one in DETECTORS.items()},
    **{
        f"wrong_p100_{name}": _share(f"wrong labels among the first 100, {one}", band=0.01, digits=1)
        for name, one in DETECTORS.items()
    },
    "step_ms": Measure("step time", 1, "ms", 2, -1, None),
    "memory_mb": Measure("memory kept for the gradient", 1, "MB", 0, -1, None),
}
RELATIVE = {"step_ms": 0.02, "memory_mb": 0.02}


def measure_of(name: str) -> Measure:
    """The measure of a name, `robust_l2_0.5` by its prefix `robust_l2_`.

    Raises:
        ValueError: no such measure; the nearest names are given.

    Example:
        >>> measure_of("k_feature_accuracy_5").label
        '5-feature accuracy'
    """
    if name in MEASURES and not name.endswith("_"):
        return MEASURES[name]
    for prefix, found in MEASURES.items():
        rest = name.removeprefix(prefix)
        if prefix.endswith("_") and rest and rest != name:
            return replace(found, label=found.label.format(rest))
    raise ValueError(
        f"name: no measure is called {name!r}, expected one of measures.MEASURES; "
        f"{checks.nearest(name, list(MEASURES))}"
    )


def relative_band(name: str, value: float) -> float | None:
    """The band of practical equivalence beside a value: the measure's own, or 2% of step time and of memory.

    Args:
        name: of the measure.
        value: the baseline's mean, in the measure's own unit.

    Example:
        >>> relative_band("step_ms", 50.0), relative_band("accuracy", 0.8)
        (1.0, 0.002)
    """
    return RELATIVE[name] * abs(value) if name in RELATIVE else measure_of(name).band
