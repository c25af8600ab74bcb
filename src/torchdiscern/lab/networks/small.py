"""A network that trains in seconds on a CPU."""

from typing import cast

from torch import Tensor, nn


class SmallConvNet(nn.Module):
    """Three convolutions with batch norm and ReLU, global average pooling, a linear classifier.

    Args:
        channels: of the images.
        num_classes: C.
        width: D, the features of the last convolution, which is the layer `features`; the layer `pooled` gives
            their averages over space, `[B, D]`.
        dropout: probability, before the classifier.

    Example:
        >>> import torch
        >>> SmallConvNet(channels=1, num_classes=10)(torch.rand(2, 1, 8, 8)).shape
        torch.Size([2, 10])
    """

    def __init__(self, channels: int, num_classes: int, width: int = 64, dropout: float = 0.0) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_convolution(channels, width // 2),
            nn.MaxPool2d(2),
            *_convolution(width // 2, width),
            nn.MaxPool2d(2),
            *_convolution(width, width),
        )
        self.pooled = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        pooled = self.pooled(self.features(images).mean((2, 3)))
        return cast(Tensor, self.classifier(self.dropout(pooled)))


def _convolution(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
