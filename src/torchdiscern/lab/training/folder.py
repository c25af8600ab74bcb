"""The run folder: what is in it, and who may write there."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from torchdiscern.lab.files import make_folder, write_atomically
from torchdiscern.lab.recipe import MADE_WITH, Recipe


@dataclass(frozen=True)
class Run:
    """A run's folder.

    `recipe.yaml` (the whole recipe and what it was made with), `metrics.csv`, `checkpoints/` (`last.ckpt`,
    `best.ckpt`), `model.safetensors` (the best validation epoch's weights), `README.md` (a model card) and, once
    all is done, `result.json`.

    Example:
        >>> Run(Path("runs/nowhere")).finished
        False
    """

    folder: Path

    @property
    def recipe_file(self) -> Path:
        return self.folder / "recipe.yaml"

    @property
    def result_file(self) -> Path:
        return self.folder / "result.json"

    @property
    def weights_file(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def started(self) -> bool:
        return self.recipe_file.exists()

    @property
    def finished(self) -> bool:
        return self.result_file.exists()

    @property
    def recipe(self) -> Recipe:
        self._expect(self.recipe_file)
        return Recipe.named(self.recipe_file)

    @property
    def made_with(self) -> dict[str, Any]:
        """Versions, hardware, git state, fingerprint of the images, classes, and what was decided."""
        self._expect(self.recipe_file)
        found: dict[str, Any] = yaml.safe_load(self.recipe_file.read_text())[MADE_WITH]
        return found

    @property
    def result(self) -> dict[str, Any]:
        """What `result.json` holds."""
        self._expect(self.result_file)
        found: dict[str, Any] = json.loads(self.result_file.read_text())
        return found

    @property
    def weights(self) -> dict[str, Tensor]:
        """The trained weights by name."""
        self._expect(self.weights_file)
        try:
            return load_file(self.weights_file)
        except SafetensorError as error:
            raise ValueError(
                f"run: {str(self.weights_file)!r} is no safetensors file ({error}), expected the weights of a "
                "run; train again with --resume."
            ) from error

    def model(self) -> nn.Module:
        """The trained network in evaluation mode, for pixels in [0, 1], `[B, channels, S, S]`."""
        from torchdiscern.lab.training.trained import trained_model

        return trained_model(self)

    def _expect(self, file: Path) -> None:
        if not file.exists():
            what = "a run" if self.started else "the folder of a run, as `torchdiscern train --out` makes one"
            todo = "finish it with --resume" if self.started else "mend the path"
            raise ValueError(f"run: {str(self.folder)!r} holds no {file.name}, expected {what}; {todo}.")


def start_folder(run: Run, recipe: Recipe, made_with: dict[str, Any]) -> None:
    """Makes the folder and writes the recipe into it."""
    make_folder(run.folder, "out")
    make_folder(run.checkpoints, "out")
    write_atomically(run.recipe_file, recipe.to_yaml(made_with))


@contextmanager
def held(run: Run) -> Iterator[None]:
    """Holds the folder against a second process; the system lets go of it when this one ends, however it ends.

    Raises:
        OSError: another process trains there, or the folder cannot be written.
    """
    make_folder(run.folder, "out")
    with (run.folder / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(
                f"out: another process trains in {str(run.folder)!r}, expected none; wait for it, or choose "
                "another folder with --out."
            ) from error
        yield


def clear_leftovers(folder: Path) -> None:
    """Removes what a killed process was writing; its names begin with a dot and belong to nobody else."""
    for path in folder.glob(".*.*"):
        if path.is_file() and path.name != ".lock":
            path.unlink(missing_ok=True)


def free_text(path: Path) -> str:
    """The space left where a path lies, for people."""
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    return f"{found.f_bavail * found.f_frsize / 2**30:.1f} GiB"
