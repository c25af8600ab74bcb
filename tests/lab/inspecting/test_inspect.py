"""A network inspected from beginning to end."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from subject_cases import plain, saved

from torchdiscern.lab import Run
from torchdiscern.lab.inspecting import inspect, subject_of
from torchdiscern.lab.networks import make_network


def test_what_a_report_of_a_run_holds(
    trained: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained("digits", epochs=4, width=16, per_class=40)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    found = inspect(str(run.folder), layers=["features", "pooled"])
    assert list((tmp_path / "temporary").iterdir()) == []
    subject = subject_of(str(run.folder))
    assert found.classes == run.made_with["classes"]
    assert found.files == [subject.images.files[row] for row in subject.rows]
    np.testing.assert_array_equal(found.labels, subject.labels)
    (network,) = found.networks
    assert [layer.name for layer in network.layers] == ["features", "pooled"]
    logits, _ = plain(subject, "pooled")
    assert network.decisions is not None
    np.testing.assert_array_equal(network.decisions.predicted, logits.argmax(1))
    assert network.decisions.accuracy == pytest.approx(run.result["best"]["test"]["accuracy"])
    assert float(network.layers[-1].impurity.mean()) == pytest.approx(
        run.result["best"]["test"]["impurity"], abs=1e-6
    )
    pixels, there = found.thumbnails(np.array([3, 0], np.int32))
    assert there.all()
    np.testing.assert_array_equal(pixels[0, ..., 1], subject.inputs[subject.rows[3:4]][0, 0])


def test_the_class_means_decide_where_the_classifier_is_of_other_classes(photos: Path, tmp_path: Path) -> None:
    for name in ("red", "blue"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for index in range(6):
            Image.open(photos / name / f"{index}.png").save(tmp_path / "set" / name / f"{index}.png")
    path = saved(make_network("small", 7).module, tmp_path)
    found = inspect("small", str(tmp_path / "set"), weights=path, size=16)
    assert found.facts["Images"] == "12 of 12, 16 by 16 pixels"
    (network,) = found.networks
    assert network.decisions is not None
    assert "nearest class mean" in network.decisions.source
    assert any("7 outputs and the data 2 classes" in note for note in found.notes)
