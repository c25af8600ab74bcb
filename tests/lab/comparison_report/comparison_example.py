"""Results of a made-up comparison, for the tests of what shows them."""

import random
from functools import cache
from statistics import fmean, stdev
from typing import Any

SHARE = {"scale": 100, "unit": "%", "digits": 2, "better": 1, "band": 0.002}
MEASURES: dict[str, dict[str, Any]] = {
    "accuracy": {"label": "accuracy", **SHARE},
    "accuracy_macro": {"label": "macro accuracy", **SHARE},
    "negative_log_likelihood": {
        "label": "negative log-likelihood",
        "scale": 1,
        "unit": "",
        "digits": 3,
        "better": -1,
        "band": None,
    },
    "calibration_error": {"label": "calibration error", **SHARE, "better": -1},
    "k_feature_accuracy_1": {"label": "1-feature accuracy", **SHARE},
    "k_feature_accuracy_5": {"label": "5-feature accuracy", **SHARE},
    "k_feature_accuracy_20": {"label": "20-feature accuracy", **SHARE},
    "accuracy_without_50": {"label": "accuracy without 50% of the features", **SHARE},
    "accuracy_without_80": {"label": "accuracy without 80% of the features", **SHARE},
    "accuracy_without_90": {"label": "accuracy without 90% of the features", **SHARE},
    "few_shot_accuracy": {"label": "few-shot accuracy", **SHARE},
    "ood_auroc": {"label": "OOD AUROC", **SHARE},
    "robust_l2_1": {"label": "robust accuracy, L2 1", **SHARE},
    "robust_l2_2": {"label": "robust accuracy, L2 2", **SHARE},
    "robust_linf_0.02": {"label": "robust accuracy, L-infinity 0.02", **SHARE},
    "robust_linf_0.05": {"label": "robust accuracy, L-infinity 0.05", **SHARE},
    "impurity": {"label": "impurity (Gini)", "scale": 1, "unit": "", "digits": 3, "better": -1, "band": None},
    "coverage_divergence": {"label": "coverage divergence", "scale": 1, "unit": "", "digits": 3, "better": -1},
    "dead_features": {"label": "dead features", "scale": 1, "unit": "", "digits": 1, "better": 0, "band": None},
    "wrong_auroc_own": {"label": "wrong labels found (AUROC), own probability", **SHARE},
    "wrong_p100_own": {"label": "wrong labels among the first 100, own probability", **SHARE},
    "step_ms": {"label": "step time", "scale": 1, "unit": "ms", "digits": 2, "better": -1, "band": None},
    "memory_mb": {"label": "memory", "scale": 1, "unit": "MB", "digits": 0, "better": -1, "band": None},
}
LEVELS = {
    "accuracy": 0.83,
    "negative_log_likelihood": 0.7,
    "calibration_error": 0.05,
    "k_feature_accuracy_1": 0.21,
    "k_feature_accuracy_5": 0.55,
    "accuracy_without_80": 0.7,
    "accuracy_without_90": 0.55,
    "robust_l2_1": 0.6,
    "robust_l2_2": 0.33,
    "robust_linf_0.02": 0.5,
    "robust_linf_0.05": 0.2,
    "impurity": 0.89,
    "coverage_divergence": 0.05,
    "dead_features": 3.0,
    "wrong_p100_own": 0.64,
    "step_ms": 4.2,
    "memory_mb": 812.0,
}
TITLES = {
    "ce": "cross-entropy",
    "gini": "the paper's terms (Gini, KL)",
    "renyi": "scale-free Renyi",
    "renyi-memory": "scale-free Renyi with memory",
    "smoothing": "label smoothing",
    "penalty": "confidence penalty",
    "dropout": "dropout",
    "centre": "centre loss",
    "supcon": "supervised contrastive",
    "arcface": "ArcFace",
    "etf": "fixed simplex classifier",
    "cleaning": "cleaning, then cross-entropy",
}
T_OF_9 = 2.262


