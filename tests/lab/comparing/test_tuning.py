"""Trials: the same for every arm, and the same however often they are broken off."""

from pathlib import Path

import pytest

from torchdiscern.lab.comparing.design import Design, chosen_arms
from torchdiscern.lab.comparing.tuning import STARTUP, Tuning, space_of
from torchdiscern.lab.recipe import Recipe

SPACE = {"learning_rate": (0.01, 1.0, True), "dropout": (0.0, 0.6, False)}
DEFAULTS = {"learning_rate": 0.1, "dropout": 0.0}


def value(settings: dict[str, float]) -> float:
    return 1 - abs(settings["learning_rate"] - 0.3) - settings["dropout"] / 10


def drawn(file: Path, arm: str, trials: int, *, broken: bool = False) -> list[dict[str, float]]:
    found: list[dict[str, float]] = []
    tuning = Tuning(file, arm, SPACE, trials)
    before = len(tuning.done)
    while not tuning.finished:
        number, settings = tuning.next(DEFAULTS)
        assert number == before + len(found)
        assert settings.keys() == SPACE.keys()
        if broken:  # the process ends here, and another one begins
            tuning = Tuning(file, arm, SPACE, trials)
            assert tuning.next(DEFAULTS) == (number, settings)
        tuning.tell(settings, value(settings))
        found.append(settings)
    return found


def test_a_broken_off_trial_is_done_again_and_changes_nothing(tmp_path: Path) -> None:
    whole = drawn(tmp_path / "a.db", "renyi", 10)
    assert drawn(tmp_path / "b.db", "renyi", 10, broken=True) == whole


def test_an_arm_under_another_name_draws_the_same(tmp_path: Path) -> None:
    assert drawn(tmp_path / "a.db", "ce", 10) == drawn(tmp_path / "b.db", "mine", 10)


def test_the_first_trials_are_the_same_for_all_arms_in_what_they_share(tmp_path: Path) -> None:
    plain = Tuning(tmp_path / "a.db", "ce", SPACE, 8)
    more = Tuning(tmp_path / "a.db", "gini", {"kl_weight": (0.1, 10.0, True)} | SPACE, 8)
    shared, own = [], []
    for number in range(8):
        settings = [one.next(DEFAULTS | {"kl_weight": 1.0})[1] for one in (plain, more)]
        own.append(settings[1].pop("kl_weight"))
        shared.append(settings[0] == settings[1])
        plain.tell(settings[0], value(settings[0]))
        more.tell(settings[1] | {"kl_weight": own[-1]}, number / 10)
    assert shared == [True] * STARTUP + [False] * (8 - STARTUP)
    assert len(set(own)) == 8


def test_more_trials_go_on_from_those_there(tmp_path: Path) -> None:
    whole = drawn(tmp_path / "a.db", "ce", 9)
    assert drawn(tmp_path / "b.db", "ce", 5) + drawn(tmp_path / "b.db", "ce", 9) == whole


def test_the_first_trial_is_the_recipe_and_the_best_is_the_best(tmp_path: Path) -> None:
    settings = drawn(tmp_path / "a.db", "ce", 10)
    assert settings[0] == DEFAULTS
    assert Tuning(tmp_path / "a.db", "ce", SPACE, 10).best == max(settings, key=value)
    assert Tuning(tmp_path / "a.db", "ce", SPACE, 1).best == DEFAULTS  # later trials are another comparison's


def test_trials_that_fail_are_counted_and_never_chosen(tmp_path: Path) -> None:
    tuning = Tuning(tmp_path / "a.db", "ce", SPACE, 2)
    for _ in range(2):
        _, settings = tuning.next(DEFAULTS)
        tuning.tell(settings, None)
    assert tuning.finished
    assert tuning.best is None
    assert [one["value"] for one in tuning.history()] == [None, None]


def test_all_arms_share_the_space_but_for_what_they_fix() -> None:
    recipe = Recipe(learning_rate=0.1, weight_decay=0.0)
    whole = space_of(recipe, {}, {"strength": (0.1, 1.0)})
    assert set(whole) == {"learning_rate", "weight_decay", "dropout", "strength"}
    assert whole["learning_rate"] == pytest.approx((0.01, 0.3, True))
    assert whole["weight_decay"] == (1e-6, 1e-2, True)
    assert "dropout" not in space_of(recipe, {"dropout": 0.5}, {})


def test_own_arms_take_the_ranges_of_their_loss_but_for_what_is_fixed() -> None:
    arms = chosen_arms(["ce"], ["mine:arm=renyi,kl_weight=0.5", "clusters:arm=renyi,term_labels=kmeans:100"])
    design = Design(Recipe(), arms, (0,))
    assert "impurity_weight" in design.space("mine")
    assert "kl_weight" not in design.space("mine")
    assert {"impurity_weight", "kl_weight"} <= set(design.space("clusters"))
    assert design.recipe_of("clusters", 3).term_labels == "kmeans:100"
    assert set(design.space("ce")) == {"learning_rate", "weight_decay", "dropout"}
