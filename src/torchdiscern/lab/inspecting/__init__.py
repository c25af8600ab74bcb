"""A network inspected: what its features do on labelled images, as the feature report shows it."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from torchdiscern.lab.inspecting.decisions import decisions_of
from torchdiscern.lab.inspecting.layer_numbers import numbers_of
from torchdiscern.lab.inspecting.seeing import see
from torchdiscern.lab.inspecting.subject import Subject, subject_of
from torchdiscern.lab.inspecting.suspicions import suspicions_of
from torchdiscern.lab.inspecting.thumbnails import thumbnails_of
from torchdiscern.lab.report.contents import Contents

__all__ = ["Subject", "inspect", "inspect_subject", "subject_of"]


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
    return inspect_subject(subject, console)


def inspect_subject(subject: Subject, console: Console) -> Contents:
    """As `inspect`, of what `subject_of` found.

    Raises:
        ValueError, OSError: no image can be read any more, or there is no room for the activations.
    """
    with tempfile.TemporaryDirectory(prefix="torchdiscern-") as folder:
        seen = see(subject, Path(folder), console)
        layers = [numbers_of(seen, index) for index in range(len(seen.layers))]
        decisions = decisions_of(seen, layers[-1])
        suspicions = suspicions_of(seen, layers[-1])
    return Contents(
        title=subject.title,
        facts=subject.facts,
        classes=subject.classes,
        files=[subject.images.files[row] for row in seen.rows],
        labels=seen.labels.astype(np.int32),
        layers=layers,
        decisions=decisions,
        suspicions=suspicions,
        thumbnails=thumbnails_of(subject.images, seen.rows),
        notes=[*subject.notes, *seen.notes],
    )
