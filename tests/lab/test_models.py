import torch

from torchdiscern import FeatureTap
from torchdiscern.lab.models import SmallConvNet


def test_the_layer_features_is_what_the_classifier_sees() -> None:
    model = SmallConvNet(channels=3, num_classes=4, width=16)
    images = torch.rand(2, 3, 32, 48)
    with FeatureTap(model, "features", pool=True) as tap:
        logits = model(images)
        features = tap.features["features"]
    assert features.shape == (2, 16)
    assert features.min() >= 0
    torch.testing.assert_close(model.classifier(features), logits)
