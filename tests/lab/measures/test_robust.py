from typing import Any

import numpy as np
import pytest
import torch
from measure_cases import FROZEN, WHOLE, reader_of
from torch import Tensor, nn

from torchdiscern.lab.measures import attacks, robust
from torchdiscern.lab.measures.attacks import Attacked, attacked_of, descent
from torchdiscern.lab.measures.robust import robust_accuracy, robust_of, survivors
from torchdiscern.lab.measures.table import OF_FEATURES, OF_PIXELS, Norm
from torchdiscern.lab.measures.traces import seeded, untouched
from torchdiscern.lab.training.measure import Reader


class Linear(nn.Module):
    def __init__(self, weight: Tensor, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.scale = scale

    def forward(self, inputs: Tensor) -> Tensor:
        return self.scale * inputs.flatten(1) @ self.weight.T


def linear(classes: int = 2, scale: float = 1.0, images: int = 200, features: int = 12) -> Attacked:
    draw = torch.Generator().manual_seed(classes)
    inputs = torch.randn(images, features, generator=draw)
    module = Linear(torch.randn(classes, features, generator=draw), scale).eval()
    target = module(inputs).argmax(1)
    target[:20] = (target[:20] + 1) % classes  # some are wrong unattacked
    return Attacked(module, inputs, target, classes)


def distance(attacked: Attacked, norm: Norm) -> Tensor:
    """How far each input is from being turned, in closed form; below 0 where it is wrong already."""
    assert isinstance(attacked.module, Linear)
    weight, target = attacked.module.weight.detach(), attacked.target
    logits = attacked.inputs @ weight.T
    lead = logits.gather(1, target.unsqueeze(1)) - logits
    dual = (weight[target].unsqueeze(1) - weight).norm(p=2 if norm == "l2" else 1, dim=2)
    found: Tensor = (lead / dual).scatter(1, target.unsqueeze(1), torch.inf).amin(1)
    return found


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("classes", [2, 5])
def test_a_linear_network_is_as_robust_as_its_closed_form(norm: Norm, classes: int) -> None:
    attacked = linear(classes)
    exact = distance(attacked, norm)
    radii = [float(exact.quantile(share)) for share in (0.3, 0.6, 0.9)]
    found = survivors(attacked, norm, radii, steps=20)
    assert list(found) == radii
    for radius, left in found.items():
        assert left[exact > 1.0001 * radius].all()  # no attack beats the truth
        missed = left[exact < 0.99 * radius]  # and this one comes close to it
        # of several classes the descent goes for one, that is not always the nearest
        assert float(missed.double().mean()) <= (0 if classes == 2 else 0.08)
        assert not left[:20].any()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_sure_network_is_no_more_robust(norm: Norm) -> None:
    attacked = linear(2, scale=1e4)  # cross-entropy's gradient is 0 in float32
    exact = distance(attacked, norm)
    radius = float(exact.quantile(0.6))
    assert (descent(attacked, torch.arange(20, 40), norm, radius, loss="cross_entropy")
            - attacked.inputs[20:40]).abs().max() == 0  # fmt: skip
    assert not survivors(attacked, norm, [radius], steps=20)[radius][exact < 0.99 * radius].any()


def test_pixels_stay_pixels() -> None:
    weight = torch.tensor([[1.0, 1.0], [-1.0, -1.0]])
    module = Linear(weight)

    class Centred(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            found: Tensor = module(images - 0.1)
            return found

    inputs = torch.tensor([[0.0, 0.3], [0.15, 0.15]]).view(2, 1, 1, 2)
    attacked = Attacked(Centred().eval(), inputs, torch.tensor([0, 0]), 2, pixels=True)
    # the first can go down by 0.1 in one pixel alone, the second in both
    assert survivors(attacked, "linf", [0.09])[0.09].tolist() == [True, False]
    assert survivors(attacked, "linf", [0.11])[0.11].tolist() == [False, False]
    free = Attacked(Centred().eval(), inputs, torch.tensor([0, 0]), 2)
    assert survivors(free, "linf", [0.09])[0.09].tolist() == [False, False]


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("random_start", [True, False])
def test_an_attack_stays_within_its_radius(norm: Norm, random_start: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    inputs = torch.rand(30, 1, 4, 4, generator=draw)
    module = Linear(torch.randn(3, 16, generator=draw)).eval()
    attacked = Attacked(module, inputs, module(inputs).argmax(1), 3, pixels=True)
    found = descent(attacked, torch.arange(5, 30), norm, 0.3, steps=5, random_start=random_start)
    assert found.shape == (25, 1, 4, 4)
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() <= 1
    moved = (found - inputs[5:]).flatten(1).norm(p=2 if norm == "l2" else torch.inf, dim=1)
    assert moved.max() <= 0.3 + 1e-5
    assert moved.min() > 0.05


class Stair(nn.Module):
    """A plateau around its inputs, off which a random start falls."""

    def forward(self, inputs: Tensor) -> Tensor:
        height = torch.where(inputs.abs() < 0.1, 0.0, inputs.abs() - 0.1).sum(1)
        return torch.stack([torch.ones_like(height), 5 * height], 1)


def test_random_starts_leave_a_plateau() -> None:
    attacked = Attacked(Stair().eval(), torch.zeros(10, 2), torch.zeros(10, dtype=torch.long), 2)
    assert survivors(attacked, "l2", [1.0], restarts=1)[1.0].all()
    assert not survivors(attacked, "l2", [1.0], restarts=2)[1.0].any()


def test_every_loss_from_every_start_on_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[Any, ...]] = []

    def follow(attacked: Attacked, rows: Tensor, norm: Norm, radius: float, **how: Any) -> Tensor:
        seen.append((radius, how["loss"], how["steps"], how["random_start"], len(rows)))
        inputs = attacked.inputs[rows].clone()
        inputs[0] = -inputs[0]  # turns one
        return inputs

    monkeypatch.setattr(robust, "descent", follow)
    attacked = linear(2)
    found = survivors(attacked, "l2", [2.0, 1.0], steps=30, restarts=2)
    once = [("margin", 10, False), *((loss, 30, start) for start in (False, True) for loss in attacks.LOSSES)]
    assert [one[:-1] for one in seen] == [(radius, *one) for radius in (1.0, 2.0) for one in once]
    assert [one[-1] for one in seen] == list(range(180, 170, -1))
    assert [int(found[radius].sum()) for radius in (1.0, 2.0)] == [175, 170]


def test_accuracy_is_a_share_of_all_and_falls_with_the_radius() -> None:
    attacked = linear(2)
    found = robust_of(attacked, {"l2": {"large": 1.0, "tiny": 1e-6}}, steps=10)
    assert list(found) == ["robust_l2_large", "robust_l2_tiny"]
    assert found["robust_l2_tiny"] == 0.9
    assert 0 < found["robust_l2_large"] < 0.9


def test_the_default_radii_have_names() -> None:
    for radii in (OF_FEATURES, OF_PIXELS):
        for norm, sizes in radii.items():
            for name, size in sizes.items():
                over, _, under = name.partition("/")
                assert size == pytest.approx(float(over) / float(under or 1)), norm


def test_numbers_repeat_and_nothing_is_left_behind() -> None:
    attacked = linear(3)
    module = attacked.module
    module.train()
    assert isinstance(module.weight, nn.Parameter)
    module.weight.grad = gradient = torch.ones_like(module.weight)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002, what the toolbox draws from
    before, state = torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index] # noqa: NPY002
    found = descent(attacked, torch.arange(200), "l2", 1.0, random_start=True)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.random.get_state()[1].tolist() == state  # type: ignore[index] # noqa: NPY002
    assert module.training
    assert module.weight.requires_grad
    assert module.weight.grad is gradient
    torch.manual_seed(6)
    np.random.seed(6)  # noqa: NPY002
    assert torch.equal(descent(attacked, torch.arange(200), "l2", 1.0, random_start=True), found)
    other = descent(attacked, torch.arange(200), "l2", 1.0, random_start=True, name="another start")
    assert not torch.equal(other, found)


def test_states_come_back_after_an_error() -> None:
    module = nn.Linear(2, 2)
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError), untouched(module), seeded(3):
        assert not module.weight.requires_grad  # or half of the work would be for nothing
        torch.rand(1)
        raise RuntimeError
    assert torch.equal(torch.get_rng_state(), before)
    assert module.weight.requires_grad


