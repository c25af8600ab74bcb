"""The result of a comparison in words: does it help, and what these numbers cannot say."""

from collections.abc import Mapping
from typing import Any

from torchdiscern.lab.comparison_report.reading import (
    ENOUGH,
    TOO_FEW,
    Comparison,
    finite,
    gain,
    one_line,
    verdict_of,
)

BUDGET = ("epochs", "batch_size")
HEADLINES = 4  # measures that the headline speaks of
ORDER = ("better", "higher", "worse", "lower", "equivalent", "undecided", TOO_FEW)


def sentence(said: Comparison, arm: str, metrics: list[str]) -> str:
    """`scale-free Renyi: better on 5-feature accuracy (+12.9 points [11.8, 14.0]); accuracy: undecided (...)`."""
    found = [(metric, contrast) for metric in metrics if (contrast := said.contrast(arm, metric))]
    if found and all(verdict_of(contrast) == TOO_FEW for _, contrast in found):
        numbers = (f"{said.measure(metric).label} {_numbers(said, metric, one)}" for metric, one in found)
        return f"{said.title(arm)}: {TOO_FEW} ({'; '.join(numbers)})."
    parts = [_clause(said, metric, contrast) for metric, contrast in found]
    return f"{said.title(arm)}: {'; '.join(parts) or 'nothing to compare'}."


def headline(results: Mapping[str, Any]) -> list[str]:
    """Does it help? The named contrast first; with several arms then a sentence a measure.

    Args:
        results: as in `results.json`.

    Example:
        >>> contrast = {"arm": "renyi", "metric": "accuracy", "difference": 0.02, "low": 0.01, "high": 0.03}
        >>> about = {"accuracy": {"label": "accuracy", "scale": 100, "unit": "%", "digits": 1}}
        >>> runs = [{"arm": arm, "seed": 0, "metrics": {"accuracy": 0.8}} for arm in ("ce", "renyi")]
        >>> given = {"baseline": "ce", "arms": {"ce": {}, "renyi": {}}, "runs": runs, "measures": about}
        >>> headline(given | {"contrasts": [contrast | {"verdict": "better"}]})
        ['Renyi: better on accuracy (+2.0 points [+1.0, +3.0]).']
    """
    said = Comparison(results)
    metrics = said.key_metrics(HEADLINES)
    if not said.rivals or not said.runs:
        return ["Nothing to compare yet: " + ("only the baseline ran." if said.runs else "no run has ended.")]
    if not any(said.contrast(arm, metric) for arm in said.rivals for metric in metrics):
        return ["Nothing to compare yet: no arm has seeds in common with the baseline."]
    named = said.named if said.named and said.named[0] in said.rivals else None
    arm, metric = named or (said.rivals[0], metrics[0])
    ordered = sorted(metrics, key=lambda one: (one != metric, one != "accuracy"))
    judged = [one for one in ordered if any(said.contrast(rival, one) for rival in said.rivals)]
    if len(said.rivals) == 1:
        parts = [part for part in (judged[:2], judged[2:]) if part]
        return [_capital(sentence(said, arm, part)) for part in parts]
    first = [_capital(sentence(said, arm, judged[:2]))] if named else []
    if named and not said.contrast(*named):
        lost = f"{said.title(arm)}, {said.measure(metric).label}: named before the runs, but nothing to compare."
        first.insert(0, _capital(lost))
    verdicts = {
        verdict_of(found) for one in judged for rival in said.rivals if (found := said.contrast(rival, one))
    }
    if verdicts == {TOO_FEW}:
        return [*first, f"{_capital(TOO_FEW)} what helps: {seeds_in_words(said)}, and a verdict takes {ENOUGH}."]
    return first + [_by_verdict(said, one) for one in judged]


def arm_by_arm(results: Mapping[str, Any]) -> list[str]:
    """A sentence for each arm beside the baseline."""
    said = Comparison(results)
    return [_capital(sentence(said, arm, said.key_metrics(HEADLINES))) for arm in said.rivals]


def limits(results: Mapping[str, Any]) -> list[str]:
    """What the numbers do not show, a sentence or two each."""
    said = Comparison(results)
    recipe = dict(results.get("recipe") or {})
    where = f" ({one_line(recipe['data'])})" if recipe.get("data") else ""
    seeds = len(said.seeds)
    found = [
        f"One data set{where}, one network, one budget of training: another may turn out differently.",
        "An interval is the 95% interval of the paired t-test over seeds: it speaks of training again with other "
        f"seeds on this data set.{_by_image(said)} Images that are attacked are drawn by the seed.",
    ]
    if (band := finite(results.get("band"))) is not None:
        accuracy = said.measure("accuracy")
        found.append(
            f"Better and worse: both intervals lie wholly beyond the band, ±{accuracy.number(band)} "
            f"{accuracy.of_difference} for accuracy, and the corrected p is below 0.05 (of the contrast named "
            "before the runs the plain one). Equivalent: both lie inside. Undecided: neither, which does not "
            "show that there is no difference."
        )
    if seeds < ENOUGH:
        few = {0: "No seed", 1: "One seed"}.get(seeds, f"{seeds} seeds")
        found.append(f"{few}: below {ENOUGH} there is no verdict, whatever the numbers.")
    found += [_corrected(said), _tuned(said), *_looked_at(said), *_budgets(said)]
    found.append(
        "The test images of a run were read once, at its end, and chose nothing in it. Where the seed draws the "
        "split, an image that one seed tests may have been tuned on by the tuning seed, alike for all arms."
    )
    if failed := results.get("failed"):
        found.append(
            f"{len(failed)} run{'s' * (len(failed) != 1)} failed. A contrast takes only the seeds that both of "
            "its arms have."
        )
    return found


