from dataclasses import replace

import pytest
import torch
from measure_cases import FROZEN, reader_of
from torch import Tensor, nn

from torchdiscern.lab.measures.attacks import Attacked, attacked_of
from torchdiscern.lab.measures.masked import (
    Beside,
    MaskedCheck,
    beside,
    decision,
    masked_check,
    more_steps,
    noise,
    transfer,
)
from torchdiscern.lab.measures.robust import survivors

WEIGHT = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))


class Smooth(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return inputs @ WEIGHT.T


class Stepped(nn.Module):
    """Decides nearly as `Smooth` does, and has no gradient."""

    def forward(self, inputs: Tensor) -> Tensor:
        return (8 * inputs @ WEIGHT.T).floor() / 8 + 0 * inputs.sum(1, keepdim=True)


class Saturated(nn.Module):
    """Decides as `Smooth` does, with a gradient that is 0 in float32 but near the boundary."""

    def forward(self, inputs: Tensor) -> Tensor:
        logits = inputs @ WEIGHT.T
        return torch.sigmoid(1e4 * (logits - logits.sort(1).values[:, 1:].mean(1, keepdim=True).detach()))


def attacked_by(module: nn.Module, images: int = 60) -> Attacked:
    inputs = torch.randn(images, 8, generator=torch.Generator().manual_seed(1))
    return Attacked(module.eval(), inputs, module(inputs).argmax(1), 3)


@pytest.mark.parametrize("masked", [Stepped, Saturated])
def test_a_masked_gradient_is_seen(masked: type[nn.Module]) -> None:
    hidden, honest = (
        masked_check(
            attacked_by(module()),
            "l2",
            0.8,
            others={"twin": Smooth().eval()},
            steps=40,
            restarts=2,
            decision_images=20,
        )
        for module in (masked, Smooth)
    )
    assert hidden.robust > honest.robust + 0.2
    assert not hidden.ordinary_is_strongest
    assert {"transfer_twin", "decision"} <= set(hidden.stronger)
    assert "turns" in str(hidden)
    assert "decision" in str(hidden)
    assert honest.ordinary_is_strongest
    assert honest.stronger == []
    assert "no masked gradient seen by more_steps, noise, transfer_twin, decision" in str(honest)
    assert set(honest.attacks) == {"more_steps", "noise", "transfer_twin", "decision"}
    assert honest.attacks["decision"].images == 20
    assert honest.attacks["noise"].images == 60


class Fence(nn.Module):
    """Flat everywhere, with the other class at every side."""

    def forward(self, inputs: Tensor) -> Tensor:
        out = (inputs.abs().amax(1) > 0.5).float() + 0 * inputs.sum(1)
        return torch.stack([1 - out, out], 1)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_noise_finds_what_lies_at_every_side(norm: str) -> None:
    assert norm in ("l2", "linf")
    attacked = Attacked(Fence().eval(), torch.zeros(30, 2), torch.zeros(30, dtype=torch.long), 2)
    assert survivors(attacked, norm, [1.0], restarts=1)[1.0].all()  # type: ignore[arg-type]
    assert not noise(attacked, norm, 1.0).any()  # type: ignore[arg-type]
    assert noise(attacked, norm, 0.4).all()  # type: ignore[arg-type]


def test_noise_is_weaker_than_the_gradient() -> None:
    attacked = attacked_by(Smooth())
    ordinary = survivors(attacked, "l2", [0.6])[0.6]
    assert float(noise(attacked, "l2", 0.6).float().mean()) > float(ordinary.float().mean())
    assert (noise(attacked, "l2", 0.6) >= ordinary).all()


def test_pixels_stay_pixels_under_noise() -> None:
    class Above(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            out = (images.flatten(1).amax(1) > 1).float()
            return torch.stack([1 - out, out], 1)

    inputs = torch.full((5, 1, 2, 2), 0.99)
    attacked = Attacked(Above().eval(), inputs, torch.zeros(5, dtype=torch.long), 2)
    assert not noise(attacked, "linf", 0.1).any()
    assert noise(replace(attacked, pixels=True), "linf", 0.1).all()


def test_attacks_transfer_from_a_twin_and_not_from_a_stranger() -> None:
    attacked = attacked_by(Smooth())
    ordinary = survivors(attacked, "l2", [0.8])[0.8]
    assert (transfer(attacked, Smooth().eval(), "l2", 0.8) == ordinary).float().mean() > 0.95
    stranger = nn.Linear(8, 3)
    nn.init.orthogonal_(stranger.weight, generator=torch.Generator().manual_seed(0))
    assert transfer(attacked, stranger.eval(), "l2", 0.8).sum() > ordinary.sum() + 6


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_decisions_alone_come_close_to_the_truth(norm: str) -> None:
    attacked = attacked_by(Smooth(), 24)
    attacked.target[:3] = (attacked.target[:3] + 1) % 3
    radius = 0.8 if norm == "l2" else 0.35
    ordinary = survivors(attacked, norm, [radius])[radius]  # type: ignore[arg-type]
    found = decision(attacked, norm, radius, images=24)  # type: ignore[arg-type]
    assert not found[:3].any()
    assert (found >= ordinary).all()  # nothing turns what descent on a linear network cannot
    assert float((found == ordinary).float().mean()) > 0.8
    assert torch.equal(decision(attacked, norm, radius, images=24), found)  # type: ignore[arg-type]


def test_decisions_where_there_is_one() -> None:
    class Always(nn.Module):
        def forward(self, inputs: Tensor) -> Tensor:
            return torch.stack([inputs.sum(1) * 0 + 1, inputs.sum(1) * 0], 1)

    attacked = Attacked(Always().eval(), torch.rand(6, 2), torch.tensor([0, 0, 0, 0, 0, 1]), 2)
    assert decision(attacked, "l2", 1.0).tolist() == [True] * 5 + [False]


def test_more_steps_are_at_least_as_strong() -> None:
    attacked = attacked_by(Smooth())
    assert (
        more_steps(attacked, "linf", 0.2, steps=60, restarts=2) <= survivors(attacked, "linf", [0.2])[0.2]
    ).all()


def test_attacks_side_by_side() -> None:
    stayed = torch.tensor([True, True, False, False, False, False, False, False])
    ordinary = torch.tensor([True, False, True, True, False, False, False, False])
    assert beside(stayed, ordinary) == Beside(images=8, robust=0.25, ordinary=0.375, beyond=0.25)
    check = MaskedCheck("l2", 0.5, 0.375, {"noise": beside(stayed, ordinary)}, tolerance=0.25)
    assert check.ordinary_is_strongest
    assert replace(check, tolerance=0.2).stronger == ["noise"]


def test_a_trained_network_of_frozen_features() -> None:
    attacked = attacked_of(reader_of(**FROZEN), images=60)
    check = masked_check(attacked, "l2", 0.01, steps=60, restarts=2, decision_images=10)
    assert check.ordinary_is_strongest, str(check)
    assert 0 < check.robust < 1
