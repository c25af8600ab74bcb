import torch
from torch import nn

from torchdiscern import FeatureTap
from torchdiscern.lab.networks.small import SmallConvNet


def test_the_layers_are_what_the_classifier_sees() -> None:
    model = SmallConvNet(channels=3, num_classes=4, width=16)
    images = torch.rand(2, 3, 32, 48)
    with FeatureTap(model, "features", "pooled", pool=True) as tap:
        logits = model(images)
        features = tap.features
    assert features["features"].shape == (2, 16)
    assert features["features"].min() >= 0
    torch.testing.assert_close(features["pooled"], features["features"])
    torch.testing.assert_close(model.classifier(features["pooled"]), logits)


def test_weights_keep_their_names_and_draws() -> None:
    torch.manual_seed(0)
    model = SmallConvNet(1, 10)
    after = torch.rand(1)
    names = [f"features.{index}.{name}" for index in (0, 1, 4, 5, 8, 9) for name, _ in _own(model, index)]
    assert list(model.state_dict()) == [*names, "classifier.weight", "classifier.bias"]
    torch.manual_seed(0)
    for inputs, outputs in ((1, 32), (32, 64), (64, 64)):
        nn.Conv2d(inputs, outputs, 3, bias=False)
    classifier = nn.Linear(64, 10)
    torch.testing.assert_close(model.classifier.weight, classifier.weight, rtol=0, atol=0)
    torch.testing.assert_close(after, torch.rand(1), rtol=0, atol=0)


def test_training_without_dropout_draws_nothing() -> None:
    model = SmallConvNet(1, 10)
    torch.manual_seed(0)
    model(torch.ones(2, 1, 8, 8))
    after = torch.rand(1)
    torch.manual_seed(0)
    torch.testing.assert_close(after, torch.rand(1), rtol=0, atol=0)


def _own(model: SmallConvNet, index: int) -> list[tuple[str, torch.Tensor]]:
    return list(model.features[index].state_dict().items())
