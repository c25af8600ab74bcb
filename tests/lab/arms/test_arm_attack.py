"""Adversarial training: how far inputs move, where they may not, and what the network keeps."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

from torchdiscern.lab.arms import Ran, Step
from torchdiscern.lab.arms.attack import adversarial, moved

MEAN, STD = torch.tensor([0.3, 0.5, 0.4]).view(1, 3, 1, 1), torch.tensor([0.2, 0.3, 0.5]).view(1, 3, 1, 1)


def network() -> nn.Sequential:
    torch.manual_seed(1)
    layers = [
        nn.Conv2d(3, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(8 * 36, 4),
    ]
    return nn.Sequential(*layers)


def pixels_step(model: nn.Sequential, samples: int = 6) -> tuple[Step, Tensor]:
    pixels = torch.rand(samples, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    pixels[0] = (pixels[0] > 0.5).float()  # where black and white are at their bounds
    target = torch.arange(samples) % 4
    linear = model[-1]
    assert isinstance(linear, nn.Linear)
    step = Step(
        inputs=(pixels - MEAN) / STD,
        target=target,
        term=target,
        forward=lambda inputs: Ran(model(inputs), {}, inputs),
        network=model,
        classifier=linear,
        share=1 / samples,
        scale=1 / STD,
        bounds=(-MEAN / STD, (1 - MEAN) / STD),
    )
    return step, pixels


@pytest.mark.parametrize("radius", [0.1, 1.0, 30.0])
def test_pixels_move_within_the_radius_and_stay_pixels(radius: float) -> None:
    step, pixels = pixels_step(network().train())
    found = moved(step, radius) * STD + MEAN
    lengths = (found - pixels).flatten(1).norm(dim=1)
    assert lengths.max() <= radius * (1 + 1e-4)
    assert lengths.max() > 0.9 * min(radius, 5)
    assert found.min() >= -1e-5
    assert found.max() <= 1 + 1e-5


def test_the_loss_rises_for_every_sample_and_more_with_the_radius() -> None:
    model = network().eval()
    step, _ = pixels_step(model)

    def losses(inputs: Tensor) -> Tensor:
        return cross_entropy(model(inputs), step.target, reduction="none")

    clean, near, far = losses(step.inputs), losses(moved(step, 0.2)), losses(moved(step, 1.0))
    assert (near >= clean).all()
    assert (far >= near).all()
    assert far.mean() > 1.2 * clean.mean()


def test_on_a_linear_network_it_goes_where_the_loss_is_largest() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(5, 2)
    x, target = torch.randn(7, 5), torch.arange(7) % 2
    step = Step(x, target, target, lambda inputs: Ran(linear(inputs), {}, inputs), linear, linear, 1 / 7)
    found = moved(step, 0.5)
    away = (linear.weight[1] - linear.weight[0]) * torch.where(target == 0, 1.0, -1.0)[:, None]
    assert cosine_similarity(found - x, away).min() > 0.97
    torch.testing.assert_close((found - x).norm(dim=1), torch.full((7,), 0.5))


def test_crafting_leaves_flags_statistics_and_gradients_alone() -> None:
    model = network().train()
    model[1].eval()  # as a frozen part is
    step, _ = pixels_step(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    flags = [module.training for module in model.modules()]
    moved(step, 0.5)
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    model[1].train()
    adversarial(step).backward()
    assert int(model[1].num_batches_tracked) == 1  # type: ignore[arg-type]
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert not step.has_run  # the clean inputs cost nothing


def test_the_random_start_is_the_seed_s() -> None:
    step, _ = pixels_step(network().train())
    torch.manual_seed(5)
    first = moved(step, 0.5)
    second = moved(step, 0.5)
    torch.manual_seed(5)
    assert torch.equal(moved(step, 0.5), first)
    assert not torch.equal(second, first)


def test_without_a_slope_nothing_breaks() -> None:
    linear = nn.Linear(3, 2)
    nn.init.zeros_(linear.weight)
    x, target = torch.zeros(4, 3), torch.zeros(4, dtype=torch.long)
    step = Step(x, target, target, lambda inputs: Ran(linear(inputs), {}, inputs), linear, linear, 1 / 4)
    found = moved(step, 0.5)
    assert found.isfinite().all()
    assert found.norm(dim=1).max() <= 0.5001
    assert torch.equal(moved(step, 0.0), x)
