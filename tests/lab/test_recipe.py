import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from torchdiscern.lab.recipe import Recipe, recipe_names, settings, type_text


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_that_ships_is_its_own_yaml(name: str) -> None:
    recipe = Recipe.named(name)
    assert recipe.name == name
    assert recipe.about.endswith(".")
    assert Recipe.from_yaml(recipe.to_yaml({"versions": {"torch": "2.6"}})) == recipe


def test_the_papers_run_is_the_papers() -> None:
    found = Recipe.named("cifar100-resnet50")
    expected = {
        "data": "cifar100", "model": "resnet50", "width": None, "dropout": 0.4, "arm": "gini", "start_epoch": 10,
        "batch_size": 200, "epochs": 250, "optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9,
        "weight_decay": 5e-4, "schedule": "steps", "milestones": (60, 120, 160, 200), "decay": 0.2,
        "augment": "shift-flip", "normalise": "none", "val_fraction": 0.08, "impurity_weight": None,
        "kl_weight": None, "damping": None, "prior": "batch", "memory": 0.0,
    }  # fmt: skip
    assert {name: getattr(found, name) for name in expected} == expected


@example(epochs=1, rate=1.0, layers=[], data="0\x85")
@example(epochs=1, rate=1.0, layers=[], data="\u20030\xa0")
@given(
    epochs=st.integers(1, 10**6),
    rate=st.floats(1e-12, 1e3),
    layers=st.lists(st.text("abc.1", min_size=1), max_size=3),
    data=st.text(min_size=1).filter(str.strip),
)
def test_yaml_gives_back_any_value(epochs: int, rate: float, layers: list[str], data: str) -> None:
    recipe = Recipe(epochs=epochs, learning_rate=rate, layers=tuple(layers), data=data)
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe


def test_settings_as_texts() -> None:
    texts = [
        "epochs=3",
        "learning-rate=1e-3",
        "milestones=1,2",
        "layers=layer3,layer4",
        "per_class=5",
        "width=null",
    ]
    found = Recipe(width=8).with_texts(
        [*texts, "impurity_weight=0.5,1", "precision=32", "label_noise=matrix.csv"]
    )
    assert (found.epochs, found.learning_rate, found.milestones) == (3, 1e-3, (1, 2))
    assert (found.layers, found.per_class, found.width) == (("layer3", "layer4"), 5, None)
    assert (found.impurity_weight, found.precision, found.label_noise) == ((0.5, 1.0), "32", "matrix.csv")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("epoch=3", "epoch: no setting has that name.*'epochs'"),
        ("epochs=0", "epochs: got 0, expected a number at least 1"),
        ("epochs=many", r"epochs: got 'many' \(str\), expected whole number"),
        ("epochs=1.5", r"epochs: got 1.5 \(float\), expected whole number"),
        ("epochs=true", "epochs: got True"),
        ("arm=reny", "arm: got 'reny'.*did you mean 'renyi'"),
        ("label_noise=1.5", "label_noise: got 1.5, expected a share"),
        ("val_fraction=1", "val_fraction: got 1, expected a number at least 0 and below 1"),
        ("learning_rate=.nan", "learning_rate: got nan"),
        ("schedule=steps", "milestones: got none with schedule=steps"),
        ("freeze=backbone", "freeze: got 'backbone' with head=0"),
        ("epochs", "set: got 'epochs', expected key=value"),
    ],
)
def test_a_wrong_setting_is_one_sentence(text: str, says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=says) as caught:
        Recipe().with_texts([text])
    assert "\n" not in str(caught.value)


def test_wrong_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"recipe: got 'digit', expected .*'digits'"):
        Recipe.named("digit")
    with pytest.raises(ValueError, match=r"recipe: .*none.yaml' could not be read"):
        Recipe.named(tmp_path / "none.yaml")
    for content, says in [
        ("epochs: [", "is no YAML"),
        ("- 1", "holds a list"),
        ("epoch: 1", "epoch: no setting"),
    ]:
        (tmp_path / "bad.yaml").write_text(content)
        with pytest.raises(ValueError, match=says) as caught:
            Recipe.named(tmp_path / "bad.yaml")
        assert "\n" not in str(caught.value)


def test_every_setting_is_documented_and_of_a_known_type() -> None:
    for one in settings():
        assert one.metadata["what"].endswith(".")
        assert type_text(one.name)
    assert sum(bool(one.metadata["group"]) for one in settings()) == 6


def test_a_frozen_backbone_without_a_head_is_right_for_cross_entropy() -> None:
    assert Recipe(freeze="backbone", arm="ce").head == 0
    assert math.isclose(Recipe(freeze="backbone", head=8).momentum, 0.9)
