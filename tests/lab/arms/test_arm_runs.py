"""Whole runs of every arm: paired, measured again from their folders, resumed, exported."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from rich.console import Console
from safetensors import safe_open
from torch import Tensor, nn

from torchdiscern.lab import Recipe, Run, train
from torchdiscern.lab.arms import ARMS, classifier_of
from torchdiscern.lab.networks.cosine import CosineLinear
from torchdiscern.lab.training.checkpoints import load_checkpoint
from torchdiscern.lab.training.evaluate import evaluate
from torchdiscern.lab.training.export import example_of, export
from torchdiscern.lab.training.learner import Learner, ready
from torchdiscern.lab.training.plan import plan
from torchdiscern.lab.training.prepared import prepare

QUIET = Console(quiet=True)
RECIPE = Recipe.named("digits").with_settings(
    epochs=2, warmup_epochs=0.0, width=16, augment="shift", log_every=1, loggers=()
)


def recipe_of(arm: str, **settings: Any) -> Recipe:
    # cleaning trains on fewer images on purpose
    return RECIPE.with_settings(**dict(ARMS[arm].settings) | {"clean": 0.0} | settings)


@dataclass
class Beginning:
    """What the first training step sees."""

    weights: dict[str, Tensor]
    rows: Tensor
    inputs: Tensor
    target: Tensor


def begun(recipe: Recipe, folder: Path) -> tuple[Run, Beginning]:
    found: list[Beginning] = []
    plain = Learner.training_step

    def watched(learner: Learner, batch: Any, batch_idx: int) -> Tensor:
        if not found:
            weights = {name: value.clone() for name, value in learner.network.state_dict().items()}
            inputs = ready(batch, learner.prepared, learner.recipe.augment)
            found.append(Beginning(weights, batch.rows, inputs, learner.prepared.labels.target[batch.rows]))
        return plain(learner, batch, batch_idx)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "training_step", watched)
        return train(recipe, folder, console=QUIET), found[0]


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Beginning:
    return begun(recipe_of("ce"), tmp_path_factory.mktemp("ce") / "run")[1]


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_starts_alike_trains_and_is_measured_again(
    arm: str, baseline: Beginning, tmp_path: Path
) -> None:
    run, first = begun(recipe_of(arm), tmp_path / "run")
    assert torch.equal(first.rows, baseline.rows)
    assert torch.equal(first.inputs, baseline.inputs)
    assert torch.equal(first.target, baseline.target)
    kind, _ = classifier_of(run.recipe.arm, None)
    own = {"linear": set(), "cosine": {"classifier.bias"}, "simplex": {"classifier.bias", "classifier.weight"}}[
        kind
    ]
    assert baseline.weights.keys() - first.weights.keys() == own & {"classifier.bias"}
    for name in baseline.weights.keys() - own:
        assert torch.equal(first.weights[name], baseline.weights[name]), name
    changed = [name for name, value in run.weights.items() if not torch.equal(value, first.weights[name])]
    assert ("classifier.weight" in changed) == (arm != "etf")
    assert "features.0.weight" in changed
    assert evaluate(run) == run.result["best"]["test"]
    with (run.folder / "metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["loss"]]
    assert sum(float(row["loss"]) for row in rows[-5:]) < 0.97 * sum(float(row["loss"]) for row in rows[:5])
    assert ("cross_entropy" in rows[0]) == (arm != "adversarial")


class Stops(Exception):
    pass


@pytest.mark.parametrize(
    "settings",
    [
        {"arm": "centre", "strength": 0.1, "dropout": 0.3},
        {"arm": "adversarial"},
        {"arm": "etf", "strength": 10.0, "optimizer": "adamw", "learning_rate": 1e-3},
        {"arm": "own_arms_resumed:Learning"},
    ],
    ids=lambda settings: settings["arm"],
)
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_arms_resumed.py").write_text(LEARNING)
    monkeypatch.chdir(tmp_path)
    recipe = RECIPE.with_settings(**{"epochs": 4} | settings)
    whole = train(recipe, tmp_path / "whole", console=QUIET)
    plain = Learner.training_step

    def stopping(learner: Learner, batch: Any, batch_idx: int) -> Tensor:
        if learner.current_epoch == 2 and batch_idx == 1:
            raise Stops
        return plain(learner, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "training_step", stopping)
        with pytest.raises(Stops):
            train(recipe, tmp_path / "stopped", console=QUIET)
    stopped = train(recipe, tmp_path / "stopped", resume=True, console=QUIET)
    states = [load_checkpoint(run.checkpoints / "last.ckpt")["state_dict"] for run in (whole, stopped)]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
    if settings["arm"] == "centre":
        assert states[0]["criterion.call.centres"].abs().sum() > 0
    if ":" in settings["arm"]:
        assert not torch.equal(states[0]["criterion.call.shift"], torch.zeros(10))
    assert whole.result["last"] == stopped.result["last"]


LEARNING = """
import torch
from torch import nn

