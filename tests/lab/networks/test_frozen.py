import copy

import pytest
import torch
from torch import Tensor, nn

from torchdiscern import FeatureTap
from torchdiscern.lab.networks import Network, freeze, frozen_modules, make_network, split_frozen

PLACES = [
    ("resnet18", {"width": 4}, "layer2", "layer4"),
    ("resnet18", {"width": 4}, "layer3", "layer4.1"),
    ("resnet18", {"width": 4}, "backbone", "fc"),
    ("resnet18", {"width": 4, "head": 5, "dropout": 0.5}, "backbone", "fc.features"),
    ("small", {}, "features.3", "features.6"),
    ("cvt13", {"width": 6}, "backbone", "classifier"),
    ("cvt13", {"width": 6}, "backbone.encoder.stages.1", "pooled"),
    ("efficientnet-lite0", {}, "backbone", "classifier"),
    ("efficientnet-lite0", {"head": 5}, "blocks.4", "classifier.features"),
    ("torchvision/resnet18", {}, "layer2", "layer4"),
    ("torchvision/resnet18", {"dropout": 0.5}, "backbone", "fc.classifier"),
    ("torchvision/mobilenet_v2", {}, "backbone", "classifier"),
    ("timm/vit_tiny_patch16_224", {"head": 5}, "backbone", "head.features"),
    ("timm/vit_tiny_patch16_224", {}, "blocks.8", "fc_norm"),
]


