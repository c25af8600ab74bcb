"""The table of arms, the recipe's settings for them, and the command that prints them."""

import subprocess
import sys

import pytest
import torch

from torchdiscern.lab import Recipe, arms
from torchdiscern.lab.arms import ARMS, NAMES, RIVALS, Arm, defaults_of, settings_of, space_of, title_of
from torchdiscern.lab.arms_page import arms_page, card

NEEDED = [
    *("ce", "gini", "gini-alone", "kl-alone", "entropy", "renyi", "shannon", "renyi-memory", "shannon-memory"),
    *(
        "recommended",
        "clean",
        "label-smoothing",
        "confidence-penalty",
        "dropout",
        "centre",
        "cw-vr",
        "opl",
        "supcon",
    ),
    *("arcface", "cosface", "vicreg", "etf", "selectivity-up", "selectivity-down", "adversarial"),
]


def test_every_arm_is_there_with_its_whole_card() -> None:
    assert list(ARMS) == NEEDED
    for name, arm in ARMS.items():
        for field in ("title", "formula", "source", "weights", "cost", "not_when"):
            assert getattr(arm, field), (name, field)
        recipe = Recipe().with_settings(**arm.settings)
        for setting, (low, high) in arm.space.items():
            recipe.with_settings(**{setting: low})
            recipe.with_settings(**{setting: high})
            default = defaults_of(recipe)[setting]
            assert low <= default <= high, (name, setting)
    assert RIVALS.keys() <= ARMS.keys()


def test_arms_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings_of("clean+renyi") == {"arm": "renyi", "clean": 0.2}
    assert settings_of("dropout+cosface") == {"arm": "cosface", "dropout": 0.5}
    assert settings_of("renyi+gini-alone") == {"arm": "gini", "impurity_weight": 0.5, "kl_weight": 0.0}
    assert space_of("clean+renyi") == {
        "clean": (0.05, 0.6),
        "impurity_weight": (0.1, 10.0),
        "kl_weight": (0.05, 5.0),
    }
    assert set(space_of("clean+opl")) == {"clean", "strength"}
    assert set(space_of("opl+ce")) == set()
    assert set(space_of("renyi+gini-alone")) == {"impurity_weight"}
    assert space_of("mine:loss") == {}
    monkeypatch.setitem(ARMS, "little", Arm({"clean": 0.1, "kl_weight": 1.0}))
    assert set(space_of("clean+little")) == set()
    assert set(space_of("renyi+little")) == {"impurity_weight"}
    assert title_of("clean+renyi") == f"{ARMS['clean'].title}; {ARMS['renyi'].title}"
    assert title_of("my own") == "my own"
    for wrong in ("reny", "clean+reny", ""):
        with pytest.raises(
            ValueError, match=r"arms: got .*, expected one of those that .torchdiscern arms. lists"
        ):
            settings_of(wrong)
    with pytest.raises(ValueError, match="did you mean 'renyi'"):
        space_of("reny")


def test_weights_of_a_recipe() -> None:
    assert defaults_of(Recipe(arm="cosface")) == {"strength": 0.2, "clean": 0.0}
    assert defaults_of(Recipe(arm="cosface", strength=0.1, clean=0.3)) == {"strength": 0.1, "clean": 0.3}
    assert defaults_of(Recipe(arm="renyi", kl_weight=2.0)) == {
        "impurity_weight": 1.0,
        "kl_weight": 2.0,
        "clean": 0.0,
    }


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"arm": "cosfase"}, "arm: got 'cosfase', expected one of 'recommended'.*did you mean 'cosface'"),
        ({"arm": "ce", "strength": 1}, "strength: got 1 with arm=ce, expected none.*choose another arm"),
        ({"arm": "renyi", "strength": 1}, "strength: got 1 with arm=renyi, .*set impurity_weight and kl_weight"),
        ({"arm": "opl", "strength": -1}, "strength: got -1, expected a number at least 0"),
        (
            {"arm": "label-smoothing", "strength": 1},
            "strength: got 1 with arm=label-smoothing, expected .* below 1",
        ),
        ({"arm": "opl", "freeze": "backbone"}, "freeze: got 'backbone' with head=0 and arm=opl"),
        ({"clean": 1}, "clean: got 1, expected a number at least 0 and below 1"),
    ],
)
def test_a_wrong_setting_is_one_sentence(settings: dict[str, object], says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=says) as caught:
        Recipe().with_settings(**settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("arm", NAMES)
def test_every_objective_can_be_named_in_a_recipe(arm: str) -> None:
    recipe = Recipe(arm=arm)
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    if arm in RIVALS:
        assert Recipe(arm=arm, strength=0.5).strength == 0.5


def test_a_recipe_does_not_wait_for_the_libraries_of_rivals() -> None:
    code = "import sys, torchdiscern.lab.recipe; sys.exit('pytorch_metric_learning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_command_lists_and_shows(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from typer.testing import CliRunner

    from torchdiscern.cli import app

    monkeypatch.setenv("COLUMNS", "200")
    listed = CliRunner().invoke(app, ["arms"])
    assert listed.exit_code == 0
    assert all(f"\n{name} " in f"\n{listed.stdout}" for name in ARMS)
    shown = CliRunner().invoke(app, ["arms", "clean+cosface"])
    assert shown.exit_code == 0
    for word in ("CosFace", "1801.09414", "tuning draws: strength from 0.03 to 0.6", "not when", "cleanlab"):
        assert word in shown.stdout
    with pytest.raises(ValueError, match="arms: got 'reny'"):
        CliRunner().invoke(app, ["arms", "reny"], catch_exceptions=False)


def test_the_page_has_every_card() -> None:
    page = arms_page()
    assert all(card(name) in page for name in ARMS)
    assert max(len(line) for line in page.splitlines() if line.startswith("- ")) < 400


def test_the_terms_are_those_that_recipes_had_before() -> None:
    gini = arms.criterion_of("gini", 10)
    assert gini is not None
    features, target = torch.rand(6, 5, generator=torch.Generator().manual_seed(0)), torch.arange(6)
    from torchdiscern import DiscriminabilityLoss

    assert torch.equal(gini(features, target), DiscriminabilityLoss(10)(features, target))
    assert arms.criterion_of("ce", 10) is None
    assert arms.criterion_of("cosface", 10) is None