def example(
    arms: int | list[str] = 10,
    seeds: int = 10,
    tune: int = 20,
    metrics: list[str] | None = None,
) -> dict[str, Any]:
    """Ten arms of which "renyi" is far better by few features and undecided in accuracy."""
    names = arms if isinstance(arms, list) else [*TITLES, *(f"arm-{index}" for index in range(99))][:arms]
    chosen = metrics if metrics is not None else list(MEASURES)
    runs = [
        {
            "arm": arm,
            "seed": seed,
            "metrics": {metric: _value(arm, index, seed, metric) for metric in chosen},
            "settings": {"arm": arm, "learning_rate": 0.01 * (index + 1)},
            "best_epoch": 30 + index,
            "seconds": 6.1 + 0.01 * seed,
            "machine": 0,
        }
        for index, arm in enumerate(names)
        for seed in range(seeds)
    ]
    means = {arm: {metric: _mean(runs, arm, metric) for metric in chosen} for arm in names}
    contrasts = [_contrast(runs, arm, names[0], metric) for arm in names[1:] for metric in chosen]
    tuning = {arm: _trials(arm, tune) for arm in names} if tune else {}
    return {
        "format": 1,
        "name": "caltech101-head",
        "about": "A trained layer on frozen EfficientNet-Lite0 features of Caltech-101.",
        "recipe": {"data": "caltech101", "model": "head", "epochs": 40, "learning_rate": 0.01, "arm": "ce"},
        "baseline": names[0],
        "arms": {
            arm: {
                "settings": {"arm": arm},
                "title": TITLES.get(arm, arm),
                "tuned": {"learning_rate": 0.01 * (index + 1), "weight_decay": 0.00012} if tune else None,
            }
            for index, arm in enumerate(names)
        },
        "seeds": list(range(seeds)),
        "tune": tune,
        "tuning_seeds": [10000],
        "band": 0.002,
        "named": ["renyi", "k_feature_accuracy_5"] if "renyi" in names and len(chosen) > 5 else None,
        "runs": runs,
        "contrasts": contrasts,
        "means": means,
        "tuning": tuning,
        "measures": {metric: MEASURES[metric] for metric in chosen},
        "failed": [],
        "command": f"torchdiscern compare caltech101-head --arms {','.join(names)} --seeds {seeds} --tune {tune}",
        "versions": {"python": "3.11.9", "torchdiscern": "0.4.0", "torch": "2.9.0"},
        "machines": [{"processor": "AMD EPYC 7763", "cores": 2, "torch_threads": 1, "system": "Linux x86_64"}],
        "started": "2026-01-02T03:04:05+00:00",
        "finished": "2026-01-02T04:16:05+00:00",
        "hours": 1.2,
    }


@cache
def _value(arm: str, index: int, seed: int, metric: str) -> float:
    level = LEVELS.get(metric, 0.8)
    size = 0.01 if level < 1 else 0.05 * level
    shared = random.Random(f"{seed} {metric}").gauss(0, size)
    value = level + shared + random.Random(f"{arm} {seed} {metric}").gauss(0, size / 2)
    value += size * random.Random(f"{arm} {metric}").gauss(0, 1) * (index > 0)
    if arm.startswith("renyi"):
        value += {"k_feature_accuracy_5": 0.13, "impurity": -0.3}.get(metric, 0.0)
    return value


def _of(runs: list[dict[str, Any]], arm: str, metric: str) -> list[float]:
    return [run["metrics"][metric] for run in runs if run["arm"] == arm]


def _mean(runs: list[dict[str, Any]], arm: str, metric: str) -> dict[str, Any]:
    values = _of(runs, arm, metric)
    if len(values) < 2:
        return {"mean": fmean(values), "deviation": None, "low": None, "high": None, "seeds": len(values)}
    middle, deviation = fmean(values), stdev(values)
    half = T_OF_9 * deviation / len(values) ** 0.5
    return {
        "mean": middle,
        "deviation": deviation,
        "low": middle - half,
        "high": middle + half,
        "seeds": len(values),
    }


def _contrast(runs: list[dict[str, Any]], arm: str, baseline: str, metric: str) -> dict[str, Any]:
    pairs = zip(_of(runs, arm, metric), _of(runs, baseline, metric), strict=True)
    differences = [value - base for value, base in pairs]
    found: dict[str, Any] = {"arm": arm, "baseline": baseline, "metric": metric, "seeds": len(differences)}
    unknown = (
        "spread low high boot_low boot_high p p_permutation p_holm probability probability_low probability_high"
    )
    found |= dict.fromkeys(unknown.split())
    found |= {"difference": fmean(differences), "verdict": "too few seeds", "band": MEASURES[metric].get("band")}
    if len(differences) < 2:
        return found
    middle, spread = fmean(differences), stdev(differences)
    half = T_OF_9 * spread / len(differences) ** 0.5
    p = min(1.0, 0.05 * (half / abs(middle)) ** 3)
    low, high, band = middle - half, middle + half, found["band"] or 0.0
    better = MEASURES[metric]["better"]
    verdict = "undecided"
    if low > band or high < -band:
        verdict = ("higher" if low > 0 else "lower") if not better else "better" if low * better > 0 else "worse"
    elif -band <= low and high <= band:
        verdict = "equivalent"
    return found | {
        "spread": spread,
        "low": low,
        "high": high,
        "boot_low": low * 0.98,
        "boot_high": high * 0.98,
        "p": p,
        "p_permutation": p,
        "p_holm": min(1.0, 20 * p),
        "probability": 0.8,
        "probability_low": 0.55,
        "probability_high": 0.97,
        "verdict": verdict if len(differences) >= 5 else "too few seeds",
    }


def _trials(arm: str, number: int) -> list[dict[str, Any]]:
    drawn = random.Random(arm)
    return [
        {
            "trial": trial,
            "value": None if trial == 3 else 0.8 + drawn.gauss(0, 0.02),
            "settings": {"learning_rate": 0.01 * 1.1**trial},
        }
        for trial in range(number)
    ]
