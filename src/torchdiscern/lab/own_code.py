"""A user's own function by `package.module:function`."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torchdiscern import checks


def find(name: str, setting: str, takes: str) -> Any:
    """The function or class, which may lie in the current working directory.

    Args:
        name: `package.module:function`.
        setting: which setting names it, for errors.
        takes: what the function has to take, for errors.

    Raises:
        ValueError: no such module, or nothing in it that can be called under that name.
    """
    path, _, function = name.partition(":")
    with working_directory_importable():
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError as error:
            if not (error.name and f"{path}.".startswith(f"{error.name}.")):
                raise  # the module is there and misses another
            raise ValueError(
                f"{setting}: there is no module {path!r} for {name!r}, expected one that Python can import from "
                "here; name it as package.module:function, relative to the current folder."
            ) from error
    found = getattr(module, function, None)
    if not callable(found):
        names = [one for one, value in vars(module).items() if callable(value) and not one.startswith("_")]
        ending = checks.nearest(function, names) if names else f"write one that takes {takes}."
        raise ValueError(f"{setting}: module {path!r} has no function {function!r}, expected one; {ending}")
    return found


@contextmanager
def working_directory_importable() -> Iterator[None]:
    """Lets Python import from the current folder first."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    importlib.invalidate_caches()  # the file may be younger than the last look
    try:
        yield
    finally:
        sys.path.remove(here)
