"""Fixtures that several test files share: the authors' numbers, images, and runs."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image

from reference_cases import Case, load_cases

if TYPE_CHECKING:
    from torchdiscern.lab import Run

torch.set_num_threads(1)  # small tensors: a second thread costs more than it brings

settings.register_profile("everywhere", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "everywhere")


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


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of ten small images, told apart by their colour."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for number, name in enumerate(["red", "green", "blue"]):
        (folder / name).mkdir()
        for index in range(10):
            pixels = random.integers(0, 120, (32, 32, 3), dtype=np.uint8)
            pixels[..., number] += 130
            Image.fromarray(pixels).save(folder / name / f"{index}.png")
    return folder


@pytest.fixture
def trained(tmp_path: Path) -> "Callable[..., Run]":
    """Trains a recipe by name with other settings, without a word, and gives the run."""
    from rich.console import Console

    from torchdiscern.lab import Recipe, train  # the ground floor's tests run without the lab

    def run(name: str, folder: str = "run", **settings: Any) -> "Run":
        recipe = Recipe.named(name).with_settings(loggers=(), **settings)
        return train(recipe, tmp_path / folder, console=Console(quiet=True))

    return run


@pytest.fixture
def write_csv(tmp_path: Path) -> "Callable[[str], str]":
    """Writes a CSV file and gives its path."""

    def write(text: str) -> str:
        path = tmp_path / "labels.csv"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write
