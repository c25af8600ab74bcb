"""Values of settings: from YAML or a command line to the setting's type, or one sentence."""

from collections.abc import Mapping
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import yaml

from torchdiscern import checks

_WORDS: dict[Any, str] = {
    int: "whole number", float: "number", str: "text", bool: "true or false", NoneType: "null",
}  # fmt: skip
_PLURALS: dict[Any, str] = {int: "whole numbers", float: "numbers", str: "texts"}


def type_words(expected: Any) -> str:
    """A type in words."""
    return " or ".join(
        _WORDS.get(option) or f"list of {_PLURALS[get_args(option)[0]]}" for option in _options(expected)
    )


def taken(name: str, value: Any, expected: Any, limits: Mapping[str, Any]) -> Any:
    """The value as the setting's type, or one sentence."""
    options = _options(expected)
    if value is None and NoneType in options:
        return None
    for option in options:
        fits, found = _fitted(value, option)
        if fits:
            _check_limits(name, found, limits)
            return found
    raise TypeError(
        f"{name}: got {checks.describe(value)}, expected {type_words(expected)}; set it as in --set {name}="
        f"{_example(options[0])}."
    )


def _example(option: Any) -> str:
    return {int: "10", float: "0.5", str: "name", bool: "true"}.get(option, "1,2")


def _fitted(value: Any, option: Any) -> tuple[bool, Any]:
    """Whether the value is of a type, and the value as that type."""
    if get_origin(option) is tuple:
        inner = get_args(option)[0]
        if value is None or value == "":
            return True, ()
        items = value.split(",") if isinstance(value, str) else value
        if not isinstance(items, list | tuple):
            items = [items]
        if isinstance(value, str) and inner is not str:
            items = [yaml.safe_load(item) for item in items]
        found = [_fitted(item.strip() if isinstance(item, str) else item, inner) for item in items]
        return all(fits for fits, _ in found), tuple(one for _, one in found)
    if option is NoneType:
        return value is None, None
    if option is float:
        if isinstance(value, str):  # YAML reads 1e-4 as text
            try:
                return True, float(value)
            except ValueError:
                return False, None
        return isinstance(value, int | float) and not isinstance(value, bool), value if value is None else _float(
            value
        )
    if option is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    if option is str and isinstance(value, int) and not isinstance(value, bool):
        return True, str(value)  # precision: 32
    return isinstance(value, option), value


def _float(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) else value


def _check_limits(name: str, value: Any, limits: Mapping[str, Any]) -> None:
    for one in value if isinstance(value, tuple) else (value,):
        if isinstance(one, int | float) and not isinstance(one, bool):
            wrong = (
                one != one
                or one < limits.get("low", one)
                or one > limits.get("high", one)
                or ("above" in limits and one <= limits["above"])
                or ("below" in limits and one >= limits["below"])
            )
            if wrong:
                words = {"low": "at least", "above": "above", "high": "at most", "below": "below"}
                range_ = " and ".join(f"{words[k]} {limits[k]:g}" for k in words if k in limits)
                raise ValueError(f"{name}: got {one:g}, expected a number {range_}; choose one in that range.")
        elif isinstance(one, str) and limits.get("choices"):
            checks.check_choice(one, name, limits["choices"])


def _options(expected: Any) -> tuple[Any, ...]:
    return get_args(expected) if get_origin(expected) in (Union, UnionType) else (expected,)
