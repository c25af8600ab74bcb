"""A user's own arm: one function or a small module, named in the recipe."""

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from torchdiscern.lab import Recipe, Run, train
from torchdiscern.lab.arms import ARMS, Arm, settings_of, space_of
from torchdiscern.lab.training.checkpoints import load_checkpoint
from torchdiscern.lab.training.evaluate import evaluate

QUIET = Console(quiet=True)
RECIPE = Recipe.named("digits").with_settings(epochs=1, per_class=10, width=8, loggers=())
CODE = """
import torch
from torch import nn

def smoothing(step, strength=0.2):
    smooth = -step.logits.log_softmax(1).mean(1)
    return (1 - strength) * step.cross_entropy + strength * step.mean(smooth)

def plain(step):
    return step.cross_entropy

def vector(step):
    return step.logits.sum(1)

class Counting(nn.Module):
    def __init__(self, num_classes, num_features, strength=1.0):
        super().__init__()
        self.strength = strength
        self.register_buffer("seen", torch.zeros(num_classes, num_features))

    def forward(self, step):
        self.seen += step.features.detach().sum(0)
        return step.cross_entropy + 0 * self.strength

class NoModule:
    def __init__(self, strength=1.0): ...

NUMBER = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "own_arms.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained(folder: Path, name: str = "run", **settings: object) -> Run:
    return train(RECIPE.with_settings(**settings), folder / name, console=QUIET)


def test_a_function_trains_what_it_says(folder: Path) -> None:
    own = trained(folder, arm="own_arms:smoothing")
    ours = trained(folder, "ours", arm="label-smoothing", strength=0.2)
    for name, value in ours.weights.items():
        torch.testing.assert_close(own.weights[name], value, rtol=1e-3, atol=1e-4)
    assert evaluate(own) == own.result["best"]["test"]
    assert own.result["arm"] == "own_arms:smoothing"
    assert "`own_arms:smoothing`" in (own.folder / "README.md").read_text()
    other = trained(folder, "other", arm="own_arms:smoothing", strength=0.5)
    assert any(not torch.equal(other.weights[name], value) for name, value in own.weights.items())


def test_a_module_is_made_with_what_it_takes_and_is_kept(folder: Path) -> None:
    run = trained(folder, arm="own_arms:Counting", strength=3.0)
    state = load_checkpoint(run.checkpoints / "last.ckpt")["state_dict"]
    assert state["criterion.call.seen"].shape == (10, 8)
    assert state["criterion.call.seen"].abs().sum() > 0
    assert "seen" not in " ".join(run.weights)


def test_the_folder_of_a_run_has_no_colon(folder: Path) -> None:
    run = train(RECIPE.with_settings(arm="own_arms:plain"), console=QUIET)
    assert run.folder == Path("runs/digits-own_arms.plain-0")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"arm": "own_arms:plan"},
            "arm: module 'own_arms' has no function 'plan', expected one; did you mean 'plain'",
        ),
        ({"arm": "own_arms:NUMBER"}, "arm: module 'own_arms' has no function 'NUMBER'"),
        ({"arm": "own_army:plain"}, "arm: there is no module 'own_army'"),
        ({"arm": "own_arms:plain", "strength": 2.0}, "strength: got 2, which 'own_arms:plain' does not take"),
        (
            {"arm": "own_arms:vector"},
            r"arm: 'own_arms:vector' gave a tensor of shape \[50\].*, expected the whole loss",
        ),
        (
            {"arm": "own_arms:NoModule"},
            "arm: 'own_arms:NoModule' is a class of a NoModule, expected a torch.nn.Module",
        ),
    ],
)
def test_what_is_wrong_is_one_sentence(folder: Path, settings: dict[str, Any], says: str) -> None:
    with pytest.raises((ValueError, TypeError), match=says) as caught:
        trained(folder, batch_size=50, **settings)
    assert "\n" not in str(caught.value)


def test_one_entry_makes_it_an_arm_of_comparisons(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ARMS, "mine", Arm({"arm": "own_arms:smoothing"}, {"strength": (0.01, 0.5)}))
    assert settings_of("clean+mine") == {"arm": "own_arms:smoothing", "clean": 0.2}
    assert space_of("mine") == {"strength": (0.01, 0.5)}
