"""The paper's ResNets: a CIFAR stem, four stages, average pooling, dropout, a linear classifier."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn


class ResNet(nn.Module):
    """A ResNet for small images: 3x3 stem of stride 1 and no max-pool, then stages of stride 1, 2, 2, 2.

    Args:
        num_classes: C.
        blocks: how many blocks each of the four stages has.
        bottleneck: blocks of 1x1, 3x3, 1x1 convolutions that widen fourfold, instead of two 3x3.
        short: leave out the second 3x3 convolution of the last block and its batch norm.
        channels: of the images.
        width: channels of the first stage; each later stage doubles them.
        dropout: probability, before the classifier.

    Layers: `conv1`, `bn1`, `relu`, `layer1` to `layer4` (maps after their ReLU), `avgpool` (`[B, D]`, D = 8 width
    or, with bottlenecks, 32 width), `dropout`, `fc`.

    Source: METHOD, the authors' published run; DESIGN, what is known of the paper's other models.
    """

    def __init__(
        self,
        num_classes: int,
        blocks: Sequence[int] = (2, 2, 2, 2),
        *,
        bottleneck: bool = False,
        short: bool = False,
        channels: int = 3,
        width: int = 64,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        # the authors kept PyTorch's own initialisation of every layer, and so does this
        self.conv1 = nn.Conv2d(channels, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        kind = Bottleneck if bottleneck else BasicBlock
        inputs, stages = width, []
        for index, count in enumerate(blocks):
            outputs = width << index
            stage: list[_Block] = []
            for block in range(count):
                stage.append(kind(inputs, outputs, 2 if index and not block else 1))
                inputs = outputs * kind.expansion
            stages.append(nn.Sequential(*stage))
        if short:
            stages[-1][-1] = ShortBlock(inputs, inputs, 1)
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.avgpool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.relu(self.bn1(self.conv1(images)))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        return cast(Tensor, self.fc(self.dropout(self.avgpool(maps))))


class _Block(nn.Module):
    """A residual block: ReLU of what its branch and its shortcut add up to."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = width * self.expansion
        self.branch = self.make_branch(inputs, width, stride)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(*_convolution(inputs, outputs, 1, stride))
        self.relu = nn.ReLU()

    def make_branch(self, inputs: int, width: int, stride: int) -> nn.Sequential:
        raise NotImplementedError

    def forward(self, maps: Tensor) -> Tensor:
        return cast(Tensor, self.relu(self.branch(maps) + self.shortcut(maps)))


class BasicBlock(_Block):
    def make_branch(self, inputs: int, width: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            *_convolution(inputs, width, 3, stride), nn.ReLU(), *_convolution(width, width, 3, 1)
        )


class ShortBlock(_Block):
    def make_branch(self, inputs: int, width: int, stride: int) -> nn.Sequential:
        return nn.Sequential(*_convolution(inputs, width, 3, stride))


class Bottleneck(_Block):
    expansion = 4

    def make_branch(self, inputs: int, width: int, stride: int) -> nn.Sequential:
        return nn.Sequential(
            *_convolution(inputs, width, 1, 1),
            nn.ReLU(),
            *_convolution(width, width, 3, stride),
            nn.ReLU(),
            *_convolution(width, width * self.expansion, 1, 1),
        )


def resnet17(num_classes: int, *, channels: int = 3, width: int = 64, dropout: float = 0.0) -> ResNet:
    """ResNet-18 without the last block's second 3x3 convolution.

    The paper's abstract names a ResNet-17 and its text here known does not define it: this is our reading.
    """
    return ResNet(num_classes, short=True, channels=channels, width=width, dropout=dropout)


def resnet18(num_classes: int, *, channels: int = 3, width: int = 64, dropout: float = 0.0) -> ResNet:
    return ResNet(num_classes, channels=channels, width=width, dropout=dropout)


def resnet50(num_classes: int, *, channels: int = 3, width: int = 64, dropout: float = 0.0) -> ResNet:
    return ResNet(num_classes, (3, 4, 6, 3), bottleneck=True, channels=channels, width=width, dropout=dropout)


def _convolution(inputs: int, outputs: int, size: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, size, stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
