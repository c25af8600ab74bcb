"""What the lab made, as one report: a run, two runs, arms of a comparison. Real runs on the digits."""

import json
import shutil
from itertools import combinations
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
from scipy import stats
from subject_cases import QUIET

from torchdiscern.lab import Recipe, compare
from torchdiscern.lab.inspecting import inspect
from torchdiscern.lab.inspecting.matching import match
from torchdiscern.lab.inspecting.reporting import report

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compared") / "digits"
    recipe = Recipe.named("digits").with_settings(epochs=1, width=8)
    arms = ["ce", "gini", "renyi"]
    compare(recipe, arms, 3, out=path, named=("renyi", "accuracy"), keep_weights=True, console=QUIET)
    return path


def values(folder: Path, arm: str, name: str) -> list[float]:
    records = [json.loads((folder / "records" / f"{arm}-{seed}.json").read_text()) for seed in SEEDS]
    return [record["metrics"][name] for record in records]


def without_weights(folder: Path, copy: Path, *runs: str) -> Path:
    shutil.copytree(folder, copy)
    for run in runs:
        (copy / "runs" / run / "model.safetensors").unlink()
    return copy


def test_a_comparison_shows_the_baseline_and_the_named_arm(folder: Path) -> None:
    found = report(folder)
    assert [network.name for network in found.networks] == ["ce", "renyi"]
    for network in found.networks:
        alone = inspect(str(folder / "runs" / f"{network.name}-0"))
        assert found.files == alone.files
        np.testing.assert_array_equal(network.layers[-1].distribution, alone.networks[0].layers[-1].distribution)
    assert found.facts["Seed of the networks"] == "0"
    assert found.title == "ce and renyi of digits"
    assert found.changes is not None
    assert found.changes.usual_name == "ce with seeds 0 and 1"
    seeds = report(folder / "runs" / "ce-0", folder / "runs" / "ce-1")
    P, Q = (network.layers[-1].distribution for network in seeds.networks)
    assert found.changes.usual is not None
    np.testing.assert_allclose(found.changes.usual, match(P, Q).distance)


def test_the_table_is_that_of_the_records(folder: Path) -> None:
    (table,) = report(folder, arms=["gini"]).tables
    assert table.columns == ["measure", "ce", "gini", "gini less ce", "two seeds of ce"]
    cells = {row[0]: row[1:] for row in table.rows}
    assert list(cells) == [
        "accuracy, %",
        "impurity (Gini)",
        "impurity (Renyi)",
        "coverage divergence, nats",
        "dead features",
    ]
    for label, name, scale, digits in (
        ("accuracy, %", "accuracy", 100, 2),
        ("impurity (Gini)", "impurity", 1, 3),
        ("impurity (Renyi)", "impurity_renyi", 1, 3),
        ("coverage divergence, nats", "coverage_divergence", 1, 3),
    ):
        base, ours = ([scale * one for one in values(folder, arm, name)] for arm in ("ce", "gini"))
        gains = [a - b for a, b in zip(ours, base, strict=True)]
        half = float(stats.t.ppf(0.975, 2)) * stdev(gains) / 3**0.5
        low, high = fmean(gains) - half, fmean(gains) + half
        chance = fmean(abs(a - b) for a, b in combinations(base, 2))
        assert cells[label] == [
            f"{fmean(base):.{digits}f} ± {stdev(base):.{digits}f}",
            f"{fmean(ours):.{digits}f} ± {stdev(ours):.{digits}f}",
            f"{fmean(gains):+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]",
            f"{chance:.{digits}f}",
        ]
    assert "seeds: 3 of ce, 3 of gini." in table.sentences[0]


def test_arms_are_chosen_by_name_and_the_first_is_the_one_to_compare_with(folder: Path) -> None:
    found = report(folder, arms=["gini", "renyi", "ce"], layers=["features"])
    assert [network.name for network in found.networks] == ["gini", "renyi", "ce"]
    assert [layer.name for layer in found.networks[0].layers] == ["features"]
    assert found.tables[0].columns[-1] == "two seeds of gini"
    assert found.changes is not None
    assert found.changes.usual_name == "gini with seeds 0 and 1"


def test_the_first_seed_that_has_kept_weights_of_both(folder: Path, tmp_path: Path) -> None:
    fewer = without_weights(folder, tmp_path / "fewer", "renyi-0", "ce-1")
    found = report(fewer)
    assert found.facts["Seed of the networks"] == "2"
    assert found.files == inspect(str(fewer / "runs" / "ce-2")).files
    assert found.changes is not None
    assert found.changes.usual_name == "ce with seeds 0 and 2"
    assert found.tables[0].rows == report(folder).tables[0].rows  # which needs no weights
    lone = without_weights(fewer, tmp_path / "lone", "ce-0")
    changes = report(lone).changes
    assert changes is not None
    assert (changes.usual, changes.usual_name) == (None, "")
    none = without_weights(lone, tmp_path / "none", "ce-2")
    with pytest.raises(ValueError, match=r"weights of no seed for all of ce, renyi, .* --keep-weights"):
        report(none)


def test_a_run_and_two_runs(folder: Path) -> None:
    run = folder / "runs" / "ce-0"
    alone = report(run)
    assert len(alone.networks) == 1
    assert alone.tables == []
    both = report(run, folder / "runs" / "gini-0")
    assert [network.name for network in both.networks] == ["ce-0", "gini-0"]
    assert both.files == alone.files
    assert both.notes == []
    assert both.changes is not None


def test_other_images_by_name(folder: Path) -> None:
    found = report(folder / "runs" / "ce-0", folder / "runs" / "ce-1", data="digits")
    assert len(found.files) == 1797
    assert found.notes == ["Whether the run has learned from some of these images is not known."]
    assert report(folder, data="digits").facts["Images"].startswith("1,797 of")


def test_what_is_asked_wrongly_is_said(folder: Path, tmp_path: Path) -> None:
    run = folder / "runs" / "ce-0"
    for arguments, arms, says in (
        ((folder,), ["ginny"], "arms: got 'ginny', .* expected some of ce, gini, renyi; did you mean 'gini'"),
        ((folder,), ["ce"], "arms: got ce, and .* expected two arms"),
        ((run,), ["ce", "gini"], "arms: got ce, gini for the run .* expected none"),
        ((run, run), [], "run2: .* is the first run again"),
        ((folder, run), [], "run2: .* one of which is a comparison"),
        ((tmp_path,), [], "run: .* holds neither recipe.yaml nor comparison.json"),
        ((run, tmp_path / "nowhere"), [], "run2: .* is no folder"),
    ):
        with pytest.raises(ValueError, match=says):
            report(*arguments, arms=arms)


def test_runs_of_one_name_are_told_apart(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "runs" / "gini-0", tmp_path / "ce-0")
    found = report(folder / "runs" / "ce-0", tmp_path / "ce-0")
    assert [network.name for network in found.networks] == [
        str(folder / "runs" / "ce-0"),
        str(tmp_path / "ce-0"),
    ]
