"""Numbers inside the sentences of a page, written from the kept comparisons.

    It lost <!-- say cifar100-clean renyi accuracy span worse -->3.7 to 5.6<!-- end --> points.

names comparison, arm, measure or setting, form, and the verdict that the sentence relies on; `form.2` has two
digits. A sentence that the numbers no longer bear out is an error, not another number. The forms:

- of an arm's mean: `mean` with a percent sign, `value` without; `times` the baseline's, the median over seeds;
- of its difference to the baseline: `span`, an interval on one side of zero without its sign; `around`, one that
  holds zero (`0.4 points below to 0.6 above`); `gain`, as a table has it; `more` and `less`, a
  difference of that sign; `best` and `worst`, that of one seed, above and below zero; `p`, and `holm` after
  correction; `seeds`, how many would show half a point beyond the band;
- of a setting that tuning or the command chose: `chosen`, `share` as a percentage, `times` the baseline's, `fold`
  the inverse of that, `recipe` times the recipe's;
- with `checks` for the measure: `turned`, the most images that a check for masked gradients turned in any arm;
  the name of an attack (`transfer`: the strongest of those made on other networks), what it left right, where the
  ordinary one left how much.
"""

import re
import statistics
from collections.abc import Mapping

from torchdiscern.lab.comparison_report.reading import Comparison, gain
from torchdiscern.lab.evidence import seeds_needed

SAID = re.compile(r"(<!-- say (\S+) (\S+) (\S+) (\S+?)(?: (\S+))? -->).*?(<!-- end -->)", re.DOTALL)
HALF_A_POINT = 0.005


def rewritten(page: str, kept: Mapping[str, Comparison]) -> str:
    """The page with every such number as the comparisons have it today.

    Raises:
        ValueError: a mark begins a line, where Markdown takes it for a block of its own and ends the paragraph.
    """
    if begun := re.search(r"^ *(<!-- say .*?-->)", page, re.MULTILINE):
        raise ValueError(
            f"say: got {begun[1]} at the start of a line, expected a word before it; wrap otherwise."
        )
    return SAID.sub(
        lambda found: found[1] + number(kept, found[2], found[3], found[4], found[5], found[6] or "") + found[7],
        page,
    )


def number(kept: Mapping[str, Comparison], name: str, arm: str, metric: str, form: str, verdict: str = "") -> str:
    """One of them.

    Args:
        kept: the comparisons by name.
        name: which of them.
        arm: whose.
        metric: which measure or setting.
        form: one of those above.
        verdict: what the sentence relies on, empty for nothing.

    Raises:
        ValueError: there is no such number, or the sentence around it does not hold.
    """
    form, _, digits = form.partition(".")
    said, where = kept.get(name), f"{name} {arm} {metric}"
    if said and metric == "checks":
        return _checks(said, form)
    if said and arm in said.arms and metric in said.measures:
        contrast = said.contrast(arm, metric) or {}
        if verdict and contrast["verdict"] != verdict:
            raise ValueError(
                f"say: {where} is {contrast['verdict']}, the page says {verdict}; mend the sentence."
            )
        found = _mean(said, arm, metric, form, digits) or _difference(said, arm, metric, form, digits)
        where += f" is {gain(said.measure(metric), contrast)}" if contrast else ""
    elif said and arm in said.arms and metric in said.results["recipe"]:
        found = _setting(said, arm, metric, form, digits)
    else:
        raise ValueError(
            f"say: got {where}, expected a kept comparison with this arm and measure; mend the page."
        )
    if not found:
        raise ValueError(f"say: {where}, which the form {form!r} does not fit; mend the sentence.")
    return found


def _mean(said: Comparison, arm: str, metric: str, form: str, digits: str) -> str | None:
    mean = said.mean(arm, metric)
    if mean is None:
        return None
    own = said.measure(metric).scale * mean["mean"]
    match form:
        case "mean":
            return f"{own:.{digits or 0}f}%"
        case "value":
            return f"{own:.{digits or 0}f}"
        case "times":
            base = said.values(said.baseline, metric)
            ratios = [value / base[seed] for seed, value in said.values(arm, metric).items() if seed in base]
            return f"{statistics.median(ratios):.{digits or 0}f}"
    return None


def _difference(said: Comparison, arm: str, metric: str, form: str, digits: str) -> str | None:
    scale, contrast = said.measure(metric).scale, said.contrast(arm, metric)
    if contrast is None:
        return None
    low, high, mean = (scale * contrast[name] for name in ("low", "high", "difference"))
    seeds = [scale * one for one in said.differences(arm, metric).values()]
    places = f".{digits or 1}f"
    match form:
        case "span" if low * high > 0:
            return " to ".join(f"{end:{places}}" for end in sorted((abs(low), abs(high))))
        case "around" if low <= 0 <= high:
            return f"{-low:{places}} points below to {high:{places}} above"
        case "gain":
            return gain(said.measure(metric), contrast)
        case "more" | "less" if (mean > 0) == (form == "more"):
            return f"{abs(mean):{places}}"
        case "best" if max(seeds) > 0:
            return f"{max(seeds):{places}}"
        case "worst" if min(seeds) < 0:
            return f"{-min(seeds):{places}}"
        case "p" | "holm":
            return f"{contrast['p' if form == 'p' else 'p_holm']:.{digits or 3}f}"
        case "seeds":
            return str(seeds_needed(HALF_A_POINT, contrast["spread"], band=contrast["band"]))
    return None


def _setting(said: Comparison, arm: str, setting: str, form: str, digits: str) -> str | None:
    recipe = said.results["recipe"][setting]
    own, base = (
        {run["settings"].get(setting, recipe) for run in said.runs if run["arm"] == one}
        for one in (arm, said.baseline)
    )
    match form, [*own, *base]:
        case "chosen", [value, _]:
            return f"{value:.{digits or 3}g}".replace("e-0", "e-")
        case "share", [value, _]:
            return f"{100 * value:.{digits or 0}f}%"
        case "times", [value, other]:
            return f"{value / other:.{digits or 0}f}"
        case "fold", [value, other]:
            return f"{other / value:.{digits or 0}f}"
        case "recipe", [value, _]:
            return f"{value / recipe:.{digits or 0}f}"
    return None  # other forms, and runs of one arm that differ


def _checks(said: Comparison, form: str) -> str:
    checked = [one["attacks"] for one in said.results["checks"].values()]
    if form != "turned":
        found = [
            min((one[name] for name in one if name.startswith(form)), key=lambda attack: float(attack["robust"]))
            for one in checked
        ]
        left, ordinary = ([100 * one[name] for one in found] for name in ("robust", "ordinary"))
        return (
            f"{min(left):.0f}% to {max(left):.0f}% right, where the ordinary one left {min(ordinary):.0f}% to "
            f"{max(ordinary):.0f}%"
        )
    most = max((attack for one in checked for attack in one.values()), key=lambda attack: float(attack["beyond"]))
    turned = round(most["beyond"] * most["images"])
    return f"at most {turned} of {most['images']} images" if turned else "no image"
