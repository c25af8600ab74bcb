"""Networks in files, and what a plain loop reads of them."""

from pathlib import Path

import torch
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor, nn

from torchdiscern import FeatureTap
from torchdiscern.lab.inspecting.seeing import see
from torchdiscern.lab.inspecting.seen import Seen
from torchdiscern.lab.inspecting.subject import Subject

QUIET = Console(quiet=True)


def saved(module: nn.Module, folder: Path) -> Path:
    path = folder / "weights.safetensors"
    save_file({name: value.contiguous() for name, value in module.state_dict().items()}, path)
    return path


def seen_of(subject: Subject, folder: Path) -> Seen:
    return see(subject, folder, QUIET)


@torch.no_grad()
def plain(subject: Subject, *layers: str) -> tuple[Tensor, dict[str, Tensor]]:
    """The logits, and the outputs of layers, image by image."""
    logits: list[Tensor] = []
    outputs: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    mean, std = (torch.tensor(one).view(1, -1, 1, 1) for one in (subject.mean, subject.std))
    module = subject.network.module
    with FeatureTap(module, *layers) as tap:
        for row in subject.rows:
            logits.append(module((subject.inputs[row[None]] / 255 - mean) / std))
            for layer in layers:
                outputs[layer].append(tap.features[layer].clone())
    return torch.cat(logits), {layer: torch.cat(found) for layer, found in outputs.items()}
