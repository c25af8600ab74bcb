from collections.abc import Callable

import pytest
import torch
from torch import nn

from torchdiscern import DiscriminabilityLoss, FeatureTap
from torchdiscern.lab.networks.resnet import ResNet, resnet17, resnet18, resnet50

ALL = pytest.mark.parametrize("make", [resnet17, resnet18, resnet50])


def parameters(module: nn.Module) -> int:
    return sum(one.numel() for one in module.parameters())


@pytest.mark.parametrize(
    ("make", "number"), [(resnet17, 8_859_812), (resnet18, 11_220_132), (resnet50, 23_705_252)]
)
def test_number_of_parameters(make: Callable[..., ResNet], number: int) -> None:
    with torch.device("meta"):
        assert parameters(make(100)) == number


def test_resnet17_lacks_one_convolution_and_its_norm() -> None:
    with torch.device("meta"):
        whole, short = (
            [str(one) for one in make(10).modules() if isinstance(one, nn.Conv2d | nn.BatchNorm2d)]
            for make in (resnet18, resnet17)
        )
    assert len(whole) == len(short) + 2
    assert short == whole[:-2]


@ALL
def test_stem_keeps_every_pixel_and_stages_halve(make: Callable[..., ResNet]) -> None:
    model = make(5, channels=1, width=4).eval()
    layers = ["bn1", "layer1", "layer2", "layer3", "layer4", "avgpool"]
    with torch.no_grad(), FeatureTap(model, *layers) as tap:
        assert model(torch.rand(2, 1, 16, 16)).shape == (2, 5)
        shapes = [list(one.shape) for one in tap.features.values()]
    wider = 4 if make is resnet50 else 1
    stages = [[2, 4 * wider << index, 16 >> index, 16 >> index] for index in range(4)]
    assert shapes == [[2, 4, 16, 16], *stages, [2, 32 * wider]]


@ALL
def test_the_pooled_vector_gives_the_loss_of_the_map(make: Callable[..., ResNet]) -> None:
    torch.manual_seed(0)
    model = make(5, width=4)
    criterion = DiscriminabilityLoss(5, impurity_weight=0.5, kl_weight=0.5)
    target = torch.arange(10) % 5
    with FeatureTap(model, "layer4", "avgpool") as tap:
        model(torch.rand(10, 3, 8, 8))
        maps, pooled = tap.features.values()
    assert maps.min() >= 0
    torch.testing.assert_close(criterion(pooled, target), criterion(maps, target))


def test_gradient_of_the_tapped_features_reaches_the_stem() -> None:
    model = resnet18(5, width=4)
    with FeatureTap(model, "avgpool") as tap:
        model(torch.rand(2, 3, 8, 8))
        tap.features["avgpool"].square().sum().backward()
    assert model.conv1.weight.grad is not None
    assert model.conv1.weight.grad.abs().sum() > 0
    assert model.fc.weight.grad is None


def test_dropout_is_right_before_the_classifier() -> None:
    model = resnet18(5, width=4, dropout=0.5)
    with FeatureTap(model, "avgpool", "dropout") as tap:
        model(torch.rand(4, 3, 8, 8))
        before, after = tap.features.values()
    kept = after != 0
    assert 0 < kept.sum() < before.count_nonzero()
    torch.testing.assert_close(after[kept], 2 * before[kept])


def test_layers_start_as_pytorch_has_them() -> None:
    torch.manual_seed(0)
    weight = resnet18(5, width=4).conv1.weight
    torch.manual_seed(0)
    torch.testing.assert_close(weight, nn.Conv2d(3, 4, 3, bias=False).weight, rtol=0, atol=0)
