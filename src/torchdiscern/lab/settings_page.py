"""The page of all settings, written from the typed recipe: `python -m torchdiscern.lab.settings_page`."""

from collections.abc import Iterator
from dataclasses import Field
from typing import Any

import yaml

from torchdiscern.lab.recipe import settings, type_text

COMMAND = "python -m torchdiscern.lab.settings_page > docs/settings.md"
HEAD = f"""# All settings

Written from the recipe's own definition by
`{COMMAND}`; do not edit it by hand.

The same words stand in a YAML file (`epochs: 10`), on the command line (`--set epochs=10`) and in Python
(`recipe.with_settings(epochs=10)`). On the command line a list is written with commas, as in
`--set milestones=60,120`, and `--set loggers=` empties one. `null` means: not set.
`torchdiscern recipes show NAME` prints a recipe with all of its settings. How they work together stands in
[train on your own images](train.md) and [the paper's experiments](experiments.md).
"""
TABLE = """
## {group}

| setting | type; default | what |
|---|---|---|
"""
WORDS = {"low": "at least", "above": "above", "high": "at most", "below": "below"}


def settings_page() -> str:
    """The page as Markdown: a section a group, a row a setting.

    Example:
        >>> print(settings_page().splitlines()[0])
        # All settings
    """
    parts = [HEAD]
    for one in settings():
        if one.metadata["group"]:
            parts.append(TABLE.format(group=one.metadata["group"]))
        cells = (f"`{one.name}`", f"{type_text(one.name)}; {_default(one)}", " ".join(_said(one)))
        parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join(parts)


def _default(one: Field[Any]) -> str:
    if one.default == "":
        return "empty"
    value = list(one.default) if isinstance(one.default, tuple) else one.default
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def _said(one: Field[Any]) -> Iterator[str]:
    what, choices = one.metadata["what"], one.metadata["choices"]
    yield what
    if any(f"`{choice}`" not in what for choice in choices):
        yield f"One of {', '.join(f'`{choice}`' for choice in choices)}."
    limits = [f"{word} {one.metadata[limit]:g}" for limit, word in WORDS.items() if limit in one.metadata]
    if limits:
        yield f"{' and '.join(limits).capitalize()}."


if __name__ == "__main__":
    print(settings_page(), end="")
