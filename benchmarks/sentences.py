"""Numbers inside the sentences of a page, written from the kept comparisons.

    It lost <!-- say cifar100-clean renyi accuracy span worse -->3.7 to 5.6<!-- end --> points.

names comparison, arm, measure, form, and the verdict that the sentence relies on. Forms: `span` gives an
interval on one side of zero without its sign, `around` one that holds zero (`0.4 points below to 0.6 above`),
`mean` the arm's own mean, in percent; `span.2` has two digits after the point. A sentence that the
numbers no longer bear out is an error, not another number.
"""

import re
from collections.abc import Mapping

from torchdiscern.lab.comparison_report.reading import Comparison

SAID = re.compile(r"(<!-- say (\S+) (\S+) (\S+) (\S+?)(?: (\S+))? -->).*?(<!-- end -->)", re.DOTALL)


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
        arm: whose measure.
        metric: which measure.
        form: `span`, `around` or `mean`, with the number of digits after a point of its own.
        verdict: what the sentence relies on, empty for nothing.

    Raises:
        ValueError: there is no such number, or the sentence around it does not hold.
    """
    where = f"{name} {arm} {metric}"
    if name not in kept or metric not in kept[name].measures or arm not in kept[name].arms:
        raise ValueError(
            f"say: got {where}, expected a kept comparison with this arm and measure; mend the page."
        )
    said = kept[name]
    scale, (form, _, digits) = said.measure(metric).scale, form.partition(".")
    if form == "mean":
        return f"{scale * (said.mean(arm, metric) or {})['mean']:.{digits or 0}f}%"
    contrast = said.contrast(arm, metric) or {}
    if verdict and contrast["verdict"] != verdict:
        raise ValueError(f"say: {where} is {contrast['verdict']}, the page says {verdict}; mend the sentence.")
    low, high = scale * contrast["low"], scale * contrast["high"]
    below, above = (f"{abs(end):.{digits or 1}f}" for end in (low, high))
    if form == "around" and low <= 0 <= high:
        return f"{below} points below to {above} above"
    if form == "span" and low * high > 0:
        return f"{below} to {above}" if low > 0 else f"{above} to {below}"
    shown = f"[{low:+.1f}, {high:+.1f}]"
    raise ValueError(f"say: {where} is {shown}, which the form {form!r} does not fit; mend the sentence.")
