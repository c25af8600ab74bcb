"""A trained network out of its run folder."""

from typing import cast

import torch
from torch import Tensor, nn

from torchdiscern.lab.networks import Network
from torchdiscern.lab.training.folder import Run
from torchdiscern.lab.training.prepared import network_of


class Normalised(nn.Module):
    """A network that takes pixels in [0, 1] and normalises them as in training."""

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.network((images - self.mean) / self.std))


def trained_network(run: Run) -> Network:
    """The run's network with its trained weights; nothing is downloaded.

    Raises:
        ValueError: no finished run, or weights that do not fit its recipe.
    """
    made = run.made_with
    recipe = run.recipe.with_settings(pretrained=False)
    network = network_of(recipe, len(made["classes"]), made["channels"], made["image_size"])
    try:
        network.module.load_state_dict(run.weights)
    except RuntimeError as error:
        raise ValueError(
            f"run: the weights of {str(run.folder)!r} do not fit {recipe.model}, expected those of its recipe; "
            "the network's code may have changed since."
        ) from error
    network.module.eval()
    return network


def trained_model(run: Run) -> nn.Module:
    """The run's network in evaluation mode, for pixels in [0, 1]."""
    made = run.made_with
    return Normalised(trained_network(run).module, made["mean"], made["std"]).eval()
