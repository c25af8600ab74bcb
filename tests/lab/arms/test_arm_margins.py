"""Losses of pytorch-metric-learning, and the classifiers that go with them."""

import math
from collections.abc import Callable

import pytest
import torch
from pytorch_metric_learning import losses
from torch import Tensor, nn
from torch.nn.functional import normalize

from arm_steps import CLASSES, FEATURES, TARGET, classifier_of, cross_entropy_by_loops, features_of, step_of
from torchdiscern.lab.arms import SCALE, margins
from torchdiscern.lab.networks import make_network
from torchdiscern.lab.networks.cosine import CosineLinear, simplex, weight_of, with_cosines, with_simplex


def cosine_classifier() -> CosineLinear:
    return CosineLinear(classifier_of().weight, SCALE)


def test_a_cosine_classifier_gives_scaled_cosines() -> None:
    x, linear = features_of(), cosine_classifier()
    for i in range(len(x)):
        for c in range(CLASSES):
            w = linear.weight[c]
            cosine = (x[i] @ w) / (x[i].norm() * w.norm())
            torch.testing.assert_close(linear(x)[i, c], SCALE * cosine)
    torch.testing.assert_close(linear(3 * x), linear(x))
    assert torch.equal((x @ weight_of(linear).T).argmax(1), linear(x).argmax(1))
    torch.testing.assert_close(x @ weight_of(linear).T / x.norm(dim=1, keepdim=True), linear(x))
    plain = nn.Linear(FEATURES, CLASSES)
    assert weight_of(plain) is plain.weight


@pytest.mark.parametrize("rival", [margins.arcface, margins.cosface])
def test_without_a_margin_it_is_the_cross_entropy_of_cosines(rival: Callable[..., Tensor]) -> None:
    x, linear = features_of().requires_grad_(), cosine_classifier()
    found, expected = rival(step_of(x, TARGET, linear), strength=0.0), cross_entropy_by_loops(linear(x), TARGET)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    parameters = [x, linear.weight]
    slopes = torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters)
    torch.testing.assert_close(*slopes, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("rival", "with_margin"),
    [
        (margins.arcface, lambda cosine: torch.cos(torch.acos(cosine) + 0.3)),
        (margins.cosface, lambda cosine: cosine - 0.3),
    ],
)
def test_the_margin_stands_on_the_class_alone(
    rival: Callable[..., Tensor], with_margin: Callable[[Tensor], Tensor]
) -> None:
    x, linear = features_of(), cosine_classifier()
    logits = linear(x).clone()
    for i, label in enumerate(TARGET.tolist()):
        logits[i, label] = SCALE * with_margin(logits[i, label] / SCALE)
    found = rival(step_of(x, TARGET, linear), strength=0.3)
    torch.testing.assert_close(found, cross_entropy_by_loops(logits, TARGET), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("rival", "kind"), [(margins.arcface, "ArcFaceLoss"), (margins.cosface, "CosFaceLoss")])
