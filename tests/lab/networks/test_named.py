import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from network_checks import check
from torchdiscern.lab.networks import make_network, network_names

OURS = ["small", "resnet17", "resnet18", "resnet50", "cvt13"]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The file `mine.py` in the current folder."""
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def plain(num_classes):\n"
        "    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), "
        "nn.Linear(6, num_classes))\n"
        "def sized(num_classes, channels, size, width=2):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, width), nn.ReLU(), "
        "nn.Linear(width, num_classes))\n"
        "def flat(num_classes):\n"
        "    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Unflatten(1, (6, 1)), nn.Flatten(), "
        "nn.Linear(6 * 30 * 30, num_classes))\n"
        "def unread(num_classes):\n"
        "    class Net(nn.Module):\n"
        "        def __init__(self):\n"
        "            super().__init__()\n"
        "            self.conv = nn.Conv2d(3, 6, 3)\n"
        "            self.fc = nn.Linear(6 * 30 * 30, num_classes)\n"
        "        def forward(self, x):\n"
        "            return self.fc(self.conv(x).relu().flatten(1))\n"
        "    return Net()\n"
        "def normed(num_classes):\n"
        "    return nn.Sequential(plain(num_classes), nn.LogSoftmax(1))\n"
        "def nothing(num_classes):\n"
        "    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    yield
    sys.modules.pop("mine", None)


class TestOurs:
    @pytest.mark.parametrize("name", OURS)
    @pytest.mark.parametrize("head", [0, 5])
    def test_parts(self, name: str, head: int) -> None:
        network = make_network(name, 7, channels=1, size=16, width=6, head=head)
        found = check(network)
        assert [one.ndim for one in found.values()] == [2]
        assert (network.size, network.mean, network.std, network.channels) == (16, (), (), 1)

    @pytest.mark.parametrize("name", OURS)
    def test_exports(self, name: str) -> None:
        module = make_network(name, 7, size=16, width=6).module.eval()
        images = torch.rand(2, 3, 16, 16)
        exported = torch.export.export(module, (images,)).module()
        torch.testing.assert_close(exported(images), module(images))

    def test_default_width_is_64(self) -> None:
        assert make_network("resnet18", 7).module.get_parameter("conv1.weight").shape[0] == 64
        assert make_network("small", 7).module.get_parameter("classifier.weight").shape[1] == 64

    def test_names(self) -> None:
        assert network_names() == [*OURS, "efficientnet-lite0"]


class TestHead:
    def test_is_hidden_norm_relu_dropout_classifier(self) -> None:
        network = make_network("resnet18", 7, width=4, head=5, dropout=0.4)
        head: Any = network.module.get_submodule("fc")
        assert [name for name, _ in head.named_children()] == [
            "hidden",
            "norm",
            "features",
            "dropout",
            "classifier",
        ]
        assert [head.hidden.weight.shape, head.hidden.bias] == [(5, 32), None]
        assert head.dropout.p == 0.4
        before = network.module.get_submodule("dropout")
        assert isinstance(before, nn.Dropout)
        assert before.p == 0
        assert (network.layers, network.classifier, network.cut) == (
            ("fc.features",),
            "fc.classifier",
            "avgpool",
        )

    def test_takes_the_place_of_tokens(self) -> None:
        network = make_network("torchvision/vit_b_16", 7, size=16, head=5)
        assert (network.feature_dim, network.cut) == (1, "encoder")
        assert check(network)["heads.head.features"].shape == (3, 5)


class TestForeign:
    @pytest.mark.parametrize(
        ("name", "size", "layer", "feature_dim", "classifier"),
        [
            ("efficientnet-lite0", 32, "global_pool", 1, "classifier"),
            ("torchvision/resnet18", 32, "avgpool", 1, "fc"),
            ("torchvision/mobilenet_v2", 32, "features", 1, "classifier.1"),
            ("torchvision/vit_b_16", 16, "encoder", -1, "heads.head"),
            ("torchvision/convnext_tiny", 32, "classifier.1", 1, "classifier.2"),
            ("torchvision/densenet121", 32, "features", 1, "classifier"),
            ("torchvision/efficientnet_b0", 32, "avgpool", 1, "classifier.1"),
            ("timm/resnet18", 32, "global_pool", 1, "fc"),
            ("timm/vit_tiny_patch16_224", 32, "fc_norm", 1, "head"),
            ("timm/convnext_atto", 32, "head.pre_logits", 1, "head.fc"),
            ("timm/mobilenetv3_small_050", 32, "flatten", 1, "classifier"),
            ("timm/resnetv2_50", 32, "head.global_pool", 1, "head.fc.classifier"),
        ],
    )
    def test_parts(self, name: str, size: int, layer: str, feature_dim: int, classifier: str) -> None:
        network = make_network(name, 7, size=size)
        assert (network.layers, network.feature_dim, network.classifier) == ((layer,), feature_dim, classifier)
        assert (network.cut, network.size, network.mean) == (layer, size, ())
        assert network.module.training
        check(network)

    def test_size_by_default_is_what_the_network_is_made_for(self) -> None:
        assert make_network("torchvision/shufflenet_v2_x0_5", 7).size == 224
        assert make_network("timm/mobilenetv3_small_050", 7).size == 224

    def test_a_convolution_as_classifier_keeps_its_logits(self) -> None:
        import timm

        torch.manual_seed(0)
        theirs = timm.create_model("resnetv2_50", num_classes=7).eval()
        torch.manual_seed(0)
        ours = make_network("timm/resnetv2_50", 7, size=32).module.eval()
        images = torch.rand(2, 3, 32, 32)
        with torch.no_grad():
            torch.testing.assert_close(ours(images), theirs(images))

    @pytest.mark.parametrize(
        "name", ["torchvision/resnet18", "mine:plain", "timm/resnet18", "torchvision/mobilenet_v2"]
    )
    @pytest.mark.usefixtures("own")
    def test_dropout_is_before_the_classifier(self, name: str) -> None:
        network = make_network(name, 7, size=32, dropout=0.5)
        read: list[Tensor] = []
        classifier = network.module.get_submodule(network.classifier)
        classifier.register_forward_pre_hook(lambda _, args: read.append(args[0]))
        network.module.eval()
        for part in network.module.modules():
            if isinstance(part, nn.Dropout):
                part.train()
        network.module.training = True  # timm drops by a function, as its root trains
        images = torch.rand(2, 3, 32, 32)
        with torch.no_grad():
            first, second = network.module(images), network.module(images)
        assert not torch.equal(first, second)
        zero = (read[0] == 0) != (read[1] == 0)
        kept = (read[0] != 0) & (read[1] != 0)
        assert zero.any()
        torch.testing.assert_close(read[0][kept], read[1][kept])
        assert sum(isinstance(one, nn.Dropout) and one.p > 0 for one in network.module.modules()) <= 1

    def test_probing_moves_no_draws_and_no_statistics(self) -> None:
        torch.manual_seed(0)
        network = make_network("torchvision/resnet18", 7, size=32)
        after = torch.rand(1)
        from torchvision.models import resnet18

        torch.manual_seed(0)
        alone = resnet18(num_classes=7)
        torch.testing.assert_close(after, torch.rand(1), rtol=0, atol=0)
        torch.testing.assert_close(network.module.state_dict(), alone.state_dict(), rtol=0, atol=0)


@pytest.mark.usefixtures("own")
class TestOwnFunction:
    def test_from_the_current_folder(self) -> None:
        network = make_network("mine:plain", 7)
        assert (network.layers, network.classifier, network.size) == (("3",), "4", 32)
        check(network)
        assert str(Path.cwd()) not in sys.path

    def test_is_given_what_it_takes(self) -> None:
        network = make_network("mine:sized", 7, channels=1, size=8, width=5)
        assert network.module.get_parameter("1.weight").shape == (5, 64)
        assert network.layers == ("2",)
        assert make_network("mine:sized", 7).module.get_parameter("1.weight").shape == (2, 3 * 32 * 32)

    def test_layers_by_hand(self) -> None:
        with pytest.raises(ValueError, match=r"no layer gives the 5400 features .* 'fc' .* name layers by hand"):
            make_network("mine:unread", 7)
        network = make_network("mine:unread", 7, layers=["conv"])
        assert (network.layers, network.cut, network.feature_dim) == (("conv",), "conv", 1)
        with pytest.raises(ValueError, match=r"layers: the network has no layer 'cnv'.*'conv'"):
            make_network("mine:unread", 7, layers=["cnv"])

    @pytest.mark.parametrize(
        ("name", "error", "match"),
        [
            ("mine:normed", ValueError, "its logits are not the output of an nn.Linear"),
            ("mine:nothing", TypeError, "'mine:nothing' gave 3"),
            ("mine:plane", ValueError, "no function 'plane'.*did you mean 'plain'"),
            ("missing.module:net", ValueError, "there is no module 'missing.module'"),
        ],
    )
    def test_errors(self, name: str, error: type[Exception], match: str) -> None:
        with pytest.raises(error, match=match):
            make_network(name, 7)

    def test_what_it_does_not_take(self) -> None:
        with pytest.raises(ValueError, match="width: got 5, which 'mine:plain' does not take"):
            make_network("mine:plain", 7, width=5)
        with pytest.raises(ValueError, match="pretrained: got True, which 'mine:plain' does not take"):
            make_network("mine:plain", 7, pretrained=True)
        with pytest.raises(ValueError, match=r"it failed on images of shape \[2, 1, 32, 32\]"):
            make_network("mine:plain", 7, channels=1)

    def test_a_module_that_misses_another_says_which(self) -> None:
        Path("broken.py").write_text("import there_is_no_such_module\n")
        with pytest.raises(ModuleNotFoundError, match="there_is_no_such_module"):
            make_network("broken:net", 7)


class TestErrors:
    @pytest.mark.parametrize(
        ("name", "match"),
        [
            ("resnet81", "network: got 'resnet81'.*did you mean.*'resnet18'"),
            ("torchvision/resnet19", "did you mean 'torchvision/resnet1"),
            ("torchvision/fasterrcnn_resnet50_fpn", "that torchvision has for classification"),
            ("timm/vit_tiny_patch16_225", "did you mean 'timm/vit_tiny_patch16_224'"),
        ],
    )
    def test_unknown_names(self, name: str, match: str) -> None:
        with pytest.raises(ValueError, match=match):
            make_network(name, 7)

    def test_settings(self) -> None:
        with pytest.raises(ValueError, match="width: got 8 for 'timm/resnet18'"):
            make_network("timm/resnet18", 7, width=8)
        with pytest.raises(ValueError, match="channels: got 1 for 'torchvision/resnet18', expected 3"):
            make_network("torchvision/resnet18", 7, channels=1)
        with pytest.raises(ValueError, match="channels: got 1 with pretrained=True"):
            make_network("efficientnet-lite0", 7, channels=1, pretrained=True)
        with pytest.raises(ValueError, match="dropout: got 1"):
            make_network("small", 7, dropout=1)
        with pytest.raises(ValueError, match="head: got -1"):
            make_network("small", 7, head=-1)
        with pytest.raises(ValueError, match="num_classes: got 1"):
            make_network("small", 1)

    def test_other_channels_where_a_family_takes_them(self) -> None:
        check(make_network("timm/resnet18", 7, channels=1, size=32))