def _corrected(said: Comparison) -> str:
    tested = [one for one in said.contrasts if finite(one.get("p")) is not None]
    named = [one for one in tested if said.named == (one["arm"], one["metric"])]
    many = len(tested) - len(named)
    if not tested:
        return "Nothing was tested, as no contrast has a spread."
    shown = f"Holm's correction is over {many} contrast{'s' * (many != 1)}"
    if named:
        arm, metric = named[0]["arm"], said.measure(named[0]["metric"]).label
        shown += f", all but the one named before the runs ({said.title(arm)}, {metric})"
    return (
        f"{shown}. Intervals, and so the verdict equivalent, are each contrast's own: among many some mislead by "
        "chance."
    )


def _tuned(said: Comparison) -> str:
    tune = said.results.get("tune") or 0
    if not tune:
        return "Nothing was tuned: every arm took the recipe's settings, which may suit one better than another."
    seeds = said.results.get("tuning_seeds") or []
    of = f" of seed{'s' * (len(seeds) != 1)} {', '.join(map(str, seeds))}, which no run uses" if seeds else ""
    return (
        f"Every arm, the baseline too, had {tune} trial{'s' * (tune != 1)} of tuning, chosen by accuracy on "
        f"validation images{of}. An interval holds for the settings that these trials chose: others might have "
        "chosen otherwise."
    )


def _by_image(said: Comparison) -> str:
    labels = [said.measure(name).label for name in said.results.get("by_image") or []]
    if not labels:
        return ""
    return (
        f" The bootstrap's intervals draw test images anew as well, for {', '.join(labels)}: there they speak of "
        "other images of the same kind, too."
    )


def _looked_at(said: Comparison) -> list[str]:
    """That seeds were added, which anyone may have done until a verdict pleased him."""
    counts: list[int] = []
    for one in said.results.get("sessions") or []:
        if not one.get("runs_before"):  # nothing to look at
            counts = [one["seeds"]] if one.get("seeds") else []
        elif counts and one["seeds"] > counts[-1]:
            counts.append(one["seeds"])
    if len(counts) < 2:
        return []
    return [
        f"Seeds were added when runs were there ({', then '.join(map(str, counts))}): whoever looks in between "
        "and stops where it pleases finds a p-value below 0.05 by chance more often than once in twenty times."
    ]


def _budgets(said: Comparison) -> list[str]:
    """Arms that trained for longer, or by other batches, than the recipe says."""
    recipe = said.results.get("recipe") or {}
    found = []
    for arm in said.arms:
        settings = ((said.results.get("arms") or {}).get(arm) or {}).get("settings") or {}
        own = [name for name in BUDGET if settings.get(name, recipe.get(name)) != recipe.get(name)]
        if own:
            told = ", ".join(f"{name}={settings[name]}, where the recipe has {recipe[name]}" for name in own)
            found.append(f"{said.title(arm)} had another budget of training: {told}.")
    return found


def _clause(said: Comparison, metric: str, contrast: Mapping[str, Any]) -> str:
    label, verdict, numbers = said.measure(metric).label, verdict_of(contrast), _numbers(said, metric, contrast)
    if verdict in ("better", "worse"):
        return f"{verdict} on {label} ({numbers})"
    return f"{label}: {verdict} ({numbers})"


def _numbers(said: Comparison, metric: str, contrast: Mapping[str, Any]) -> str:
    return gain(said.measure(metric), contrast, unit=True).replace(" (one seed)", ", one seed")


def _by_verdict(said: Comparison, metric: str) -> str:
    """`Accuracy: better than cross-entropy: A, B; undecided: C.`"""
    found: dict[str, list[str]] = {}
    for arm in said.rivals:
        if contrast := said.contrast(arm, metric):
            found.setdefault(verdict_of(contrast), []).append(said.short(arm))
    known = [verdict for verdict in ORDER if verdict in found]
    parts = [f"{verdict}: {_some(found[verdict])}" for verdict in [*known, *(set(found) - set(known))]]
    label = _capital(said.measure(metric).label)
    return f"{label}, compared with {said.short(said.baseline)}: {'; '.join(parts)}."


def _some(names: list[str], most: int = 6) -> str:
    more = len(names) - most
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:most])} and {more} more"


def seeds_in_words(said: Comparison) -> str:
    """`10 seeds`, or how many of them the arms have where they differ."""
    numbers = sorted({len({run["seed"] for run in said.runs if run["arm"] == arm}) for arm in said.arms})
    if len(numbers) > 1:
        return f"{numbers[0]} to {numbers[-1]} seeds"
    return {0: "no seed", 1: "one seed"}.get(numbers[0], f"{numbers[0]} seeds")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
