"""What a frozen part gives for every image, computed once and kept on disk."""

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from torchdiscern.lab import environment
from torchdiscern.lab.files import available_memory, cache_folder, write_atomically
from torchdiscern.lab.training.batches import EvalBatches
from torchdiscern.lab.training.showing import reading

if TYPE_CHECKING:
    from torchdiscern.lab.training.prepared import Prepared

BATCH = 64


@torch.no_grad()
def frozen_outputs(frozen: nn.Module, prepared: "Prepared", example: Tensor, console: Console) -> Tensor | None:
    """The frozen part's output for all images, `[N, ...]`, in float32; None where it takes over half the memory.

    Kept under a name made of the images, the frozen weights and the normalisation, so that another run with the
    same ones takes it from there.
    """
    rows = len(prepared.images.labels)
    frozen.eval()
    size = 4 * rows * math.prod(frozen(example).shape[1:])
    if size > available_memory() / 2:
        return None
    path = cache_folder() / "frozen" / f"{_key(prepared)}.safetensors"
    found = _kept(path, rows)
    if found is not None:
        return found
    device = environment.device_of(environment.accelerator_of(prepared.recipe.accelerator))
    frozen.to(device)
    parts = []
    scale, shift = prepared.scale.to(device), prepared.shift.to(device)
    with reading(console, "Computing what the frozen part gives") as progress:
        batches = EvalBatches(prepared.inputs, torch.arange(rows), BATCH)
        for batch in progress(batches):
            images = batch.inputs.to(device).to(torch.float32, memory_format=prepared.memory_format)
            parts.append(frozen(images.mul_(scale).add_(shift)).float().cpu())
    frozen.to("cpu")
    found = torch.cat(parts)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, save({"outputs": found}))
    except OSError as error:
        console.print(
            f"The frozen part's output could not be kept in {path.parent} ({error.strerror}), so the next run "
            "will compute it again; TORCHDISCERN_CACHE names another folder.",
            markup=False,
        )
    return found


def _key(prepared: "Prepared") -> str:
    digest = hashlib.sha256(prepared.images.fingerprint.encode())
    digest.update(repr((prepared.recipe.freeze, prepared.mean, prepared.std, prepared.inputs.shape)).encode())
    for module in prepared.frozen:  # not the whole network, whose classifier has other weights in every run
        for name, value in module.state_dict().items():
            digest.update(name.encode())
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:20]


def _kept(path: Path, rows: int) -> Tensor | None:
    try:
        with safe_open(path, "pt") as file:
            found: Tensor = file.get_tensor("outputs")
    except (OSError, SafetensorError):
        return None
    return found if len(found) == rows else None
