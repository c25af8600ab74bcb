from typing import Any

import pytest
import torch

from torchdiscern import FeatureTap
from torchdiscern.lab.networks import make_network
from torchdiscern.lab.networks.cvt import CvT, cvt13


@pytest.mark.parametrize(("size", "number"), [(32, 19_643_300), (224, 19_650_980)])
def test_number_of_parameters(size: int, number: int) -> None:
    assert sum(one.numel() for one in cvt13(100, size=size).parameters()) == number


def test_stages_of_small_images() -> None:
    model = cvt13(5, channels=1, width=6).eval()
    with torch.no_grad(), FeatureTap(model, *(f"backbone.encoder.stages.{index}" for index in range(3))) as tap:
        assert model(torch.rand(2, 1, 32, 32)).shape == (2, 5)
        shapes = [list(one.shape) for one in tap.features.values()]
    assert shapes == [[2, 6, 32, 32], [2, 18, 16, 16], [2, 36, 8, 8]]


def test_large_images_are_cut_by_the_stem_of_stride_4() -> None:
    model = cvt13(5, size=224, width=6).eval()
    with torch.no_grad(), FeatureTap(model, "backbone.encoder.stages.2") as tap:
        model(torch.rand(1, 3, 224, 224))
        assert list(next(iter(tap.features.values())).shape) == [1, 36, 14, 14]


def test_blocks_and_heads() -> None:
    stages: Any = cvt13(5, width=6).get_submodule("backbone.encoder.stages")
    found = [(len(stage.layers), stage.layers[0].attention.attention.num_heads) for stage in stages]
    assert found == [(1, 1), (2, 3), (10, 6)]


def test_the_tapped_vector_is_the_normed_class_token_that_the_classifier_reads() -> None:
    model = cvt13(5, width=6)
    with FeatureTap(model, "backbone", "norm", "pooled") as tap:
        logits = model(torch.rand(2, 3, 16, 16))
        _, norm, pooled = tap.features.values()
    assert pooled.shape == (2, 36)
    torch.testing.assert_close(pooled, norm[:, 0], rtol=0, atol=0)
    torch.testing.assert_close(model.classifier(pooled), logits)
    pooled[:, 0].sum().backward()
    token = model.get_parameter("backbone.encoder.stages.2.cls_token")
    assert token.grad is not None
    assert token.grad.abs().sum() > 0


def test_published_weights_are_taken_norm_included(monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import CvtConfig, CvtForImageClassification

    theirs: Any = CvtForImageClassification(CvtConfig(embed_dim=[6, 18, 36]))
    theirs.eval()
    torch.nn.init.normal_(theirs.layernorm.weight)
    asked: list[str] = []

    def fetched(name: str, **_: object) -> object:
        asked.append(name)
        return theirs

    monkeypatch.setattr(CvtForImageClassification, "from_pretrained", fetched)
    ours = cvt13(1000, size=224, pretrained=True).eval()
    assert asked == ["microsoft/cvt-13"]
    assert isinstance(ours, CvT)
    ours.classifier = theirs.classifier
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images).logits)


def test_weights_are_for_large_images_of_full_width() -> None:
    with pytest.raises(
        ValueError, match="pretrained: got True with width=16 and size=224, expected the width 64"
    ):
        make_network("cvt13", 5, width=16, pretrained=True)
    with pytest.raises(ValueError, match="size=32, expected"):
        make_network("cvt13", 5, size=32, pretrained=True)
