"""What `results.json` of a comparison says, asked by arm and measure; anything in it may be absent or null."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

ENOUGH = 5  # seeds below which there is no verdict
SHORT = 22  # letters of an arm's name in plots: one length, so that an arm has one name in all of them
UNKNOWN = "-"
TOO_FEW = "too few seeds to say"
VERDICTS = {"too few seeds": TOO_FEW}

GROUPS: dict[str, str] = {
    "Accuracy": r"accuracy|accuracy_macro|negative_log_likelihood|calibration_error",
    "Few features": r"k_feature_accuracy_\d+|accuracy_without_\d+",
    "Transfer": r"few_shot_accuracy|ood_.+",
    "Robustness": r"robust_.+",
    "Wrong labels": r"wrong_.+",
    "Features": r"impurity.*|coverage_divergence|dead_features",
    "Cost": r"step_ms|memory_mb",
    "Further measures": r".*",
}

ROBUST = re.compile(r"robust_(.+)_([0-9.]+(?:/[0-9]+)?)")
WITHOUT = re.compile(r"accuracy_without_([0-9.]+)")


def finite(value: Any) -> float | None:
    """The number, None for null, NaN, infinity and what is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def one_line(text: object) -> str:
    """Text of one line: a name with line breaks or control characters would break tables and SVG."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())


def shortened(text: str, length: int) -> str:
    """At most `length` characters, the middle left out: names of arms often differ at their end."""
    if len(text) <= length:
        return text
    end = (length - 1) // 2
    return f"{text[: length - 1 - end].rstrip()}…{text[len(text) - end :].lstrip()}"


@dataclass(frozen=True)
class Measure:
    """How the numbers of one measure are shown."""

    name: str
    label: str
    scale: float = 1.0
    unit: str = ""
    digits: int = 3
    better: int = 0
    band: float | None = None

    @property
    def heading(self) -> str:
        return f"{self.label}, {self.unit}" if self.unit else self.label

    @property
    def of_difference(self) -> str:
        """The unit of a difference: between two shares it is points."""
        return "points" if self.unit == "%" else self.unit

    def number(self, value: Any, sign: bool = False) -> str:
        known = finite(value)
        if known is None:
            return UNKNOWN
        return f"{self.scale * known:{'+' if sign else ''},.{self.digits}f}"

    def interval(self, low: Any, high: Any, sign: bool = False) -> str:
        """`[low, high]`, empty where either is unknown."""
        if finite(low) is None or finite(high) is None:
            return ""
        return f"[{self.number(low, sign)}, {self.number(high, sign)}]"


class Comparison:
    """Reads the dict of `results.json`; the baseline is the first of `arms`, the others follow as given."""

    def __init__(self, results: Mapping[str, Any]) -> None:
        self.results = results
        self.baseline: str = results["baseline"]
        given = list(results.get("arms") or {})
        self.arms = [self.baseline, *(arm for arm in given if arm != self.baseline)]
        self.rivals = self.arms[1:]
        self.runs: list[dict[str, Any]] = list(results.get("runs") or [])
        self.seeds: list[int] = sorted({run["seed"] for run in self.runs} | set(results.get("seeds") or []))
        self._means: Mapping[str, Any] = results.get("means") or {}
        # the last wins; a contrast to another baseline is only in the table of all
        self._contrasts = {
            (one["arm"], one["metric"]): one
            for one in self.contrasts
            if one.get("baseline", self.baseline) == self.baseline
        }

    @property
    def contrasts(self) -> list[dict[str, Any]]:
        return list(self.results.get("contrasts") or [])

    @property
    def name(self) -> str:
        return one_line(self.results.get("name") or "a comparison")

    @cached_property
    def measures(self) -> list[str]:
        """Those that any run or mean has a number of: as in `measures`, the others after them."""
        found = {name for run in self.runs for name, value in _items(run) if finite(value) is not None}
        for means in self._means.values():
            found |= {name for name, mean in means.items() if mean and finite(mean.get("mean")) is not None}
        known = [name for name in self.results.get("measures") or {} if name in found]
        return known + sorted(found - set(known))

    def groups(self) -> dict[str, list[str]]:
        """The measures under the headings of the page; a heading without measures is left out."""
        grouped: dict[str, list[str]] = {heading: [] for heading in GROUPS}
        for name in self.measures:
            grouped[next(heading for heading, rule in GROUPS.items() if re.fullmatch(rule, name))].append(name)
        return {heading: names for heading, names in grouped.items() if names}

    def measure(self, name: str) -> Measure:
        about = dict((self.results.get("measures") or {}).get(name) or {})
        return Measure(
            name,
            label=one_line(about.get("label") or name.replace("_", " ")),
            scale=finite(about.get("scale")) or 1.0,
            unit=one_line(about.get("unit") or ""),
            digits=int(about.get("digits", 3)),
            better=int(about.get("better") or 0),
            band=finite(about.get("band")),
        )

    def title(self, arm: str) -> str:
        about = (self.results.get("arms") or {}).get(arm) or {}
        return one_line(about.get("title") or arm) or "an arm without a name"

    def short(self, arm: str, length: int = SHORT) -> str:
        """The title where it fits and is no other arm's, else the arm's own name, shortened if need be."""
        title = self.title(arm)
        if len(title) <= length and [self.title(other) for other in self.arms].count(title) == 1:
            return title
        return shortened(one_line(arm) or title, length)

    def values(self, arm: str, metric: str) -> dict[int, float]:
        """The number of each seed that has one."""
        found = {run["seed"]: finite(dict(_items(run)).get(metric)) for run in self.runs if run["arm"] == arm}
        return {seed: value for seed, value in sorted(found.items()) if value is not None}

    def differences(self, arm: str, metric: str) -> dict[int, float]:
        """Minus the baseline, of each seed that both have."""
        base = self.values(self.baseline, metric)
        return {seed: value - base[seed] for seed, value in self.values(arm, metric).items() if seed in base}

    def mean(self, arm: str, metric: str) -> dict[str, Any] | None:
        found = (self._means.get(arm) or {}).get(metric)
        return dict(found) if found and finite(found.get("mean")) is not None else None

    def contrast(self, arm: str, metric: str) -> dict[str, Any] | None:
        found = self._contrasts.get((arm, metric))
        return found if found and finite(found.get("difference")) is not None else None

    @property
    def named(self) -> tuple[str, str] | None:
        """Arm and measure of the contrast that was named before the runs."""
        found = self.results.get("named")
        return (found[0], found[1]) if found else None

    def key_metrics(self, most: int) -> list[str]:
        """Accuracy and what else matters most, at most `most`: the named measure is always among them."""
        wished = ["accuracy"]
        if self.named:
            wished.append(self.named[1])
        attacked = self._largest_radii()
        wished += ["k_feature_accuracy_5", *attacked[:1], "wrong_auroc_own", "few_shot_accuracy", *attacked[1:]]
        wished += ["ood_auroc", "calibration_error", "accuracy_without_90", "negative_log_likelihood"]
        wished += self.measures
        return [name for name in dict.fromkeys(wished) if name in self.measures][:most]

    def radii(self) -> dict[str, dict[float, str]]:
        """For each norm that was attacked the measure of each radius."""
        norms: dict[str, dict[float, str]] = {}
        for name in self.measures:
            if (found := ROBUST.fullmatch(name)) and (radius := _float(found[2])) is not None:
                norms.setdefault(found[1], {})[radius] = name
        return {norm: dict(sorted(radii.items())) for norm, radii in sorted(norms.items())}

    def removed(self) -> dict[float, str]:
        """The measure of each percentage of features removed."""
        found = {
            percent: name
            for name in self.measures
            if (match := WITHOUT.fullmatch(name)) and (percent := _float(match[1])) is not None
        }
        return dict(sorted(found.items()))

    def _largest_radii(self) -> list[str]:
        return [list(radii.values())[-1] for radii in self.radii().values()]

    def settings_changed(self) -> list[str]:
        """The settings in which a run differs from the recipe or from another run."""
        recipe = dict(self.results.get("recipe") or {})
        names = dict.fromkeys(name for run in self.runs for name in run.get("settings") or {})
        return [name for name in names if name not in ("arm", "seed") and self._differs(name, recipe.get(name))]

    def _differs(self, name: str, base: Any) -> bool:
        return any((run.get("settings") or {}).get(name, base) != base for run in self.runs)

    def tuned(self) -> dict[str, list[tuple[int, float]]]:
        """For each arm that was tuned its trials, in their order, that ended with a number."""
        found: dict[str, list[tuple[int, float]]] = {}
        for arm in self.arms:
            trials = (self.results.get("tuning") or {}).get(arm) or []
            known = [(int(one["trial"]), finite(one.get("value"))) for one in trials]
            if ended := sorted((trial, value) for trial, value in known if value is not None):
                found[arm] = ended
        return found


def verdict_of(contrast: Mapping[str, Any]) -> str:
    said = one_line(contrast.get("verdict") or TOO_FEW)
    return VERDICTS.get(said, said)


def count(seeds: Any) -> int | None:
    """How many seeds, told as a number or as a list of them."""
    if isinstance(seeds, list | tuple):
        return len(seeds)
    known = finite(seeds)
    return None if known is None else int(known)


def spread(measure: Measure, mean: Mapping[str, Any] | None, interval: bool = False) -> str:
    """`83.20 ±0.41`, with `[82.90, 83.50]` where asked for; a mean without a spread says why it has none."""
    if mean is None:
        return UNKNOWN
    shown = measure.number(mean.get("mean"))
    if finite(mean.get("deviation")) is None:
        return f"{shown} ({'one seed' if count(mean.get('seeds')) == 1 else 'no spread known'})"
    shown += f" ±{measure.number(mean['deviation'])}"
    if interval and (ends := measure.interval(mean.get("low"), mean.get("high"))):
        shown += f" {ends}"
    return shown


def gain(measure: Measure, contrast: Mapping[str, Any], unit: bool = False) -> str:
    """`+0.31 [-0.20, +0.80]`, with the unit after the difference where asked for."""
    shown = measure.number(contrast.get("difference"), sign=True)
    if unit and measure.of_difference:
        shown += f" {measure.of_difference}"
    if ends := measure.interval(contrast.get("low"), contrast.get("high"), sign=True):
        return f"{shown} {ends}"
    return f"{shown}{' (one seed)' if count(contrast.get('seeds')) == 1 else ', no interval'}"


def _items(run: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list((run.get("metrics") or {}).items())


def _float(text: str) -> float | None:
    """The number of a name; radii of pixels are named as fractions, `1/255`."""
    above, _, below = text.partition("/")
    try:
        return float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        return None
