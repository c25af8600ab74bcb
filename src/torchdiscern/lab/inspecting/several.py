"""Networks in one report: shown the same images, one after the other."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from torchdiscern.lab.inspecting.decisions import NEAREST, NEAREST_MEAN, decisions_of
from torchdiscern.lab.inspecting.layer_numbers import numbers_of, shares_of
from torchdiscern.lab.inspecting.matching import match
from torchdiscern.lab.inspecting.seeing import see
from torchdiscern.lab.inspecting.seen import Places
from torchdiscern.lab.inspecting.subject import Subject, count_of
from torchdiscern.lab.inspecting.suspicions import suspicions_of
from torchdiscern.lab.inspecting.thumbnails import thumbnails_of
from torchdiscern.lab.report.contents import Changes, Contents, Inspected

SAID_ONCE = ("Date",)  # facts that differ between networks and need not be told of each


def inspect_several(
    subjects: Mapping[str, Subject],
    console: Console,
    *,
    usual: tuple[Subject, Subject] | None = None,
    usual_name: str = "",
) -> Contents:
    """Reads the features of networks on the same images.

    Args:
        subjects: by the names that the report gives them, at least one, all with the same images and classes; the
            last layers of the first two are compared feature by feature.
        console: where to show how far it is.
        usual: two networks that differ in their seed alone, on images of their own, by whose distances those of
            the first two are judged.
        usual_name: which two these are, for people.

    Returns:
        What a feature report shows, in memory but for the images, which thumbnails are made of when asked for.

    Raises:
        ValueError: networks with other images or classes, or no image can be read any more.
        OSError: no room for the activations.
    """
    _check_same(subjects)
    if usual is not None:
        _check_same(dict(zip(("the first of the usual pair", "the second of it"), usual, strict=True)))
    looked = {name: _look(name, subject, console) for name, subject in subjects.items()}
    rows = reduce(np.intersect1d, [one.rows for one in looked.values()])
    gone = max(len(one.rows) for one in looked.values()) - len(rows)
    if gone:
        note = (
            f"{gone:,} image(s) disappeared while networks were shown them, or gave NaN alone; they are left out."
        )
        left = {name: _noted(_on(subject, rows), note) for name, subject in subjects.items()}
        return inspect_several(left, console, usual=usual, usual_name=usual_name)
    first = next(iter(subjects.values()))
    return Contents(
        title=" and ".join(subjects),
        facts=_facts({name: subject.facts for name, subject in subjects.items()}),
        classes=first.classes,
        files=[first.images.files[row] for row in rows],
        labels=_on(first, rows).labels.numpy().astype(np.int32),
        networks=[one.inspected for one in looked.values()],
        thumbnails=thumbnails_of(first.images, rows),
        notes=_notes({name: [*subject.notes, *looked[name].notes] for name, subject in subjects.items()}),
        changes=_changes([one.inspected for one in looked.values()], usual, usual_name, console),
    )


def on_common_images(subjects: Mapping[str, Subject]) -> dict[str, Subject]:
    """The networks on the images that all of them are to be shown, such as those that no run has trained on.

    Raises:
        ValueError: other images or classes, or none in common.
    """
    _check_images(subjects)
    rows = [subject.rows.numpy() for subject in subjects.values()]
    common = reduce(np.intersect1d, rows)
    names = " and ".join(map(repr, subjects))
    if not len(common):
        raise ValueError(
            f"data: no image is held out by all of {names}, expected some to show them; name a folder of images "
            "that none has learned from with --data."
        )
    if all(len(one) == len(common) for one in rows):
        return dict(subjects)
    note = f"The runs held out other images for testing; shown are the {len(common):,} that every one held out."
    return {name: _noted(_on(subject, common), note) for name, subject in subjects.items()}


@dataclass(frozen=True, eq=False)
class _Looked:
    """What is left of a network that was shown its images."""

    inspected: Inspected
    rows: Places
    notes: list[str]


def _look(name: str, subject: Subject, console: Console) -> _Looked:
    with tempfile.TemporaryDirectory(prefix="torchdiscern-") as folder:
        seen = see(subject, Path(folder), console)
        layers = [numbers_of(seen, index) for index in range(len(seen.layers))]
        decisions = decisions_of(seen, layers[-1])
        suspicions = suspicions_of(seen, layers[-1], subject.about_labels)
    nearest = [NEAREST] if decisions is not None and decisions.source == NEAREST_MEAN else []
    return _Looked(Inspected(name, layers, decisions, suspicions), seen.rows, [*seen.notes, *nearest])


def _changes(
    networks: list[Inspected], usual: tuple[Subject, Subject] | None, usual_name: str, console: Console
) -> Changes | None:
    if len(networks) < 2:
        return None
    found = match(*(network.layers[-1].distribution for network in networks[:2]))
    distances = None if usual is None else match(*(_distribution(one, console) for one in usual)).distance
    return Changes(
        found.first.astype(np.int32), found.second.astype(np.int32), found.distance, distances, usual_name
    )


def _distribution(subject: Subject, console: Console) -> NDArray[np.float64]:
    """`P` of a network's last layer."""
    with tempfile.TemporaryDirectory(prefix="torchdiscern-") as folder:
        seen = see(replace(subject, layers=subject.layers[-1:]), Path(folder), console)
        last = seen.layers[-1]
        return shares_of(last.activation, seen.labels, seen.num_classes, last.broken).distribution


