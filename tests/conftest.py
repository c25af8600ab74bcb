"""What several test files share: the authors' numbers and the doctests' surroundings."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from torch import Tensor

torch.set_num_threads(1)  # small tensors: a second thread costs more than it brings

settings.register_profile("everywhere", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "everywhere")

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


@pytest.fixture(params=load_cases(), ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    found = request.param
    assert isinstance(found, Case)
    return found


@pytest.fixture
def fresh_compiler() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()
