"""What a comparison's folder allows a later call, and what a run that fails leaves."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from torchdiscern.lab import Recipe, Results, compare, train
from torchdiscern.lab.comparing.engines import Ray
from torchdiscern.lab.comparing.task import Task, perform
from torchdiscern.lab.environment import code_state

QUIET = Console(quiet=True)
RECIPE = Recipe.named("digits").with_settings(epochs=1, width=8, threads=1)

TORN = """
calls = []

def loss(step):
    calls.append(1)
    if len(calls) > 15:  # the plan takes some
        raise KeyError("shapes do not fit")
    return step.cross_entropy
"""


def done(folder: Path, arms: list[str], seeds: int = 1, **options: Any) -> Results:
    return compare(RECIPE, arms, seeds, out=folder, console=QUIET, **options)


def test_no_contrast_is_named_after_the_runs(tmp_path: Path) -> None:
    done(tmp_path, ["gini"])
    with pytest.raises(
        ValueError, match="runs are there already, so that gini:accuracy cannot be named beforehand"
    ):
        done(tmp_path, ["gini"], named=("gini", "accuracy"))
    assert json.loads((tmp_path / "comparison.json").read_text())["named"] is None


def test_what_makes_no_difference_is_not_changed_after_the_runs(tmp_path: Path) -> None:
    done(tmp_path, ["gini"], band=3.0)
    with pytest.raises(ValueError, match=r"holds a comparison with band=3\.0, expected 0\.2"):
        done(tmp_path, ["gini"])


def test_a_plan_alone_leaves_the_trials_as_they_are(tmp_path: Path) -> None:
    done(tmp_path, ["ce"], tune=1)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done(tmp_path, ["ce", "gini"], tune=1, plan_only=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_an_arm_that_fixes_all_that_tuning_draws_keeps_its_trials_too(tmp_path: Path) -> None:
    fixed = {"arm": "ce", "learning_rate": 0.1, "weight_decay": 1e-4, "dropout": 0.0}
    arms = {"ce": {"arm": "ce"}, "fixed": fixed}
    for _ in range(2):
        found = compare(RECIPE, arms, 1, out=tmp_path, console=QUIET, tune=2)
        assert {arm: len(trials) for arm, trials in found.details["tuning"].items()} == {"ce": 2, "fixed": 2}
        assert found.details["arms"]["fixed"]["tuned"] == {}


def test_an_arm_with_an_error_in_its_code_is_named_and_the_others_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torn_arm.py").write_text(TORN)
    monkeypatch.syspath_prepend(tmp_path)
    arms = {"ce": {"arm": "ce"}, "torn": {"arm": "torn_arm:loss"}}
    with pytest.raises(
        ValueError, match=r"the first is torn with seed 0 \(KeyError: 'shapes do not fit'\)"
    ) as said:
        compare(RECIPE, arms, 1, out=tmp_path / "out", console=QUIET)
    assert isinstance(said.value.__cause__, KeyError)
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [run["arm"] for run in found["runs"]] == ["ce"]
    assert (tmp_path / "out" / "comparison.html").exists()


def test_a_trial_that_an_error_ends_is_tried_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, when in (("once", "== 16"), ("always", "> 15")):
        (tmp_path / f"torn_{name}.py").write_text(TORN.replace("> 15", when))
    arms = {name: {"arm": f"torn_{name}:loss"} for name in ("once", "always")}
    with pytest.raises(ValueError, match=r"the first is always \(none of its 2 trials could be trained\)"):
        compare(RECIPE, {"ce": {"arm": "ce"}} | arms, 1, out=tmp_path / "out", console=QUIET, tune=2)
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    trained = {arm: [one["value"] is not None for one in trials] for arm, trials in found["tuning"].items()}
    assert trained == {"ce": [True, True], "once": [True, True], "always": [False, False]}
    assert [run["arm"] for run in found["runs"]] == ["ce", "once"]


def test_a_named_arm_without_a_run_leaves_the_others_their_results(tmp_path: Path) -> None:
    arms = {"ce": {"arm": "ce"}, "gini": {"arm": "gini"}, "wild": {"arm": "ce", "learning_rate": 1e30}}
    with pytest.raises(ValueError, match="the first is wild with seed 0"):
        compare(RECIPE, arms, 1, out=tmp_path, console=QUIET, named=("wild", "accuracy"))
    found = json.loads((tmp_path / "results.json").read_text())
    assert [run["arm"] for run in found["runs"]] == ["ce", "gini"]
    assert found["failed"][0]["arm"] == "wild"
    assert "named before the runs, but nothing to compare" in (tmp_path / "comparison.html").read_text()


def test_what_a_kill_during_the_first_write_leaves_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / ".comparison.json.abcd1234").write_text("{")
    assert done(tmp_path, ["ce"]).runs


def test_a_seed_named_twice_is_one(tmp_path: Path) -> None:
    found = compare(RECIPE, ["ce"], [3, 3], out=tmp_path, console=QUIET)
    assert [run.seed for run in found.runs] == [3]
    assert found.details["means"]["ce"]["accuracy"]["seeds"] == 1


def test_seeds_that_were_added_are_told_with_the_code_that_trained_them(tmp_path: Path) -> None:
    done(tmp_path, ["gini"], 1)
    found = done(tmp_path, ["gini"], 2)
    assert [one["seeds"] for one in found.details["sessions"]] == [1, 2]
    assert {run.code for run in found.runs} == {code_state()}
    assert "Seeds were added when runs were there (1, then 2)" in (tmp_path / "comparison.html").read_text()


def test_what_an_earlier_process_spent_on_a_run_counts(tmp_path: Path) -> None:
    recipe = RECIPE.with_settings(arm="ce", loggers=())
    run = train(recipe, tmp_path, console=QUIET)
    result = run.result
    result["seconds"]["training"] = 5000.0
    run.result_file.write_text(json.dumps(result))
    token = tmp_path / "recipe.yaml"
    found = perform(Task("ce-0", "ce", recipe.as_dict(), folder=str(tmp_path), token=str(token)))
    assert 5000 < found["seconds"] < 5100


def test_the_time_of_a_step_is_that_of_training_alone(tmp_path: Path) -> None:
    recipe = RECIPE.with_settings(arm="ce", loggers=(), batch_size=100)
    run = train(recipe, tmp_path, console=QUIET)
    (tmp_path / "metrics.csv").write_text(
        "epoch,step,images_per_second,val_accuracy\n1,5,100,\n1,9,50,\n1,9,,0.5\n1,12,2000,\n"
    )
    token = tmp_path / "recipe.yaml"
    found = perform(Task("ce-0", "ce", recipe.as_dict(), folder=str(tmp_path), token=str(token)))
    assert run.images_per_second == 100
    assert found["metrics"]["step_ms"] == 1000


def test_an_arm_that_cannot_take_a_step_is_named_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torn_at_once.py").write_text(TORN.replace("> 15", "> 0"))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"arms: 'torn_at_once:loss' fails in its first steps \(KeyError"):
        done(tmp_path / "out", ["torn_at_once:loss"])
    assert not (tmp_path / "out" / "records").exists()


def test_a_cluster_that_is_not_there_is_said_at_once() -> None:
    with pytest.raises(OSError, match=r"no Ray cluster answers at 127\.0\.0\.1:1"), Ray(1, "127.0.0.1:1"):
        pass
