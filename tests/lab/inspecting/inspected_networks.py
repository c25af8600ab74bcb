"""Networks of a user's own, each with something that not every network has."""

import torch
from torch import Tensor, nn


class Tokens(nn.Module):
    """A class token before 16 tokens of images of 32 pixels; the classifier reads their mean."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, 6, 8, 8)
        self.token = nn.Parameter(torch.ones(1, 1, 6))
        self.norm = nn.LayerNorm(6)
        self.classifier = nn.Linear(6, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2)
        tokens = self.norm(torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1))
        logits: Tensor = self.classifier(tokens.mean(1))
        return logits


class Broken(nn.Module):
    """The first feature is NaN on every image, the second infinite on images of little red, the third dead."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 5, 4, 4)
        self.spoilt = nn.Identity()
        self.classifier = nn.Linear(5, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        found = self.features(images).abs()
        pale = images[:, 0].mean((1, 2)) < 0.4
        factors = torch.ones(len(images), 5)
        factors[:, 0] = torch.nan
        factors[pale, 1] = torch.inf
        factors[:, 2] = 0
        logits: Tensor = self.classifier(self.spoilt(found * factors[:, :, None, None]).mean((2, 3)))
        return logits


class Signed(nn.Module):
    """Pools maps of both signs, and ends with a convolution for a classifier."""

    def __init__(self, num_classes: int, channels: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, 4, 4, 4)
        self.pooled = nn.AdaptiveAvgPool2d(1)
        self.last = nn.Conv2d(4, num_classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.last(self.pooled(self.features(images))).flatten(1)
        return logits


def tokens(num_classes: int) -> nn.Module:
    return Tokens(num_classes)


def broken(num_classes: int) -> nn.Module:
    return Broken(num_classes)


def signed(num_classes: int) -> nn.Module:
    return Signed(num_classes, 3)


def grey(num_classes: int) -> nn.Module:
    return Signed(num_classes, 1)


class Spoiling(nn.Module):
    """Gives NaN for images that are rather blue."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 5, 4, 4)
        self.pooled = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(5, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        blue = images.mean((2, 3)).argmax(1) == 2
        found = self.pooled(self.features(images).abs().masked_fill(blue[:, None, None, None], torch.nan))
        logits: Tensor = self.classifier(found.flatten(1))
        return logits


class Fixed(Signed):
    """For five classes, whatever is asked."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(5, 3)


def spoiling(num_classes: int) -> nn.Module:
    return Spoiling(num_classes)


def fixed(num_classes: int) -> nn.Module:
    return Fixed(num_classes)


def of_no_number() -> nn.Module:
    return Signed(5, 3)


def failing(num_classes: int) -> nn.Module:
    raise KeyError("backbone")