def _on(subject: Subject, rows: Places) -> Subject:
    """A subject on some of its rows."""
    places = torch.from_numpy(np.searchsorted(subject.rows.numpy(), rows))
    facts = subject.facts | {"Images": count_of(subject.images, len(rows))}
    return replace(subject, rows=subject.rows[places], labels=subject.labels[places], facts=facts)


def _noted(subject: Subject, note: str) -> Subject:
    return replace(subject, notes=[*subject.notes, note])


def _check_images(subjects: Mapping[str, Subject]) -> None:
    (name, first), *others = subjects.items()
    for other, subject in others:
        if subject.images.fingerprint != first.images.fingerprint:
            given = [f"{one.images.name} at {one.images.pixels.shape[-1]} pixels" for one in (first, subject)]
            raise ValueError(
                f"data: {name!r} was given {given[0]} and {other!r} {given[1]}, expected the same images, "
                "pixel by pixel; name one folder for both with --data, and networks that take one size."
            )
        if subject.classes != first.classes:
            raise ValueError(
                f"data: {name!r} tells {_in_words(first.classes)} apart and {other!r} "
                f"{_in_words(subject.classes)}, expected the same classes in the same order; choose networks "
                "that were trained on one target."
            )


def _check_same(subjects: Mapping[str, Subject]) -> None:
    _check_images(subjects)
    (name, first), *others = subjects.items()
    for other, subject in others:
        if not torch.equal(subject.rows, first.rows):
            raise ValueError(
                f"rows: {name!r} is to be shown {len(first.rows):,} of the images and {other!r} another "
                f"{len(subject.rows):,}, expected the same; take those in common, as `on_common_images` does."
            )
        if not torch.equal(subject.labels, first.labels):
            raise ValueError(
                f"labels: {name!r} and {other!r} have other labels for the same images, expected the same; "
                "choose networks that were trained on one target."
            )


def _in_words(classes: list[str]) -> str:
    return f"{len(classes)} classes ({', '.join(classes[:3])}{', ...' if len(classes) > 3 else ''})"


def _facts(facts: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Once what holds for all networks, else by network."""
    found: dict[str, str] = {}
    for key in dict.fromkeys(key for one in facts.values() for key in one):
        values = {name: one[key] for name, one in facts.items() if key in one}
        if key in SAID_ONCE or (len(values) == len(facts) and len(set(values.values())) == 1):
            found[key] = next(iter(values.values()))
        else:
            found |= {f"{key}: {name}": value for name, value in values.items()}
    return found


def _notes(notes: Mapping[str, list[str]]) -> list[str]:
    """Once what holds for all networks, else by network."""
    found: list[str] = []
    for note in dict.fromkeys(note for one in notes.values() for note in one):
        of = [name for name, one in notes.items() if note in one]
        found += [note] if len(of) == len(notes) else [f"{name}: {note}" for name in of]
    return found
