"""A comparison as a whole: real runs on the digits, one epoch each."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from torchdiscern.lab import Recipe, Results, compare
from torchdiscern.lab.comparing.folder import Folder, held
from torchdiscern.lab.comparing.results import examples_of

QUIET = Console(quiet=True)
RECIPE = Recipe.named("digits").with_settings(epochs=1, width=8)
NOISY = ("step_ms", "memory_mb")


def done(folder: Path, arms: list[str], seeds: int, **options: Any) -> Results:
    return compare(RECIPE, arms, seeds, out=folder, console=QUIET, **options)


def numbers(results: Results) -> dict[tuple[str, int], dict[str, float | None]]:
    return {
        (run.arm, run.seed): {name: value for name, value in run.metrics.items() if name not in NOISY}
        for run in results.runs
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compared") / "digits"
    done(path, ["ce", "gini"], 2)
    return path


def test_everything_is_written(folder: Path) -> None:
    found = json.loads((folder / "results.json").read_text())
    assert [(run["arm"], run["seed"]) for run in found["runs"]] == [
        ("ce", 0),
        ("ce", 1),
        ("gini", 0),
        ("gini", 1),
    ]
    assert set(found["contrasts"][0]) >= {
        *("arm", "baseline", "metric", "difference", "low", "high", "p", "verdict")
    }
    assert {one["verdict"] for one in found["contrasts"]} == {"too few seeds"}
    assert found["versions"]["torch"]
    assert found["machines"][0]
    assert (folder / "results.csv").read_text().count("\n") == 5
    assert {path.suffix for path in (folder / "plots").iterdir()} == {".png", ".svg"}
    assert "<html" in (folder / "comparison.html").read_text()
    assert not list(folder.rglob("*.ckpt"))
    assert not list(folder.rglob("*.safetensors"))


def test_a_difference_is_that_of_the_runs(folder: Path) -> None:
    found = json.loads((folder / "results.json").read_text())
    accuracy = {(run["arm"], run["seed"]): run["metrics"]["accuracy"] for run in found["runs"]}
    expected = sum(accuracy["gini", seed] - accuracy["ce", seed] for seed in (0, 1)) / 2
    contrast = next(one for one in found["contrasts"] if one["metric"] == "accuracy")
    assert contrast["difference"] == pytest.approx(expected)


def test_it_is_kept_which_images_were_right_by_each_measure_that_is_a_share_of_them(folder: Path) -> None:
    record = json.loads((folder / "records" / "gini-0.json").read_text())
    found = examples_of(record)
    assert set(found) == {
        name for name in record["metrics"] if re.fullmatch(r"accuracy(_without_\d+)?|k_.*", name)
    }
    for name, right in found.items():
        assert len(right) == record["correct"]["images"]
        assert float(right.mean()) == pytest.approx(record["metrics"][name])
    older = record["correct"] | {"bits": record["correct"]["bits"]["accuracy"]}
    assert examples_of({"correct": older})["accuracy"].tolist() == found["accuracy"].tolist()


def test_nothing_is_trained_twice_and_seeds_and_arms_are_added(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in (folder / "records").iterdir()}
    results = done(folder, ["renyi"], 3)  # with the baseline, and the arm that is there
    assert {(run.arm, run.seed) for run in results.runs} == {
        (arm, seed) for arm in ("ce", "gini", "renyi") for seed in range(3)
    }
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())


def test_the_command_that_is_kept_repeats_what_was_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again, more = (["torchdiscern", "compare", "digits", "--arms", arms] for arms in ("ce", "ce,", "gini"))
    for call, arms in ((first, ["ce"]), (again, ["ce"]), (more, ["gini"])):
        monkeypatch.setattr("sys.argv", call)
        done(tmp_path, arms, 1)
    kept = json.loads((tmp_path / "comparison.json").read_text())["command"]
    assert kept == "torchdiscern compare digits --arms ce; torchdiscern compare digits --arms gini"


def test_other_settings_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match="holds a comparison with epochs=1, expected 2 to add to it"):
        compare(RECIPE.with_settings(epochs=2), ["ce", "gini"], 2, out=folder, console=QUIET)
    with pytest.raises(ValueError, match="holds a comparison with tune=0, expected 3"):
        done(folder, ["ce", "gini"], 2, tune=3)
    with pytest.raises(ValueError, match="whose arm 'gini' has"):
        compare(
            RECIPE, {"ce": {"arm": "ce"}, "gini": {"arm": "gini", "kl_weight": 1.0}}, 2, out=folder, console=QUIET
        )


def test_two_processes_do_not_tread_on_each_other(folder: Path) -> None:
    with held(Folder(folder)), pytest.raises(OSError, match="another process compares in"):
        done(folder, ["ce", "gini"], 2)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match="holds files of something else"):
        done(tmp_path, ["ce"], 1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_changed_record_is_refused(tmp_path: Path) -> None:
    done(tmp_path, ["ce"], 1)
    path = tmp_path / "records" / "ce-0.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"settings": record["settings"] | {"learning_rate": 0.2}}))
    with pytest.raises(ValueError, match=r"holds ce-0 with learning_rate=0\.2, expected 0\.1"):
        done(tmp_path, ["ce"], 1)


def test_a_run_that_fails_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    arms = {"ce": {"arm": "ce"}, "wild": {"arm": "ce", "learning_rate": 1e30}}
    with pytest.raises(ValueError, match=r"the first is wild with seed 0 \(learning_rate: the loss became"):
        compare(RECIPE, arms, 1, out=tmp_path, console=QUIET)
    found = json.loads((tmp_path / "results.json").read_text())
    assert [run["arm"] for run in found["runs"]] == ["ce"]
    assert found["failed"][0]["arm"] == "wild"


def test_every_arm_has_as_many_trials_and_what_they_chose(tmp_path: Path) -> None:
    results = done(tmp_path, ["ce", "renyi"], 1, tune=2)
    trials = results.details["tuning"]
    assert {arm: len(found) for arm, found in trials.items()} == {"ce": 2, "renyi": 2}
    assert set(trials["renyi"][0]["settings"]) == {
        *("learning_rate", "weight_decay", "dropout", "impurity_weight", "kl_weight")
    }
    assert trials["ce"][0]["settings"]["learning_rate"] == RECIPE.learning_rate
    for run in results.runs:
        best = max(trials[run.arm], key=lambda one: one["value"])["settings"]
        assert {name: run.settings[name] for name in best if name in run.settings} == {
            name: value for name, value in best.items() if name in run.settings
        }
        assert results.details["arms"][run.arm]["tuned"] == best


def test_an_arm_of_which_no_trial_trains_does_not_keep_the_others_from_their_results(tmp_path: Path) -> None:
    arms = {"ce": {"arm": "ce"}, "wild": {"arm": "ce", "learning_rate": 1e30}}
    for _ in range(2):  # also when it goes on
        with pytest.raises(ValueError, match=r"the first is wild \(none of its 1 trials"):
            compare(RECIPE, arms, 1, out=tmp_path, console=QUIET, tune=1)
        found = json.loads((tmp_path / "results.json").read_text())
        assert [run["arm"] for run in found["runs"]] == ["ce"]
        assert found["arms"]["wild"]["tuned"] is None


def test_tuning_without_validation_images_is_told(tmp_path: Path) -> None:
    recipe = RECIPE.with_settings(val_fraction=0.0)
    with pytest.raises(RuntimeError, match="holds no images out for validation"):
        compare(recipe, ["ce"], 1, out=tmp_path, console=QUIET, tune=1)


def test_a_removed_record_is_made_again_though_the_weights_are_gone(tmp_path: Path) -> None:
    before = done(tmp_path, ["ce"], 1)
    (tmp_path / "records" / "ce-0.json").unlink()
    assert numbers(done(tmp_path, ["ce"], 1)) == numbers(before)


def test_other_images_are_refused(tmp_path: Path) -> None:
    done(tmp_path, ["ce"], 1)
    path = tmp_path / "records" / "ce-0.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"images": "others"}))
    with pytest.raises(ValueError, match="data: the images of 'digits' are not those of the runs in"):
        done(tmp_path, ["ce", "gini"], 1)


def test_a_complete_comparison_keeps_when_it_ended_and_its_space(tmp_path: Path) -> None:
    first = done(tmp_path, ["ce"], 1, tune=1)
    assert done(tmp_path, ["ce"], 1, tune=1).details["finished"] == first.details["finished"]
    path = tmp_path / "comparison.json"
    kept = json.loads(path.read_text())
    kept["spaces"]["ce"]["learning_rate"][1] = 9.0
    path.write_text(json.dumps(kept))
    with pytest.raises(ValueError, match="whose arm 'ce' was tuned in another space"):
        done(tmp_path, ["ce"], 1, tune=1)


def begun(out: Path, *more: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "torchdiscern", "compare", "digits", "--set", "epochs=1", "--set", "width=8"]
    command += ["--arms", "ce,gini", "--seeds", "3", "--out", str(out), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def records(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in out.glob("records/*.json")}


def test_killed_and_begun_again_it_ends_as_one_that_was_not(tmp_path: Path, folder: Path) -> None:
    process = begun(tmp_path)
    try:
        while len(records(tmp_path)) < 2 and process.poll() is None:
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    kept = records(tmp_path)
    assert 2 <= len(kept) < 6
    again = begun(tmp_path)
    text, _ = again.communicate(timeout=300)
    assert again.returncode == 0, text
    assert {name: at for name, at in records(tmp_path).items() if name in kept} == kept
    whole = done(folder, ["ce", "gini"], 3)
    found = json.loads((tmp_path / "results.json").read_text())
    found = {(run["arm"], run["seed"]): run["metrics"] for run in found["runs"]}
    for place, metrics in numbers(whole).items():
        if place in found:
            assert {name: found[place][name] for name in metrics} == metrics
    assert len(found) == 6
    assert re.search(r"plan", text, re.IGNORECASE)