@pytest.mark.parametrize("settings", [WHOLE, FROZEN], ids=["pixels", "features"])
def test_what_is_attacked_is_the_network_that_was_measured(settings: dict[str, Any]) -> None:
    reader = reader_of(**settings)
    attacked = attacked_of(reader, images=40)
    assert len(attacked.target) == 40
    assert attacked.pixels == (settings is WHOLE)
    inputs = {tuple(one.flatten().tolist()): number for number, one in enumerate(attacked.inputs)}
    logits = attacked.module(attacked.inputs)
    matched = 0
    for rows, _, _, said in reader.batches(reader.prepared.labels.test):
        kept = reader.prepared.inputs[rows].float() / (255 if attacked.pixels else 1)
        for row, one, seen in zip(rows, kept, said, strict=True):
            place = inputs.get(tuple(one.flatten().tolist()))
            if place is not None:
                torch.testing.assert_close(logits[place], seen, atol=1e-4, rtol=1e-4)
                assert attacked.target[place] == reader.prepared.labels.true[row]
                matched += 1
    assert matched >= 40


def test_every_arm_is_attacked_on_the_same_images() -> None:
    few, many = (attacked_of(reader_of(**WHOLE), images=images) for images in (10, 30))
    assert torch.equal(few.inputs, many.inputs[:10])
    other = attacked_of(reader_of(**WHOLE, arm="renyi"), images=30)
    assert torch.equal(other.inputs, many.inputs)
    assert torch.equal(other.target, many.target)
    assert len(attacked_of(reader_of(**WHOLE), images=10_000).target) == len(
        reader_of(**WHOLE).prepared.labels.test
    )


