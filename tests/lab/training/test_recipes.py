"""Every recipe that ships, for two steps; runs with options; what a run leaves."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from rich.console import Console
from safetensors.torch import load_file

from torchdiscern.lab import Recipe, Run, train
from torchdiscern.lab.recipe import recipe_names
from torchdiscern.lab.training.card import card

METRICS = {
    "accuracy", "accuracy_macro", "negative_log_likelihood", "calibration_error", "impurity", "impurity_renyi",
    "coverage_divergence", "dead_features", "k_feature_accuracy", "layers", "images",
}  # fmt: skip


def _two_steps(photos: Path, trained: Callable[..., Run], name: str, **settings: object) -> None:
    if name == "caltech101-cvt13":
        settings |= {"pretrained": False}  # its weights come from the hub
    small = {
        "val_fraction": 0.2,
        "per_class": 4,
        "batch_size": 6,
        "epochs": 1,
        "start_epoch": 1,
        "warmup_epochs": 0,
    }
    run = trained(name, data=str(photos), threads=1, **small | settings)
    rows = list(csv.DictReader((run.folder / "metrics.csv").open()))
    assert rows[-1]["step"] == "2"
    assert float(rows[0]["terms/loss"]) > 0
    assert math.isfinite(run.result["last"]["test"]["negative_log_likelihood"])
    assert run.recipe.arm in (run.folder / "README.md").read_text()


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_that_ships_takes_two_steps(photos: Path, trained: Callable[..., Run], name: str) -> None:
    thin = {"width": 16} if Recipe.named(name).model in ("resnet17", "resnet18", "resnet50", "cvt13") else {}
    _two_steps(photos, trained, name, image_size=32, **thin)


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in recipe_names() if name.endswith(("resnet50", "cvt13"))])
def test_a_large_recipe_takes_two_steps_in_full_width(
    photos: Path, trained: Callable[..., Run], name: str
) -> None:
    _two_steps(photos, trained, name, image_size=32)


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_has_a_cross_entropy_twin(name: str) -> None:
    recipe = Recipe.named(name)
    assert recipe.arm != "ce"
    twin = recipe.with_texts(["arm=ce"])
    assert {k for k, v in twin.as_dict().items() if v != recipe.as_dict()[k]} == {"arm"}


def test_what_a_run_leaves(trained: Callable[..., Run]) -> None:
    run = trained("digits", epochs=2, log_every=4)
    assert {path.name for path in run.folder.iterdir()} == {
        ".lock", "README.md", "checkpoints", "metrics.csv", "model.safetensors", "recipe.yaml", "result.json",
    }  # fmt: skip
    result = json.loads((run.folder / "result.json").read_text())
    for which in ("best", "last"):
        for part in ("validation", "test"):
            assert set(result[which][part]) == METRICS
    assert result["best"]["test"]["accuracy"] > 0.5
    assert Recipe.named(run.folder / "recipe.yaml") == run.recipe
    made = run.made_with
    assert made["data"]["train"] + made["data"]["val"] + made["data"]["test"] == 1797
    assert made["versions"]["torch"]
    assert made["hardware"]["processor"]
    model = run.model()
    assert model(torch.rand(3, 1, 8, 8)).shape == (3, 10)
    rows = list(csv.DictReader((run.folder / "metrics.csv").open()))
    assert [row["step"] for row in rows] == ["4", "8", "12", "12", "16", "20", "24", "24"]
    for name in ("loss", "cross_entropy", "terms/pooled/impurity", "learning_rate", "images_per_second"):
        assert float(rows[0][name]) > 0
    assert 0 < float(rows[3]["val_accuracy"]) <= 1


def test_a_card_names_the_machine_that_trained(trained: Callable[..., Run]) -> None:
    run = trained("digits", epochs=1, accelerator="cpu")
    assert f"images a second on {run.made_with['hardware']['processor']} " in card(run, run.result)
    kept = yaml.safe_load(run.recipe_file.read_text())
    kept["made_with"]["hardware"]["gpu"] = "Some GPU"
    for accelerator, named in (("cpu", False), ("auto", True)):
        run.recipe_file.write_text(yaml.safe_dump(kept | {"accelerator": accelerator}))
        assert ("images a second on Some GPU " in card(run, run.result)) == named


def test_equal_recipes_give_equal_weights_and_seeds_do_not(trained: Callable[..., Run]) -> None:
    def weights(folder: str, **settings: object) -> dict[str, torch.Tensor]:
        run = trained("digits", folder, epochs=1, dropout=0.3, augment="shift-flip", **settings)
        return load_file(run.weights_file)

    first, again, other = weights("a"), weights("b"), weights("c", seed=1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_arms_of_a_seed_start_alike_and_see_the_same_batches(tmp_path: Path) -> None:
    """What makes a comparison paired: weights before the first step, and the first batch, bit for bit."""
    from torchdiscern.lab.training.batches import TrainBatches
    from torchdiscern.lab.training.prepared import prepare

    found = []
    for arm in ("ce", "renyi"):
        recipe = Recipe.named("digits").with_settings(arm=arm, label_noise=0.3, augment="shift")
        prepared = prepare(recipe, Console(quiet=True))
        batches = TrainBatches(prepared.inputs, prepared.labels.train, 64, recipe.seed)
        found.append((prepared.module.state_dict(), prepared.labels.target, next(iter(batches))))
    (weights, target, batch), (others, other_target, other) = found
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert torch.equal(target, other_target)
    assert torch.equal(batch.inputs, other.inputs)
    assert torch.equal(batch.draws, other.draws)


@pytest.mark.parametrize(
    "settings",
    [
        {"target": "groups:3", "term_labels": "fine"},
        {"target": "groups:3", "term_labels": "kmeans:7", "cluster_every": 1},
        {"holdout_classes": 3, "per_class": 20, "imbalance": 4.0},
        {"label_noise": 0.4, "prior": "train", "memory": 0.9},
        {"layers": ["features", "pooled"], "impurity_weight": [0.5, 1.0]},
        {"val_fraction": 0.0},
        {"test_fraction": 0.0},
        {"freeze": "pooled", "arm": "ce"},
        {"freeze": "backbone", "head": 16},
        {"freeze": "backbone", "head": 16, "augment": "shift"},
        {"freeze": "backbone", "head": 16, "term_labels": "kmeans:7"},
        {"optimizer": "adamw", "learning_rate": 1e-3, "schedule": "steps", "milestones": [1]},
    ],
    ids=lambda settings: "-".join(settings),
)
def test_options_train(trained: Callable[..., Run], settings: dict[str, object]) -> None:
    run = trained("digits", epochs=2, **settings)
    part = "validation" if settings.get("test_fraction") == 0.0 else "test"
    found = run.result["last"][part]
    assert found["negative_log_likelihood"] < 3
    assert found["images"] > 80
    if settings.get("val_fraction") == 0.0:
        assert run.result["best"]["validation"] is None
        assert run.result["best"]["epoch"] == 2


def test_a_frozen_part_stays_and_its_output_is_kept(
    trained: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHDISCERN_CACHE", str(tmp_path / "cache"))
    settings = {"epochs": 1, "freeze": "backbone", "head": 16}
    run = trained("digits", "kept", **settings)
    kept = list((tmp_path / "cache" / "frozen").iterdir())
    assert len(kept) == 1
    before = kept[0].stat().st_mtime_ns
    again = trained("digits", "again", **settings)
    assert kept[0].stat().st_mtime_ns == before
    other = trained("digits", "live", augment="flip", **settings)
    for name, value in run.weights.items():
        assert torch.equal(value, again.weights[name])
        if name.startswith("features"):  # batch norm's running means too
            assert torch.equal(value, other.weights[name]), name


def test_a_frozen_run_with_and_without_the_cache_gives_the_same(
    trained: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"epochs": 1, "freeze": "backbone", "head": 16}
    cached = trained("digits", "cached", **settings)
    monkeypatch.setattr("torchdiscern.lab.training.prepared.split_frozen", lambda *_: None)
    live = trained("digits", "live", **settings)
    for name, value in cached.weights.items():
        assert torch.allclose(value, live.weights[name], atol=1e-5), name


def test_the_readers_of_python_find_the_same_words(tmp_path: Path) -> None:
    run = train(
        Recipe(data="digits", model="small", epochs=1, arm="ce", loggers=()),
        tmp_path / "run",
        console=Console(quiet=True),
    )
    assert run.finished
    assert "terms/loss" not in (run.folder / "metrics.csv").read_text()


def test_a_run_is_found_from_anywhere(
    photos: Path, trained: Callable[..., Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    run = trained("scratch", data=photos.name, model="small", width=16, image_size=8, epochs=1)
    assert run.recipe.data == str(photos)


def test_what_cannot_work_is_said_before_anything_is_written(
    photos: Path, trained: Callable[..., Run], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="prior: got 'train' with term_labels=kmeans:4"):
        trained("digits", prior="train", term_labels="kmeans:4")
    with pytest.raises(ValueError, match="freeze: got 'pooled' with the terms on pooled"):
        trained("digits", freeze="pooled")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match=r"accelerator: Lightning refuses"):
            trained("digits", accelerator="gpu")
    with pytest.raises(ValueError, match=r"loggers: got 'tensorbord'.*'tensorboard'"):
        train(Recipe.named("digits").with_settings(loggers=("tensorbord",)), tmp_path / "run")
    assert not Run(tmp_path / "run").started


def test_a_run_that_diverges_says_so(trained: Callable[..., Run]) -> None:
    with pytest.raises(
        ValueError, match=r"learning_rate: the loss became \w+ in epoch 1 with learning_rate=1e\+30"
    ):
        trained("digits", learning_rate=1e30, warmup_epochs=0, epochs=2)
