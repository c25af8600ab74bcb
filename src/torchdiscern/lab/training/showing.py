"""Bars for what takes long before training, and quiet where another library talks."""

import logging
import warnings
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


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning's notes to its own users are none of ours."""
    logs = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        try:
            yield
        finally:
            for log, level in zip(logs, before, strict=True):
                log.setLevel(level)
