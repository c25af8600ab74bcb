import socket
import time
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import nn

from network_checks import check
from torchdiscern.lab.networks import make_network, weights


def test_efficientnet_lite0_needs_no_connection() -> None:
    network = make_network("efficientnet-lite0", 7, pretrained=True, size=64, dropout=0.3)
    assert (network.mean, network.std) == ((127 / 255,) * 3, (128 / 255,) * 3)
    stem = weights.efficientnet_lite0().get_parameter("conv_stem.weight")
    torch.testing.assert_close(network.module.get_parameter("conv_stem.weight"), stem, rtol=0, atol=0)
    scratch = make_network("efficientnet-lite0", 7).module.get_parameter("conv_stem.weight")
    assert not torch.equal(scratch, stem)
    assert vars(network.module)["drop_rate"] == 0.3
    check(network)


@pytest.mark.parametrize("name", ["torchvision/resnet18", "timm/resnet18", "cvt13"])
def test_without_a_connection_one_sentence_comes_soon(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise socket.gaierror("Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    begun = time.perf_counter()
    with pytest.raises(
        OSError, match=r"pretrained: .*expected a network connection; .*efficientnet-lite0"
    ) as found:
        make_network(name, 7, pretrained=True)
    assert time.perf_counter() - begun < 15
    assert repr(name) in str(found.value)
    assert "\n" not in str(found.value)
    assert socket.getdefaulttimeout() is None


def test_torchvision_gets_a_new_classifier_on_old_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import models

    built = models.get_model
    asked: list[object] = []

    def fetched(name: str, *, weights: str | None = None, **options: object) -> nn.Module:
        asked.append(weights)
        found = built(name, **options)
        assert isinstance(found, nn.Module)
        return found

    monkeypatch.setattr(models, "get_model", fetched)
    network = make_network("torchvision/resnet18", 7, size=32, pretrained=True)
    assert asked == ["DEFAULT"]
    assert network.mean == (0.485, 0.456, 0.406)
    check(network)


@pytest.mark.parametrize("name", ["small", "resnet18", "timm/resnet10t_unknown"])
def test_none_published(name: str) -> None:
    with pytest.raises(ValueError, match=r"no weights are published|network: got"):
        make_network(name, 7, pretrained=True)


def test_fetching_passes_other_errors_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_answers", lambda _: True)
    with pytest.raises(OSError, match=r"weights of 'it' .*no host"), weights.fetching("it"):
        raise URLError("no host")
    with pytest.raises(KeyError), weights.fetching("it"):
        raise KeyError("of a bug")