class Flattened(nn.Module):
    """A user's network whose functions stand between and before modules."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.scale = nn.Parameter(torch.ones(()))
        self.bias = nn.Parameter(torch.zeros(3))
        self.fc1 = nn.Linear(6 * 16, 5)
        self.fc = nn.Linear(5, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.relu(self.conv1(images * self.scale))
        maps = self.relu(self.conv2(maps))
        maps = nn.functional.max_pool2d(maps, images.shape[-1] // 4)
        return self.fc(self.relu(self.fc1(torch.flatten(maps, 1)))) + self.bias  # type: ignore[no-any-return]


class Skipping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 1)
        self.inner = nn.Conv2d(4, 4, 1)
        self.fc = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stem(images)
        return self.fc((maps + self.inner(maps)).mean((2, 3)))  # type: ignore[no-any-return]


def by_hand(module: nn.Module, cut: str) -> Network:
    return Network(module, (cut,), 1, "fc", (), (), 8, cut)


def built(name: str, options: dict[str, int]) -> Network:
    torch.manual_seed(0)
    return make_network(name, 7, size=16 if name in ("resnet18", "cvt13") else 32, **options)  # type: ignore[arg-type]


def images_of(network: Network, number: int = 3) -> Tensor:
    return torch.rand(number, network.channels, network.size, network.size)


@pytest.mark.parametrize(("name", "options", "upto", "later"), PLACES)
def test_split(name: str, options: dict[str, int], upto: str, later: str) -> None:
    network = built(name, options)
    freeze(network, upto)
    parts = split_frozen(network, upto, images_of(network))
    assert parts is not None
    frozen, rest = parts
    images = images_of(network, 5)
    network.module.train()
    kept = frozen(images)
    assert not kept.requires_grad
    again = kept.clone()
    rest.eval()
    network.module.eval()
    with FeatureTap(rest, later) as inside, FeatureTap(network.module, later) as whole:
        logits, expected = rest(kept), network.module(images)
        torch.testing.assert_close(inside.features[later], whole.features[later], rtol=0, atol=0)
    torch.testing.assert_close(logits, expected, rtol=0, atol=0)
    torch.testing.assert_close(kept, again, rtol=0, atol=0)
    learning = {key for key, one in network.module.named_parameters() if one.requires_grad}
    assert learning
    assert learning == {key for key, one in rest.named_parameters() if one.requires_grad}
    logits.sum().backward()
    assert all(one.grad is not None for one in rest.parameters() if one.requires_grad)


def test_the_rest_is_the_network_itself() -> None:
    network = built("resnet18", {"width": 4})
    frozen, rest = split_frozen(network, "layer3", images_of(network)) or (None, None)
    assert frozen is not None
    assert rest is not None
    assert rest.get_submodule("layer4") is network.module.get_submodule("layer4")
    assert isinstance(network.module.get_submodule("layer3"), nn.Sequential)
    rest.train()
    before = copy.deepcopy(network.module.state_dict())
    optimizer = torch.optim.SGD(rest.parameters(), lr=0.1)
    rest(frozen(images_of(network))).square().sum().backward()
    optimizer.step()
    moved = {key for key, one in network.module.state_dict().items() if not torch.equal(one, before[key])}
    assert {key.split(".")[0] for key in moved} == {"layer4", "fc"}
    assert "layer4.0.branch.1.running_mean" in moved


def test_the_frozen_part_stops_at_its_layer_and_leaves_modes_alone() -> None:
    network = built("resnet18", {"width": 4})
    frozen, _ = split_frozen(network, "layer1", images_of(network)) or (None, None)
    assert frozen is not None
    network.module.train()
    network.module.get_submodule("layer4").eval()
    ran: list[nn.Module] = []
    network.module.get_submodule("layer2").register_forward_hook(lambda *run: ran.append(run[0]))
    before = copy.deepcopy(network.module.state_dict())
    frozen(images_of(network))
    assert not ran
    torch.testing.assert_close(network.module.state_dict(), before, rtol=0, atol=0)
    assert network.module.training
    assert network.module.get_submodule("bn1").training
    assert not network.module.get_submodule("layer4").training


def test_a_copy_of_the_rest_is_on_its_own() -> None:
    network = built("resnet18", {"width": 4})
    frozen, rest = split_frozen(network, "backbone", images_of(network)) or (None, None)
    assert frozen is not None
    assert rest is not None
    other = copy.deepcopy(rest).eval()
    kept = frozen(images_of(network))
    expected = rest.eval()(kept)
    nn.init.zeros_(rest.get_parameter("fc.weight"))
    torch.testing.assert_close(other(kept), expected)


class TestUsersNetworks:
    def test_functions_and_a_module_that_runs_on_both_sides(self) -> None:
        network = by_hand(Flattened(), "conv2")
        freeze(network, "backbone")
        learning = [name for name, one in network.module.named_parameters() if one.requires_grad]
        assert learning == ["bias", "fc1.weight", "fc1.bias", "fc.weight", "fc.bias"]
        frozen, rest = split_frozen(network, "backbone", torch.rand(3, 3, 8, 8)) or (None, None)
        assert frozen is not None
        assert rest is not None
        images = torch.rand(5, 3, 8, 8)
        kept = frozen(images)
        again = kept.clone()
        torch.testing.assert_close(rest(kept), network.module(images), rtol=0, atol=0)
        torch.testing.assert_close(kept, again, rtol=0, atol=0)  # the ReLU in place had a copy

    def test_a_skip_around_the_layer_cannot_be_cut(self) -> None:
        network = by_hand(Skipping(), "inner")
        assert split_frozen(network, "backbone", torch.rand(3, 3, 8, 8)) is None
        assert split_frozen(network, "stem", torch.rand(3, 3, 8, 8)) is not None
        freeze(network, "backbone")
        assert [n for n, one in network.module.named_parameters() if one.requires_grad] == [
            "fc.weight",
            "fc.bias",
        ]


@pytest.mark.parametrize("name", ["resnet18", "timm/vit_tiny_patch16_224", "torchvision/vit_b_16", "cvt13"])
def test_the_backbone_is_all_but_the_classifier(name: str) -> None:
    options = {"width": 6} if name in ("resnet18", "cvt13") else {}
    network = built(name, options)
    freeze(network, "backbone")
    learning = [key for key, one in network.module.named_parameters() if one.requires_grad]
    assert learning == [f"{network.classifier}.weight", f"{network.classifier}.bias"]


def test_frozen_modules_are_the_outermost() -> None:
    network = built("resnet18", {"width": 4})
    names = {module: name for name, module in network.module.named_modules()}
    assert [names[one] for one in frozen_modules(network, "layer2")] == [
        "conv1",
        "bn1",
        "relu",
        "layer1",
        "layer2",
    ]
    inside = frozen_modules(network, "layer3.0")
    assert [names[one] for one in inside][-1] == "layer3.0"
    network.module.train()
    for module in frozen_modules(network, "layer2"):
        module.eval()
    statistics = {key: one.clone() for key, one in network.module.named_buffers() if "running" in key}
    network.module(images_of(network))
    moved = {
        key for key, one in network.module.named_buffers() if key in statistics and one.ne(statistics[key]).any()
    }
    assert {key.split(".")[0] for key in moved} == {"layer3", "layer4"}


def test_freezing_covers_every_module_before() -> None:
    network = built("efficientnet-lite0", {})
    freeze(network, "blocks.4")
    learning = {key for key, one in network.module.named_parameters() if one.requires_grad}
    later = ("blocks.5", "blocks.6", "conv_head", "bn2", "classifier")
    assert learning == {key for key, _ in network.module.named_parameters() if key.startswith(later)}


def test_freezing_all_leaves_nothing_to_learn() -> None:
    module = Flattened()
    module.bias.requires_grad_(False)
    freeze(by_hand(module, "conv2"), "fc")
    assert not any(one.requires_grad for one in module.parameters())


def test_errors() -> None:
    network = built("resnet18", {"width": 4})
    with pytest.raises(ValueError, match=r"upto: the network has no layer 'layer9'.*did you mean 'layer"):
        freeze(network, "layer9")
    with pytest.raises(ValueError, match=r"upto: layer 'backbone.encoder.stages' does not run by itself"):
        frozen_modules(built("cvt13", {"width": 6}), "backbone.encoder.stages")
