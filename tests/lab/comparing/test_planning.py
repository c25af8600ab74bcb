"""What is said before anything is trained."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from torchdiscern.lab import Recipe, compare
from torchdiscern.lab.comparing.design import NOT_JUDGED, Design, chosen_arms, expected, key_of
from torchdiscern.lab.comparing.folder import Folder
from torchdiscern.lab.comparing.planning import SPREAD, say_plan
from torchdiscern.lab.evidence import seeds_needed, smallest_difference

RECIPE = Recipe.named("digits").with_settings(epochs=1, width=8)


def plan_text(path: Path, arms: list[str], seeds: int, difference: float = 0.5) -> tuple[dict[str, Any], str]:
    console = Console(record=True, width=120, file=io.StringIO())
    design = Design(RECIPE, chosen_arms(arms), tuple(range(seeds)), tune=3)
    found = say_plan(design, Folder(path), console, 2, difference)
    return found, console.export_text()


def test_the_plan_counts_what_is_missing_and_says_what_it_can_show(tmp_path: Path) -> None:
    found, text = plan_text(tmp_path, ["ce", "gini"], 5)
    assert (found["runs"], found["trials"]) == (10, 6)
    alpha = 0.05 / found["contrasts"]
    corrected, beyond = smallest_difference(5, SPREAD, alpha=alpha), smallest_difference(5, SPREAD, band=0.2)
    assert found["smallest"] == pytest.approx(max(corrected, beyond)) == pytest.approx(corrected)
    assert found["needed"] == max(seeds_needed(0.5, SPREAD, alpha=alpha), seeds_needed(0.5, SPREAD, band=0.2))
    assert f"after correction for {found['contrasts']} contrasts" in " ".join(text.split())
    assert "10 to train: 2 arms, 5 seeds; 0 are done" in text
    assert f"{found['needed']} seeds would do" in text


def test_the_spread_of_the_runs_takes_the_place_of_the_assumed_one(tmp_path: Path) -> None:
    records = tmp_path / "records"
    records.mkdir()
    for arm, values in {"ce": [0.50, 0.50, 0.50], "gini": [0.51, 0.52, 0.53]}.items():
        for seed, value in enumerate(values):
            record = {"arm": arm, "seed": seed, "seconds": 60.0, "metrics": {"accuracy": value}}
            (records / f"{key_of(arm, seed)}.json").write_text(json.dumps(record))
    found, text = plan_text(tmp_path, ["ce", "gini"], 5)
    assert found["spread"] == pytest.approx(1.0)
    assert found["runs"] == 4
    assert found["seconds"] == pytest.approx(60 * (4 + 6) / 2)
    assert "6 are done" in text


def test_the_spread_is_the_named_arms_own(tmp_path: Path) -> None:
    (tmp_path / "records").mkdir()
    found = {"ce": [0.5, 0.5, 0.5], "gini": [0.5, 0.6, 0.7], "renyi": [0.51, 0.52, 0.53]}
    for arm, values in found.items():
        for seed, value in enumerate(values):
            record = {"arm": arm, "seed": seed, "seconds": 60.0, "metrics": {"accuracy": value}}
            (tmp_path / "records" / f"{key_of(arm, seed)}.json").write_text(json.dumps(record))
    design = Design(RECIPE, chosen_arms(found), (0, 1, 2, 3, 4), named=("renyi", "accuracy"))
    assert say_plan(design, Folder(tmp_path), Console(quiet=True), 1, 1.0)["spread"] == pytest.approx(1.0)


def test_one_seed_is_said_to_give_no_verdict(tmp_path: Path) -> None:
    found, text = plan_text(tmp_path, ["ce", "gini"], 1)
    assert found["smallest"] is None
    assert "1 seed cannot give a verdict" in text


def test_attacks_are_part_of_the_hours_of_runs_and_not_of_trials(tmp_path: Path) -> None:
    seconds = []
    for robust, tune in ((False, 0), (True, 0), (True, 3)):
        design = Design(RECIPE, chosen_arms(["ce"]), (0, 1), tune=tune, robust=robust)
        seconds.append(say_plan(design, Folder(tmp_path), Console(quiet=True), 1, 1.0)["seconds"])
    attacks, trials = seconds[1] - seconds[0], seconds[2] - seconds[1]
    assert attacks > seconds[0]  # 360 images of digits, 1,020 steps each
    assert trials < attacks


def test_a_plan_alone_trains_and_writes_nothing(tmp_path: Path) -> None:
    compare(RECIPE, ["ce", "gini"], 2, out=tmp_path / "out", plan_only=True, console=Console(quiet=True))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arms", "own", "said"),
    [
        ([], ["mine"], "expected NAME:key=value,key=value"),
        ([], ["mine:arm=reny"], "reny"),
        (["ginni"], [], "gini"),
        ([], ["gini:arm=gini,kl_weight=1"], "which ships by that name"),
        ([""], [], "arms: got none"),
        ([], ["a:kl_weight=1", "a:kl_weight=2"], "arm: got 'a' twice"),
    ],
)
def test_wrong_arms_are_told_in_a_sentence(arms: list[str], own: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        chosen_arms(arms, own)


def test_a_function_of_ones_own_is_an_arm_by_its_name() -> None:
    assert chosen_arms(["mine:loss"]) == {"mine:loss": {"arm": "mine:loss"}}


def test_settings_of_an_arm_may_be_written_as_options_are() -> None:
    found = chosen_arms([], ["mine:arm=renyi, kl-weight=0.5,impurity-weight=2"])
    assert found == {"mine": {"arm": "renyi", "kl_weight": 0.5, "impurity_weight": 2.0}}


def test_what_an_arm_of_ones_own_fixes_is_not_drawn_whatever_its_name() -> None:
    own = {"clean+renyi": {"arm": "renyi", "clean": 0.4, "kl_weight": 0.5}}
    design = Design(RECIPE, chosen_arms(["ce"]) | own, (0,), tune=2)
    assert "impurity_weight" in design.space("clean+renyi")
    assert not {"clean", "kl_weight"} & set(design.space("clean+renyi"))
    ships = Design(RECIPE, chosen_arms(["ce", "clean+renyi"]), (0,), tune=2)
    assert {"clean", "kl_weight"} <= set(ships.space("clean+renyi"))


@pytest.mark.parametrize(
    "settings", [{}, {"holdout_classes": 2}, {"label_noise": 0.2}, {"label_noise": 0.2, "holdout_classes": 2}]
)
def test_the_measures_that_are_expected_are_those_that_come(tmp_path: Path, settings: dict[str, Any]) -> None:
    recipe = RECIPE.with_settings(width=24, **settings)
    found = compare(recipe, ["ce"], 1, out=tmp_path, console=Console(quiet=True))
    expect = expected(Design(recipe, chosen_arms(["ce"]), (0,)))
    assert set(found.runs[0].metrics) - set(NOT_JUDGED) == expect


def test_a_plan_of_many_contrasts_knows_that_they_are_corrected(tmp_path: Path) -> None:
    arms = chosen_arms(["ce", "gini", "renyi"])
    plain, named = (
        say_plan(Design(RECIPE, arms, (0, 1, 2, 3, 4), named=one), Folder(tmp_path), Console(quiet=True), 1, 1.0)
        for one in (None, ("renyi", "accuracy"))
    )
    assert plain["contrasts"] == 2 * len(expected(Design(RECIPE, arms, (0,))))
    assert named["contrasts"] == 1
    assert plain["smallest"] == pytest.approx(
        smallest_difference(5, plain["spread"], alpha=0.05 / plain["contrasts"])
    )
    assert named["smallest"] == pytest.approx(smallest_difference(5, named["spread"], band=0.2))
    assert plain["needed"] > named["needed"]


def test_designs_that_cannot_work_are_told_in_a_sentence() -> None:
    arms = chosen_arms(["ce", "gini"])
    with pytest.raises(ValueError, match="seeds: got none"):
        Design(RECIPE, arms, ())
    with pytest.raises(ValueError, match=r"seeds: got 10000, on which the arms are tuned"):
        Design(RECIPE, arms, (0, 10_000), tune=2)
    with pytest.raises(ValueError, match="named: got the arm 'renyi'"):
        Design(RECIPE, arms, (0,), named=("renyi", "accuracy"))
    with pytest.raises(ValueError, match="tune"):
        Design(RECIPE, arms, (0,), tune=-1)
    with pytest.raises(ValueError, match="named: got the baseline"):
        Design(RECIPE, arms, (0,), named=("ce", "accuracy"))
    with pytest.raises(ValueError, match="no measure is called 'nonsense'"):
        Design(RECIPE, arms, (0,), named=("gini", "nonsense"))
    with pytest.raises(ValueError, match="named: got robust_l2_1 where nothing is attacked"):
        Design(RECIPE, arms, (0,), named=("gini", "robust_l2_1"))
    for metric in ("k_feature_accuracy_7", "few_shot_accuracy", "wrong_auroc_own"):
        with pytest.raises(ValueError, match=f"named: got {metric}, which these runs will not have"):
            Design(RECIPE, arms, (0,), named=("gini", metric))
    with pytest.raises(ValueError, match="named: got robust_l2_3, which these runs will not have"):
        Design(RECIPE, arms, (0,), named=("gini", "robust_l2_3"), robust=True)
    with pytest.raises(ValueError, match=r"arms: got 'more' with test_fraction=0\.3, expected 0\.5"):
        Design(RECIPE, arms | {"more": {"test_fraction": 0.3}}, (0,))
    with pytest.raises(ValueError, match=r"arms: got 'right' with label_noise=0\.0, .* its training images and"):
        Design(RECIPE.with_settings(label_noise=0.4), arms | {"right": {"label_noise": 0.0}}, (0,))
    with pytest.raises(
        ValueError, match=r"arms: got 'coarse', which is measured by target='groups:2', expected 'c"
    ):
        Design(RECIPE, arms | {"coarse": {"target": "groups:2"}}, (0,))
    with pytest.raises(ValueError, match="arms: got 'a b' and 'a_b', whose folders would have one name"):
        Design(RECIPE, {"ce": {}, "a b": {"arm": "ce"}, "a_b": {"arm": "gini"}}, (0,))
    with pytest.raises(ValueError, match="baseline: got 'ce', which is none of the arms"):
        Design(RECIPE, chosen_arms(["gini"]), (0,))


@pytest.mark.parametrize("wrong", [{"jobs": 0}, {"jobs": -1}, {"tuning_seeds": 0}, {"cpus": 0}, {"gpus": -1}])
def test_numbers_out_of_range_are_told_before_anything(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        compare(RECIPE, ["ce"], 1, out=tmp_path / "out", console=Console(quiet=True), **wrong)
    assert not (tmp_path / "out").exists()


def test_keys_are_names_of_files() -> None:
    assert key_of("clean+renyi", 3) == "clean+renyi-3"
    assert "/" not in key_of("my.package:loss/../x", 0)