def test_it_is_the_library_s_with_the_classifier_s_own_weights(rival: Callable[..., Tensor], kind: str) -> None:
    x, linear = features_of(), cosine_classifier()
    margin = math.degrees(0.4) if kind == "ArcFaceLoss" else 0.4
    library = getattr(losses, kind)(CLASSES, FEATURES, margin=margin, scale=SCALE)
    library.W = nn.Parameter(linear.weight.detach().T.clone())
    before = torch.get_rng_state()
    found = rival(step_of(x, TARGET, linear), strength=0.4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(found, library(x, TARGET))
    found.backward()
    assert linear.weight.grad is not None
    assert linear.weight.grad.abs().sum() > 0


def test_an_angle_of_zero_has_a_slope() -> None:
    linear = CosineLinear(torch.eye(CLASSES, FEATURES), SCALE)
    x = 3 * torch.eye(CLASSES, FEATURES)[TARGET]
    assert (linear(x).amax(1) == SCALE).all()
    x.requires_grad_()
    margins.arcface(step_of(x, TARGET, linear)).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert linear.weight.grad is not None
    assert linear.weight.grad.isfinite().all()
    ends = torch.tensor([-1.0, 1.0], requires_grad=True)
    margins._loss("ArcFaceLoss", CLASSES, 10.0).get_angles(ends).cos().sum().backward()
    assert ends.grad is not None
    assert torch.equal(ends.grad, torch.zeros(2))
    angles = margins._loss("ArcFaceLoss", CLASSES, 10.0).get_angles(ends)
    assert 0 < float(angles.detach().min()) < float(angles.detach().max()) < math.pi - 1e-4


def test_supervised_contrast_by_loops() -> None:
    x, linear = features_of().requires_grad_(), classifier_of()
    target = torch.tensor([0, 0, 1, 3, 3, 3, 2, 0])  # two samples have none of their class
    unit, terms = normalize(x), []
    for i in range(len(x)):
        alike = [k for k in range(len(x)) if k != i and target[k] == target[i]]
        if not alike:
            continue
        below = torch.stack([(unit[i] @ unit[k] / 0.1).exp() for k in range(len(x)) if k != i]).sum()
        terms.append(-torch.stack([((unit[i] @ unit[k] / 0.1).exp() / below).log() for k in alike]).mean())
    expected = cross_entropy_by_loops(linear(x), target) + 0.7 * torch.stack(terms).mean()
    found = margins.supcon(step_of(x, target, linear), strength=0.7)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(found, x), torch.autograd.grad(expected, x))


def test_supervised_contrast_leaves_out_samples_without_any_feature() -> None:
    x = features_of()
    x[3] = 0
    kept = torch.arange(len(x)) != 3
    linear = classifier_of()
    found = margins.supcon(step_of(x, TARGET, linear), 1.0) - step_of(x, TARGET, linear).cross_entropy
    few = step_of(x[kept], TARGET[kept], linear)
    torch.testing.assert_close(found, margins.supcon(few, 1.0) - few.cross_entropy)


@pytest.mark.parametrize(("classes", "features"), [(2, 1), (3, 2), (10, 9), (10, 64), (101, 512)])
def test_a_simplex_has_one_angle(classes: int, features: int) -> None:
    frame = simplex(classes, features, torch.Generator().manual_seed(3)).double()
    expected = torch.full((classes, classes), -1 / (classes - 1), dtype=torch.float64).fill_diagonal_(1)
    torch.testing.assert_close(frame @ frame.T, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(frame.sum(0), torch.zeros(features, dtype=torch.float64), rtol=0, atol=1e-5)
    assert torch.equal(frame, simplex(classes, features, torch.Generator().manual_seed(3)))
    if features > 1:
        assert not torch.allclose(frame, simplex(classes, features, torch.Generator().manual_seed(4)).double())


def test_a_simplex_needs_room() -> None:
    network = make_network("small", 12, width=10, channels=1, size=8)
    with pytest.raises(ValueError, match=r"arm: got 'etf' with 10 features for 12 classes, expected at least 11"):
        with_simplex(network, SCALE, torch.Generator())
    changed = with_simplex(make_network("small", 11, width=10, channels=1, size=8), SCALE, torch.Generator())
    classifier = changed.module.get_submodule("classifier")
    assert isinstance(classifier, CosineLinear)
    assert not classifier.weight.requires_grad


@pytest.mark.parametrize("name", ["small", "resnet17", "timm/resnet10t"])
def test_any_network_s_classifier_changes_and_keeps_its_weights(name: str) -> None:
    width = {} if "/" in name else {"width": 8}
    network = make_network(name, 5, size=64, **width, head=6 if name == "small" else 0)  # type: ignore[arg-type]
    old = network.module.get_submodule(network.classifier)
    assert isinstance(old, nn.Linear)
    state = torch.get_rng_state()
    changed = with_cosines(network, 7.0)
    assert torch.equal(torch.get_rng_state(), state)
    classifier = changed.module.get_submodule(changed.classifier)
    assert isinstance(classifier, nn.Linear)
    assert torch.equal(classifier.weight, old.weight)
    assert "scale=7" in repr(classifier)
    with torch.no_grad():
        assert changed.module.eval()(torch.rand(2, 3, 64, 64)).abs().max() <= 7.0001
