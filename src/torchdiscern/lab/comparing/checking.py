"""Whether the robust accuracy of a comparison's networks is real, or a masked gradient's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from torchdiscern.lab import environment
from torchdiscern.lab.data import Images
from torchdiscern.lab.measures.attacks import Attacked, attacked_of
from torchdiscern.lab.measures.masked import masked_check
from torchdiscern.lab.measures.readout import read_out_of
from torchdiscern.lab.measures.table import ATTACKED, Norm
from torchdiscern.lab.recipe import Recipe
from torchdiscern.lab.training.folder import Run
from torchdiscern.lab.training.measure import Reader
from torchdiscern.lab.training.prepared import prepare

QUIET = Console(quiet=True)
NORM: Norm = "l2"
# radii that leave some images to turn: on pixels a network without defence has hardly any left at the next one
FEATURES, PIXELS = 2.0, 0.125


def reader_of(recipe: Recipe, weights: Mapping[str, torch.Tensor], images: Images) -> Reader:
    """A trained network with all that its recipe names, ready to be measured."""
    prepared = prepare(recipe, QUIET, images)
    with torch.no_grad():
        prepared.network.module.load_state_dict(weights)
    return Reader(prepared, environment.device_of(environment.accelerator_of(recipe.accelerator)))


def checked(folder: Path, others: Mapping[str, str], images: Images, count: int = ATTACKED) -> dict[str, Any]:
    """Attacks the network of a run in other ways than the ordinary one.

    Args:
        folder: of the run, with its weights.
        others: name to folder of the other arms' runs of the same seed, on which attacks are made too.
        images: the recipe's.
        count: test images that are attacked.

    Returns:
        `norm`, `radius`, `robust`, `others` and, by attack, `images`, `robust`, `ordinary` and `beyond`;
        `stronger` names the attacks that turn more images than the ordinary one by more than it may miss.
    """
    attacked = _attacked(Run(folder), images, count)
    networks: dict[str, nn.Module] = {}
    for name, other in others.items():
        found = _attacked(Run(other), images, count)
        same_space = found.inputs.shape == attacked.inputs.shape and found.pixels == attacked.pixels
        if same_space and found.num_classes == attacked.num_classes:
            networks[name] = found.module
    radius = PIXELS if attacked.pixels else FEATURES
    with environment.threads(Run(folder).recipe.threads):
        check = masked_check(attacked, NORM, radius, others=networks)
    return {
        "norm": check.norm,
        "radius": check.radius,
        "robust": check.robust,
        "tolerance": check.tolerance,
        "stronger": check.stronger,
        "others": sorted(others),
        "attacks": {name: vars(one) for name, one in check.attacks.items()},
    }


def _attacked(run: Run, images: Images, count: int) -> Attacked:
    recipe = run.recipe
    reader = reader_of(recipe, run.weights, images)
    whole = attacked_of(reader, count)
    return read_out_of(whole, reader, images) if recipe.read_out else whole
