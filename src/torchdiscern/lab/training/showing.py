"""Bars for what takes long before training."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress


@contextmanager
def reading(console: Console, what: str = "Reading images") -> Iterator[Callable[[Iterable[Any]], Iterable[Any]]]:
    """Gives a function that wraps items as they are read and shows how far it is."""
    with Progress(
        *Progress.get_default_columns(), console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield lambda items: progress.track(items, description=what)
