"""The cards of all arms, on a terminal and as a page: `python -m torchdiscern.lab.arms_page`."""

from collections.abc import Iterator

import yaml
from rich.table import Table

from torchdiscern.lab.arms import ARMS, RIVALS, settings_of, space_of

COMMAND = "python -m torchdiscern.lab.arms_page > docs/arms.md"
HEAD = f"""# The arms

Written from the arms' own cards by
`{COMMAND}`; do not edit it by hand.

An arm is a set of recipe settings under a name: what `torchdiscern compare` trains side by side, and measures
in the same way, the time of a step too. `torchdiscern arms` lists them, `torchdiscern arms NAME` prints one's
card, and `+` joins several, where a later one wins: `clean+renyi` cleans the labels and trains what is left with
the scale-free terms.

To train one alone, set what its card says, as in `--set arm=cosface --set strength=0.1`. The setting `strength`
is a rival's own weight. [Your own arm](train.md#your-own-arm) is one function.

The rivals learn from the labels of the target. With several processes, those that compare the samples of a batch
with each other (`cw-vr`, `opl`, `supcon`, `vicreg`, `selectivity-up`, `selectivity-down`) see each process's own
part of it.

In the formulas: CE is cross-entropy, the mean over the samples i of a batch; y[i] the class of sample i, p[i] its
predicted probabilities, x[i,j] its feature j at the last tapped layer, averaged over all positions; n[c] the
samples of class c; P[c,j] the share of class c in the activation of feature j, M[c,j] its mean
([the method](method.md)).
"""


def arms_page() -> str:
    """The page as Markdown: a table of all arms, then a section an arm.

    Example:
        >>> print(arms_page().splitlines()[0])
        # The arms
    """
    rows = ["| arm | what | own weight |", "|---|---|---|"]
    rows += [f"| [`{name}`](#{name}) | {arm.title} | {own_weight(name)} |" for name, arm in ARMS.items()]
    return "\n".join([HEAD, *rows, "", *(card(name) for name in ARMS)])


def card(name: str) -> str:
    """One arm's card, or those of several joined by +, as Markdown.

    Raises:
        ValueError: no such arm.
    """
    settings_of(name)
    return "\n".join(_card(part) for part in name.split("+"))


def _card(name: str) -> str:
    said = "\n".join(f"- **{what}**: {text}" for what, text in _lines(name))
    return f"## {name}\n\n{ARMS[name].title}.\n\n{said}\n"


def table() -> Table:
    """The arms for a terminal."""
    found = Table("arm", "what", "own weight", "cost beside cross-entropy", box=None, padding=(0, 2, 0, 0))
    for name, arm in ARMS.items():
        found.add_row(name, arm.title, own_weight(name), arm.cost)
    return found


def own_weight(name: str) -> str:
    """The settings that tuning draws for an arm alone, with its defaults."""
    arm = ARMS[name]
    if "strength" in arm.space and arm.settings.get("arm") in RIVALS:
        return f"strength {RIVALS[arm.settings['arm']].strength:g}"
    return ", ".join(arm.space) or "none"


def _lines(name: str) -> Iterator[tuple[str, str]]:
    arm = ARMS[name]
    settings = ", ".join(f"`{key}={yaml.safe_dump(value).split()[0]}`" for key, value in arm.settings.items())
    yield "settings", settings
    if arm.formula:
        yield "minimises", f"`{arm.formula}`"
    if arm.source:
        yield "source", arm.source
    if arm.weights:
        yield "weights to try", arm.weights
    if arm.space:
        drawn = (f"`{key}` from {low:g} to {high:g}" for key, (low, high) in space_of(name).items())
        yield "tuning draws", f"{', '.join(drawn)}, by the logarithm"
    if arm.cost:
        yield "cost", arm.cost
    if arm.not_when:
        yield "not when", arm.not_when


if __name__ == "__main__":
    print(arms_page(), end="")
