"""What the tests of networks share."""

import torch
from torch import Tensor, nn

from torchdiscern import FeatureTap
from torchdiscern.lab.networks import Network


def check(network: Network, num_classes: int = 7) -> dict[str, Tensor]:
    """What every network must do: logits from tapped features that learn, through the classifier named."""
    images = torch.rand(3, network.channels, network.size, network.size)
    linear = network.module.get_submodule(network.classifier)
    assert isinstance(linear, nn.Linear)
    assert linear.out_features == num_classes
    network.module.eval()
    with FeatureTap(network.module, *network.layers, network.classifier) as tap:
        logits = network.module(images)
        features = dict(tap.features)
    torch.testing.assert_close(features.pop(network.classifier), logits)
    for found in features.values():
        assert found.shape[0] == 3
        assert found.shape[network.feature_dim] == linear.in_features
    first = next(network.module.parameters())
    network.module.zero_grad()
    torch.stack([one.square().sum() for one in features.values()]).sum().backward()
    assert first.grad is not None
    assert network.cut in dict(network.module.named_modules())
    return features
