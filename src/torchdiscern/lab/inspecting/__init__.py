"""A network inspected: what its features do on labelled images, as the feature report shows it."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from torchdiscern.lab.inspecting.several import inspect_several
from torchdiscern.lab.inspecting.subject import Subject, subject_of
from torchdiscern.lab.report.contents import Contents

__all__ = ["Subject", "inspect", "inspect_several", "subject_of"]


def inspect(
    model: str,
    data: str | None = None,
    *,
    weights: Path | None = None,
    layers: Sequence[str] = (),
    size: int | None = None,
    split: str = "auto",
    console: Console | None = None,
) -> Contents:
    """Reads a network's features on labelled images.

    Args:
        model, data, weights, layers, size, split, console: as for `subject_of`.

    Returns:
        What a feature report shows, in memory but for the images, which thumbnails are made of when asked for.

    Raises:
        ValueError, TypeError, OSError: one sentence that names the argument.
    """
    console = console or Console(quiet=True)
    subject = subject_of(model, data, weights=weights, layers=layers, size=size, split=split, console=console)
    return inspect_several({subject.title: subject}, console)