class Learning(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(num_classes))

    def forward(self, step):
        return step.cross_entropy_of(step.logits + self.shift)
"""


def test_a_cosine_classifier_is_exported_and_loaded(tmp_path: Path) -> None:
    run = train(recipe_of("cosface", epochs=1), tmp_path / "run", console=QUIET)
    images = example_of(run, 3)
    with torch.no_grad():
        expected = run.model()(images)
    assert expected.abs().max() <= 20.001
    file = export(run, "onnx")
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=1e-3, atol=1e-3)
    program: Any = torch.export.load(export(run, "torch.export")).module()
    torch.testing.assert_close(program(images), expected, rtol=1e-3, atol=1e-3)
    with safe_open(export(run, "safetensors"), "pt") as weights:
        assert weights.metadata()["classifier"] == "20 times the cosine of input and weights"
        assert "classifier.bias" not in weights.keys()  # noqa: SIM118, no dictionary


def test_the_strength_is_the_scale_of_a_simplex(tmp_path: Path) -> None:
    run = train(recipe_of("etf", epochs=1, strength=7.0), tmp_path / "run", console=QUIET)
    classifier = run.model().get_submodule("network.classifier")
    assert isinstance(classifier, CosineLinear)
    assert classifier.scale == 7
    assert evaluate(run) == run.result["best"]["test"]


@pytest.mark.parametrize("arm", ["ce", "renyi", "centre", "cosface", "adversarial"])
def test_a_plan_times_every_kind_of_arm(arm: str) -> None:
    found = plan(recipe_of(arm), QUIET)
    assert found["seconds"] > 0


@pytest.mark.parametrize("arm", ["cosface", "label-smoothing", "adversarial"])
def test_what_acts_on_logits_trains_a_classifier_on_frozen_features(
    arm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCHDISCERN_CACHE", str(tmp_path / "cache"))
    recipe = recipe_of(arm, freeze="backbone", augment="none", epochs=1)
    prepared = prepare(recipe, QUIET)
    assert prepared.cached
    run = train(recipe, tmp_path / "run", console=QUIET)
    assert evaluate(run)["accuracy"] == pytest.approx(run.result["best"]["test"]["accuracy"])


def test_mixed_precision_reaches_the_network_and_not_the_penalty(tmp_path: Path) -> None:
    from torchdiscern.lab.arms import penalties

    seen: list[tuple[torch.dtype, bool]] = []
    plain = penalties.within_class_variance

    def watched(step: Any, strength: float = 1.0) -> Tensor:
        seen.append((step.ran.logits.dtype, torch.is_autocast_enabled("cpu")))
        return plain(step, strength)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(penalties, "within_class_variance", watched)
        train(recipe_of("cw-vr", precision="bf16", epochs=1), tmp_path / "run", console=QUIET)
    assert set(seen) == {(torch.bfloat16, False)}


def test_an_arm_sees_labels_and_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_arms_seeing.py").write_text(SEEING)
    recipe = RECIPE.with_settings(
        arm="own_arms_seeing:look", target="groups:2", term_labels="fine", layers=("features", "pooled"), epochs=1
    )
    train(recipe, tmp_path / "run", console=QUIET)
    from own_arms_seeing import SEEN  # type: ignore[import-not-found]

    step = SEEN[0]
    assert list(step.tapped) == ["features", "pooled"]
    assert step.features.shape == (64, 16)
    assert torch.equal(step.read, step.features)
    assert step.num_classes == 2
    assert int(step.target.max()) == 1
    assert int(step.term.max()) == 9
    black, white = step.bounds
    assert torch.allclose(white - black, step.scale)
    assert step.inputs.amin() >= black - 1e-5
    assert step.inputs.amax() <= white + 1e-5


SEEING = """
SEEN = []

def look(step):
    assert step.network.training
    SEEN.append(step)
    return step.cross_entropy
"""


def test_a_classifier_that_measures_read_is_linear(tmp_path: Path) -> None:
    prepared = prepare(recipe_of("arcface"), QUIET)
    found = prepared.network.module.get_submodule(prepared.network.classifier)
    assert isinstance(found, nn.Linear)
    assert found.bias is None
