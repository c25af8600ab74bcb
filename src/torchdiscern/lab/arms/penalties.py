"""Rivals in a few lines: what stands beside cross-entropy, each a function of one step.

C classes, `n[c]` samples of class c in the batch, features `x[i]` of sample i with label `y[i]`.
"""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F

from torchdiscern import functional
from torchdiscern.lab.arms.step import Step
from torchdiscern.processes import processes

SMALL = 1e-6  # keeps the slope of a norm finite where all features of a sample are zero


def label_smoothing(step: Step, strength: float = 0.1) -> Tensor:
    """Cross-entropy with the target `1 - strength` for the class and `strength / C` for each."""
    losses = F.cross_entropy(step.logits, step.target, reduction="none", label_smoothing=strength)
    return step.mean(losses)


def confidence_penalty(step: Step, strength: float = 0.1) -> Tensor:
    """Cross-entropy less `strength` times the entropy of the prediction."""
    logs = step.logits.log_softmax(1)
    return step.cross_entropy - strength * step.mean(-(logs.exp() * logs).sum(1))


def within_class_variance(step: Step, strength: float = 1.0) -> Tensor:
    """Variance of each feature within each class of two samples and more, the mean over classes and features."""
    features, counts = step.features, _counts(step)
    means = _sums(features, step) / counts.clamp_min(1).unsqueeze(1)
    squares = _sums((features - means[step.target]).square(), step)
    enough = counts >= 2
    variances = squares.mean(1) / counts.clamp_min(1) * enough
    penalty: Tensor = variances.sum() / enough.sum().clamp_min(1)
    return step.cross_entropy + strength * penalty


def orthogonal_projection(step: Step, strength: float = 1.0) -> Tensor:
    """`1 - s + |d| / 2`: s the mean cosine of two samples of one class, d of two of different classes."""
    unit = F.normalize(step.features, eps=SMALL)
    cosines = unit @ unit.T
    same = step.target[:, None] == step.target[None, :]
    other = ~same
    same = same & ~torch.eye(len(same), dtype=torch.bool, device=same.device)
    alike = (cosines * same).sum() / same.sum().clamp_min(1)
    apart = (cosines * other).sum() / other.sum().clamp_min(1)
    # without a pair there is nothing to pull together
    return step.cross_entropy + strength * (same.any() * (1 - alike) + apart.abs() / 2)


def decorrelation(step: Step, strength: float = 0.1) -> Tensor:
    """VICReg's variance and covariance terms, in its proportion of 25 to 1."""
    features = step.features
    samples, width = features.shape
    centred = features - features.mean(0)
    covariance = centred.T @ centred / max(samples - 1, 1)
    deviation = (covariance.diagonal() + 1e-4).sqrt()
    hinge = (1 - deviation).clamp_min(0).mean()
    crossed = (covariance.square().sum() - covariance.diagonal().square().sum()) / width
    return step.cross_entropy + strength * (hinge + crossed / 25)


def selectivity_up(step: Step, strength: float = 1.0) -> Tensor:
    """Cross-entropy less `strength` times the mean class selectivity of all tapped features."""
    return step.cross_entropy - strength * _selectivity(step)


def selectivity_down(step: Step, strength: float = 1.0) -> Tensor:
    """Cross-entropy and `strength` times the mean class selectivity of all tapped features."""
    return step.cross_entropy + strength * _selectivity(step)


class Centre(nn.Module):
    """Half the squared distance to a centre of the class, which follows the class by the paper's own rule.

    `centre[c] += rate * (sum over i with y[i]=c of (x[i] - centre[c])) / (1 + n[c])` after each step.

    Args:
        num_classes: C.
        num_features: D.
        strength: weight of the distances.
        rate: the paper's alpha.
    """

    centres: Tensor

    def __init__(self, num_classes: int, num_features: int, strength: float = 0.01, rate: float = 0.5) -> None:
        super().__init__()
        self.strength = strength
        self.rate = rate
        self.register_buffer("centres", torch.zeros(num_classes, num_features))

    def forward(self, step: Step) -> Tensor:
        features = step.features
        # indexing copies, so that the loss keeps the centres from before they move
        away = features - self.centres[step.target].to(features.dtype)
        if self.training:
            self._move(away.detach(), step)
        return step.cross_entropy + self.strength * step.mean(away.square().sum(1)) / 2

    @torch.no_grad()
    def _move(self, away: Tensor, step: Step) -> None:
        found = torch.cat([_sums(away, step), _counts(step).unsqueeze(1).to(away.dtype)], 1)
        if processes() > 1:
            dist.all_reduce(found)
        self.centres += self.rate * found[:, :-1] / (1 + found[:, -1:])


def _selectivity(step: Step) -> Tensor:
    """`(max - rest) / (max + rest)` of each feature's class means, rest the mean over the other classes there."""
    counts = _counts(step)
    present = (counts > 0).unsqueeze(1)
    others = present.sum() - 1
    found = []
    for features in step.tapped.values():
        activation = functional.activation(features, feature_dim=step.feature_dim)
        means = functional.class_means(activation, step.target, step.num_classes)
        largest = means.max(0).values
        rest = (means.sum(0) - largest) / others.clamp_min(1)
        found.append(((largest - rest) / (largest + rest + SMALL)).mean())
    # with one class alone there is no other to be told from
    return torch.stack(found).mean() * (others > 0)


def _sums(values: Tensor, step: Step) -> Tensor:
    return values.new_zeros(step.num_classes, values.shape[1]).index_add(0, step.target, values)


def _counts(step: Step) -> Tensor:
    return torch.bincount(step.target, minlength=step.num_classes)
