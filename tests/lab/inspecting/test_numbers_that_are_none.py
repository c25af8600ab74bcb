"""Networks that give NaN or infinity, on some images or for some features."""

from pathlib import Path

import numpy as np
import pytest
import torch
from inspected_networks import broken, spoiling
from rich.console import Console
from seen_cases import random_seen, seen_of
from subject_cases import saved
from torch import nn

from torchdiscern.lab.inspecting import inspect
from torchdiscern.lab.inspecting.layer_numbers import numbers_of
from torchdiscern.lab.inspecting.seeing import see
from torchdiscern.lab.inspecting.subject import Subject, subject_of

QUIET = Console(quiet=True)


def test_a_broken_feature_has_no_part_in_any_number() -> None:
    whole = random_seen(0, features=6)
    found = numbers_of(seen_of(whole.read, whole.labels, 4, broken=(2,)), 0)
    without = numbers_of(seen_of(np.delete(whole.read, 2, 1), whole.labels, 4), 0)
    np.testing.assert_allclose(found.coverage, without.coverage)
    assert found.divergence == pytest.approx(without.divergence)
    assert found.owner[2] == -1
    assert not found.dead[2]
    for name in ("mean", "share", "impurity", "impurity_renyi", "effective", "firing", "removal"):
        values, others = getattr(found, name), getattr(without, name)
        assert np.isnan(values[2]), name
        if name != "removal":  # in decisions it counts as what was seen of it
            np.testing.assert_allclose(np.delete(values, 2), others, err_msg=name)
    for examples in (found.top, found.middling, found.random):
        assert (examples.rows[2] == -1).all()
        assert (np.delete(examples.rows, 2, 0) >= 0).any()
    assert not found.low[:, 2].any()
    assert not found.high[:, 2].any()
    assert 2 not in found.nearest
    assert (found.nearest[2] == -1).all()


def subject_on(photos: Path, tmp_path: Path, module: nn.Module, name: str) -> Subject:
    return subject_of(f"inspected_networks:{name}", str(photos), weights=saved(module, tmp_path), size=32)


def test_an_image_without_any_number_is_left_out(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    subject = subject_on(photos, tmp_path, spoiling(3), "spoiling")
    blue = subject.labels == 0
    assert blue[:4].all()  # those on which the positions of features are looked for
    seen = see(subject, tmp_path, QUIET)
    assert seen.rows.tolist() == subject.rows[~blue].tolist()
    assert seen.labels.tolist() == subject.labels[~blue].tolist()
    assert not seen.layers[0].broken.any()
    assert np.isfinite(seen.layers[0].activation).all()
    assert len(seen.layers[0].activation) == len(seen.read) == 20
    (note,) = (note for note in seen.notes if "NaN" in note)
    assert note.startswith("10 image(s)")
    assert note.endswith("the first is 'blue/0.png'.")


def test_a_report_of_it_can_be_made(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    path = saved(spoiling(3), tmp_path)
    found = inspect("inspected_networks:spoiling", str(photos), weights=path, size=32)
    assert len(found.files) == len(found.labels) == 20
    assert found.networks[0].decisions is not None
    assert len(found.networks[0].decisions.predicted) == 20


def test_a_network_of_nan_alone_is_one_sentence(photos: Path, tmp_path: Path) -> None:
    module = broken(3)
    for value in module.parameters():
        nn.init.constant_(value, torch.nan)
    subject = subject_on(photos, tmp_path, module, "broken")
    with pytest.raises(ValueError, match="model: gives NaN or infinity alone for all of 30 images"):
        see(subject, tmp_path, QUIET)
