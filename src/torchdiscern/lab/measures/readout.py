"""A network of many classes, measured by how it tells coarser ones apart."""

from dataclasses import replace

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics.classification import MulticlassAccuracy, MulticlassCalibrationError

from torchdiscern.lab.data import Images
from torchdiscern.lab.measures.attacks import Attacked, attacked_of
from torchdiscern.lab.measures.reading import read_rows
from torchdiscern.lab.measures.robust import robust_of
from torchdiscern.lab.measures.table import ATTACKED
from torchdiscern.lab.training.measure import BINS, MacroAccuracy, Reader
from torchdiscern.lab.training.prepared import load


class ReadOut(nn.Module):
    """Gives the logits of groups: the logarithm of the summed exponentials of their classes' logits.

    So the softmax of a group is the sum of its classes' softmax.

    Args:
        module: gives logits `[B, C]`.
        group: `[C]`, the group of each class, all of `[0, groups)`.

    Example:
        >>> logits = torch.tensor([[0.0, 1.0, 2.0]])
        >>> found = ReadOut(nn.Identity(), torch.tensor([0, 0, 1]))(logits).softmax(1)
        >>> torch.testing.assert_close(found[0, 1], logits.softmax(1)[0, 2])
    """

    member: Tensor

    def __init__(self, module: nn.Module, group: Tensor) -> None:
        super().__init__()
        self.module = module
        self.register_buffer("member", torch.zeros(int(group.max()) + 1, len(group), dtype=torch.bool))
        self.member[group, torch.arange(len(group))] = True

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.module(inputs)
        return logits.unsqueeze(1).masked_fill(~self.member, -torch.inf).logsumexp(2)


def group_of(fine: Tensor, coarse: Tensor, num_classes: int) -> Tensor:
    """The group of each class, `[C]`, from labels of both kinds; -1 is no label.

    Raises:
        ValueError: a class lies in several groups, or in none.

    Example:
        >>> group_of(torch.tensor([0, 1, 2, -1]), torch.tensor([1, 1, 0, -1]), 3)
        tensor([1, 1, 0])
    """
    known = (fine >= 0) & (coarse >= 0)
    found = torch.full((num_classes,), -1)
    found[fine[known]] = coarse[known]
    torn = (found[fine[known]] != coarse[known]).any()
    if torn or (found < 0).any():
        raise ValueError(
            "read_out: got classes that lie in several groups or in none, expected each in one; read out as "
            "coarse or groups:K, with target=class."
        )
    return found


def coarse_of(reader: Reader, images: Images) -> Tensor:
    """The labels that a recipe's `read_out` names, `[N]`, -1 where there is none."""
    recipe = reader.prepared.recipe
    other = recipe.with_settings(target=recipe.read_out, read_out="", term_labels="target", clean=0.0)
    return load(other, Console(quiet=True), images)[1].true


def read_out_of(attacked: Attacked, reader: Reader, images: Images) -> Attacked:
    """The same inputs of the same network, read as the recipe's `read_out`."""
    prepared = reader.prepared
    group = group_of(prepared.labels.true, coarse_of(reader, images), prepared.num_classes)
    module = ReadOut(attacked.module, group).to(reader.device).eval()
    return replace(attacked, module=module, target=group[attacked.target], num_classes=int(group.max()) + 1)


def read_out_measures(
    reader: Reader, images: Images, *, robust: bool = False, attacked: int = ATTACKED
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """What of the measures asks for logits alone, of the classes that the recipe's `read_out` names.

    Args:
        reader: of a network trained on finer classes.
        images: the recipe's.
        robust: attack it too, through the sums.
        attacked: at most as many test images are attacked.

    Returns:
        `accuracy`, `accuracy_macro`, `negative_log_likelihood`, `calibration_error` and, if asked for, robust
        accuracy; and by `accuracy`, which test images are right, `[n]` booleans.
    """
    prepared = reader.prepared
    test = prepared.labels.test
    coarse = coarse_of(reader, images)
    group = group_of(prepared.labels.true, coarse, prepared.num_classes)
    groups, target = int(group.max()) + 1, coarse[test]
    logits = ReadOut(nn.Identity(), group)(read_rows(reader, test).logits)
    found = {
        "accuracy": float(MulticlassAccuracy(groups, average="micro")(logits, target)),
        "accuracy_macro": float(MacroAccuracy(groups)(logits, target)),
        "negative_log_likelihood": float(cross_entropy(logits, target)),
        "calibration_error": float(MulticlassCalibrationError(groups, n_bins=BINS)(logits, target)),
    }
    if robust:
        found |= robust_of(read_out_of(attacked_of(reader, attacked), reader, images))
    return found, {"accuracy": logits.argmax(1) == target}