def test_a_trained_network_on_pixels() -> None:
    reader = reader_of(**WHOLE)
    found = robust_accuracy(reader, images=60, steps=12)
    assert list(found) == [f"robust_{norm}_{name}" for norm, sizes in OF_PIXELS.items() for name in sizes]
    _check_trained(found, reader)
    assert robust_accuracy(reader, images=60, steps=12) == found
    assert not reader.module.training


def test_a_trained_network_of_frozen_features() -> None:
    reader = reader_of(**FROZEN)
    small: dict[Norm, dict[str, float]] = {
        "l2": {"0.003": 0.003, "0.01": 0.01, "0.03": 0.03},
        "linf": {"0.001": 0.001, "0.01": 0.01},
    }
    found = robust_accuracy(reader, images=60, radii=small, steps=12)
    _check_trained(found, reader)
    assert 0 < found["robust_l2_0.01"] < found["robust_l2_0.003"]
    usual = robust_accuracy(reader, images=5, steps=2, restarts=1)
    assert list(usual) == [f"robust_{norm}_{name}" for norm, sizes in OF_FEATURES.items() for name in sizes]


def _check_trained(found: dict[str, float], reader: Reader) -> None:
    attacked = attacked_of(reader, images=60)
    clean = float(attacked.right(attacked.inputs, torch.arange(60)).double().mean())
    assert clean > 0.4
    for norm in ("l2", "linf"):
        values = [clean, *(value for name, value in found.items() if norm in name)]
        assert values == sorted(values, reverse=True)
        assert values[-1] < clean


def test_large_inputs_are_attacked_few_at_once() -> None:
    sizes = [
        Attacked(nn.Identity(), torch.zeros(1, *shape), torch.zeros(1), 2).batch_size
        for shape in ((1280,), (3, 32, 32), (3, 224, 224))
    ]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < sizes[1] < sizes[0]


def test_what_cannot_be_attacked_is_said() -> None:
    attacked = linear()
    with pytest.raises(ValueError, match=r"radii: got 0, expected radii above 0"):
        survivors(attacked, "l2", [0.0])
    with pytest.raises(ValueError, match="norm: "):
        descent(attacked, torch.arange(3), "l1", 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="attacked: got no input"):
        robust_of(Attacked(nn.Identity(), torch.zeros(0, 2), torch.zeros(0, dtype=torch.long), 2))
