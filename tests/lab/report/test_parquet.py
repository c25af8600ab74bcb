"""What programs read of a feature report."""

import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from report_cases import example

from torchdiscern.lab.report.parquet import write_parquet


def test_every_table_holds_what_the_report_does(tmp_path: Path) -> None:
    contents = example(60, 5, 7, networks=2, changes=True)
    files = write_parquet(contents, tmp_path / "tables")
    assert sorted(path.stem for path in files) == [
        "changes",
        "classes",
        "distributions",
        "features",
        "images",
        "labels",
    ]
    found = {path.stem: pq.read_table(path).to_pydict() for path in files}
    network = contents.networks[1]
    layer = network.layers[-1]

    rows = [
        i
        for i, (name, of) in enumerate(zip(found["features"]["network"], found["features"]["layer"], strict=True))
        if (name, of) == (network.name, layer.name)
    ]
    assert [found["features"]["feature"][i] for i in rows] == list(range(7))
    assert [found["features"]["impurity"][i] for i in rows] == layer.impurity.tolist()
    owners = [None if c < 0 else contents.classes[c] for c in layer.owner]
    assert [found["features"]["owner"][i] for i in rows] == owners
    shares = [found["features"]["share"][i] for i in rows]
    assert shares == [None if dead else share for dead, share in zip(layer.dead, layer.share, strict=True)]

    shown = found["distributions"]
    for i in range(0, len(shown["share"]), 11):
        of = next(one for one in contents.networks if one.name == shown["network"][i])
        P = next(one for one in of.layers if one.name == shown["layer"][i]).distribution
        assert shown["share"][i] == P[contents.classes.index(shown["class"][i]), shown["feature"][i]]

    decisions = network.decisions
    assert decisions is not None
    predicted = [
        name
        for name, of in zip(found["images"]["predicted"], found["images"]["network"], strict=True)
        if of == network.name
    ]
    assert predicted == [contents.classes[c] for c in decisions.predicted]
    accuracy = np.array(found["classes"]["accuracy"][-len(contents.classes) :], float)
    with np.errstate(invalid="ignore"):
        np.testing.assert_array_equal(accuracy, decisions.confusion.diagonal() / decisions.confusion.sum(1))
    assert contents.changes is not None
    assert found["changes"]["distance"] == contents.changes.distance.tolist()


def test_without_decisions_their_columns_are_null_and_labels_are_left_out(tmp_path: Path) -> None:
    files = write_parquet(example(30, 3, 4, decisions=False, suspicions=False), tmp_path)
    assert "labels" not in [path.stem for path in files]
    images = pq.read_table(tmp_path / "images.parquet").to_pydict()
    assert set(images["predicted"]) == set(images["probability"]) == {None}


def test_without_pyarrow_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'torchdiscern\[parquet\]'"):
        write_parquet(example(30, 3, 4), tmp_path)
