from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from torchdiscern.lab import Recipe, Run, train


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
def trained(tmp_path: Path) -> Callable[..., Run]:
    """Trains a recipe by name with other settings, without a word, and gives the run."""

    def run(name: str, folder: str = "run", **settings: object) -> Run:
        recipe = Recipe.named(name).with_settings(loggers=(), **settings)
        return train(recipe, tmp_path / folder, console=Console(quiet=True))

    return run
