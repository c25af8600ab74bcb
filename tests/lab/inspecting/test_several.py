"""Networks in one report: each as if it were alone, compared on the same images."""

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from subject_cases import QUIET, saved

from torchdiscern.lab import Recipe, Run, train
from torchdiscern.lab.data import folder as data_folder
from torchdiscern.lab.inspecting import Subject, inspect, inspect_several, several, subject_of
from torchdiscern.lab.inspecting.matching import match
from torchdiscern.lab.inspecting.seeing import see
from torchdiscern.lab.inspecting.several import on_common_images
from torchdiscern.lab.networks import make_network
from torchdiscern.lab.report.contents import Contents


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Two arms under one seed, and the first arm under another."""
    folder = tmp_path_factory.mktemp("runs")
    recipe = Recipe.named("digits").with_settings(loggers=(), epochs=2, width=12)
    settings = {"ce-0": ("ce", 0), "gini-0": ("gini", 0), "ce-1": ("ce", 1)}
    return {
        name: train(recipe.with_settings(arm=arm, seed=seed), folder / name, console=QUIET)
        for name, (arm, seed) in settings.items()
    }


@pytest.fixture(scope="module")
def subjects(runs: dict[str, Run]) -> dict[str, Subject]:
    return {name: subject_of(str(run.folder)) for name, run in runs.items()}


@pytest.fixture(scope="module")
def pair(subjects: dict[str, Subject]) -> Contents:
    """The two arms, and by what two seeds of the first differ."""
    usual = on_common_images({name: subjects[name] for name in ("ce-0", "ce-1")})
    return inspect_several(
        {"plain": subjects["ce-0"], "ours": subjects["gini-0"]},
        QUIET,
        usual=(usual["ce-0"], usual["ce-1"]),
        usual_name="plain, seeds 0 and 1",
    )


@pytest.mark.parametrize(("place", "name"), [(0, "ce-0"), (1, "gini-0")])
def test_each_network_is_as_if_it_were_alone(
    pair: Contents, runs: dict[str, Run], subjects: dict[str, Subject], place: int, name: str
) -> None:
    alone = inspect(str(runs[name].folder))
    found = pair.networks[place]
    assert found.name == ("plain", "ours")[place]
    assert alone.networks[0].name == subjects[name].title
    assert alone.changes is None
    assert (pair.files, pair.classes) == (alone.files, alone.classes)
    np.testing.assert_array_equal(pair.labels, alone.labels)
    assert [layer.name for layer in found.layers] == [layer.name for layer in alone.networks[0].layers]
    np.testing.assert_array_equal(found.layers[-1].distribution, alone.networks[0].layers[-1].distribution)
    np.testing.assert_array_equal(found.layers[-1].low, alone.networks[0].layers[-1].low)
    assert found.decisions is not None
    assert found.decisions.accuracy == pytest.approx(runs[name].result["best"]["test"]["accuracy"])


def test_features_are_compared_between_the_first_two(pair: Contents, subjects: dict[str, Subject]) -> None:
    assert pair.changes is not None
    P, Q = (network.layers[-1].distribution for network in pair.networks)
    first, second = pair.changes.first, pair.changes.second
    assert len(set(first.tolist())) == len(first) == min(int((one.sum(0) > 0).sum()) for one in (P, Q))
    np.testing.assert_allclose(np.abs(P[:, first] - Q[:, second]).sum(0) / 2, pair.changes.distance)
    assert (np.diff(pair.changes.distance) >= 0).all()
    three = inspect_several({"a": subjects["ce-0"], "b": subjects["gini-0"], "c": subjects["ce-0"]}, QUIET)
    assert three.changes is not None
    np.testing.assert_array_equal(three.changes.distance, pair.changes.distance)
    assert three.changes.usual is None
    assert [network.name for network in three.networks] == ["a", "b", "c"]


def test_what_two_seeds_differ_by_is_taken_on_images_that_both_held_out(
    pair: Contents, subjects: dict[str, Subject]
) -> None:
    both = np.intersect1d(subjects["ce-0"].rows, subjects["ce-1"].rows)
    assert 0 < len(both) < len(subjects["ce-0"].rows)
    seeds = inspect_several(on_common_images({n: subjects[n] for n in ("ce-0", "ce-1")}), QUIET)
    P, Q = (network.layers[-1].distribution for network in seeds.networks)
    assert pair.changes is not None
    assert pair.changes.usual is not None
    np.testing.assert_allclose(pair.changes.usual, match(P, Q).distance)
    assert pair.changes.usual_name == "plain, seeds 0 and 1"
    images = subjects["ce-0"].images
    assert seeds.files == [images.files[row] for row in both]
    assert seeds.labels.tolist() == images.labels[both].tolist()
    assert seeds.facts["Images"] == f"{len(both)} of 1,797, 8 by 8 pixels"
    assert len(seeds.notes) == 1
    assert f"shown are the {len(both)} that every one held out" in seeds.notes[0]
    pixels, there = seeds.thumbnails(np.array([5], np.int32))
    assert there.all()
    np.testing.assert_array_equal(pixels[0, ..., 0], images.pixels[torch.tensor([both[5]])][0, 0])


def test_facts_and_notes_say_whose_they_are(subjects: dict[str, Subject]) -> None:
    first = replace(subjects["ce-0"], notes=["Both.", "Mine."])
    facts = subjects["gini-0"].facts | {"Date": "tomorrow"}
    second = replace(subjects["gini-0"], notes=["Both."], facts=facts)
    found = inspect_several({"a": first, "b": second}, QUIET)
    assert found.title == "a and b"
    assert found.notes == ["Both.", "a: Mine."]
    assert "arm ce" in found.facts["Model: a"]
    assert "arm gini" in found.facts["Model: b"]
    assert found.facts["Classes"] == "10"
    assert "Model" not in found.facts
    assert found.facts["Date"] == first.facts["Date"]


def test_other_images_classes_and_labels_are_refused(
    subjects: dict[str, Subject], photos: Path, tmp_path: Path
) -> None:
    first, second = subjects["ce-0"], subjects["gini-0"]
    path = saved(make_network("small", 3).module, tmp_path)
    other = subject_of("small", str(photos), weights=path, size=8)
    turned = replace(second, classes=second.classes[::-1])
    relabelled = replace(second, labels=second.labels.flip(0))
    for wrong, says in {
        other: "data: 'a' was given scikit-learn's handwritten digits at 8 pixels and 'b' .* at 8 pixels",
        turned: r"data: 'a' tells 10 classes \(0, 1, 2, ...\) apart and 'b' 10 classes \(9, 8, 7",
        subjects["ce-1"]: "rows: 'a' is to be shown 898 of the images and 'b' another 898",
        relabelled: "labels: 'a' and 'b' have other labels for the same images",
    }.items():
        with pytest.raises(ValueError, match=says):
            inspect_several({"a": first, "b": wrong}, QUIET)
        with pytest.raises(ValueError, match=says.replace("'a'", ".*").replace("'b'", ".*")):
            inspect_several({"a": first}, QUIET, usual=(first, wrong))
    apart = replace(second, rows=(torch.isin(torch.arange(1797), first.rows, invert=True)).nonzero().flatten())
    with pytest.raises(ValueError, match=r"no image is held out by all of 'a' and 'b', .* with --data"):
        on_common_images({"a": first, "b": apart})


def test_an_image_that_disappears_between_two_networks_is_left_out_of_both(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    monkeypatch.setattr(data_folder, "fits_in_memory", lambda needed: False)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    path = saved(make_network("small", 3).module, tmp_path)
    subject = subject_of("small", str(tmp_path / "photos"), weights=path, size=16)

    def see_and_lose(subject: Subject, folder: Path, console: Console) -> object:
        found = see(subject, folder, console)
        (tmp_path / "photos" / subject.images.files[4]).unlink(missing_ok=True)
        return found

    monkeypatch.setattr(several, "see", see_and_lose)
    found = inspect_several({"a": subject, "b": subject}, QUIET)
    assert found.files == [name for row, name in enumerate(subject.images.files) if row != 4]
    assert len(found.labels) == 29
    assert all(network.decisions and len(network.decisions.predicted) == 29 for network in found.networks)
    assert any(note.startswith("1 image(s) disappeared while networks were shown") for note in found.notes)
    assert list((tmp_path / "temporary").iterdir()) == []
