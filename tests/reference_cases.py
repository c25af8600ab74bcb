"""The authors' numbers, one case per input of their code."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

VECTORS = Path(__file__).parent / "data" / "vectors.npz"


@dataclass
class Case:
    """One input of the authors' code with its outputs, in float64."""

    name: str
    settings: dict[str, Any]
    arrays: dict[str, Tensor]

    @property
    def features(self) -> list[Tensor]:
        return [self[f"features{layer}"].clone().requires_grad_() for layer in range(self.settings["layers"])]

    def __getitem__(self, name: str) -> Tensor:
        return self.arrays[name]


def load_cases() -> list[Case]:
    with np.load(VECTORS) as file:
        names = sorted({key.split("/")[0] for key in file.files})
        return [
            Case(
                name,
                json.loads(str(file[f"{name}/meta"])),
                {
                    key.split("/")[1]: torch.tensor(file[key])
                    for key in file.files
                    if key.startswith(f"{name}/") and not key.endswith("/meta")
                },
            )
            for name in names
        ]
