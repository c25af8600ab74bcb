"""Rivals that pytorch-metric-learning has: losses on the angles between features and classes, or each other."""

import math
from functools import cache
from typing import Any

import torch
from pytorch_metric_learning import losses
from torch import Tensor
from torch.func import functional_call

from torchdiscern.lab.arms.objectives import SCALE
from torchdiscern.lab.arms.penalties import SMALL
from torchdiscern.lab.arms.step import Step

SUPCON = losses.SupConLoss(temperature=0.1)


def supcon(step: Step, strength: float = 0.5) -> Tensor:
    """Cross-entropy and the supervised contrastive loss of the features."""
    features = step.features
    alive = features.detach().norm(dim=1) > SMALL  # where all features are zero there is no direction
    loss: Tensor = SUPCON(features[alive], step.target[alive])
    return step.cross_entropy + strength * loss


def arcface(step: Step, strength: float = 0.3) -> Tensor:
    """Cross-entropy of `scale * cos(angle + strength)` for the class, `scale * cos(angle)` for the others."""
    return _margin_loss("ArcFaceLoss", math.degrees(strength), step)


def cosface(step: Step, strength: float = 0.2) -> Tensor:
    """Cross-entropy of `scale * (cos(angle) - strength)` for the class, `scale * cos(angle)` for the others."""
    return _margin_loss("CosFaceLoss", strength, step)


def _margin_loss(name: str, margin: float, step: Step) -> Tensor:
    weights = {"W": step.classifier.weight.T}
    found: Tensor = functional_call(_loss(name, step.num_classes, margin), weights, (step.read, step.target))
    return step.mean(found.expand(len(step.target)))


@cache
def _loss(name: str, num_classes: int, margin: float) -> Any:
    with torch.random.fork_rng():  # it draws weights of its own, which the classifier's stand in for
        loss = getattr(losses, name)(num_classes, 1, margin=margin, scale=SCALE)
    angles = loss.get_angles
    # at exactly 0 or 180 degrees the slope of the arc cosine is infinite, and not every torch clamps it away
    loss.get_angles = lambda cosine: angles(cosine.clamp(SMALL - 1, 1 - SMALL))
    return loss
