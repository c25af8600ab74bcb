"""The run folder: what is in it, and who may write there."""

import csv
import fcntl
import json
import os
import re
import statistics
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

# what a process that was killed leaves of a file of ours; `files.write_atomically` names them so
LEFTOVER = re.compile(
    r"\.(recipe\.yaml|metrics\.csv|result\.json|README\.md|model\.\w+|exported\.safetensors|\w+\.ckpt)\.\w{8}"
)


@dataclass(frozen=True, init=False)
class Run:
    """A run's folder.

    `recipe.yaml` (the whole recipe and what it was made with), `metrics.csv`, `checkpoints/` (`last.ckpt`,
    `best.ckpt`), `model.safetensors` (the best validation epoch's weights), `README.md` (a model card) and, once
    all is done, `result.json`.

    Example:
        >>> Run("runs/nowhere").finished
        False
    """

    folder: Path

    def __init__(self, folder: Path | str) -> None:
        object.__setattr__(self, "folder", Path(folder))

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
        found: dict[str, Any] | None = yaml.safe_load(self.recipe_file.read_text()).get(MADE_WITH)
        if found is None:
            raise ValueError(
                f"run: {str(self.recipe_file)!r} does not say what the run was made with, expected `{MADE_WITH}` "
                "in it; bring the file back as training wrote it."
            )
        return found

    @property
    def result(self) -> dict[str, Any]:
        """What `result.json` holds."""
        self._expect(self.result_file)
        found: dict[str, Any] = json.loads(self.result_file.read_text())
        return found

    @property
    def images_per_second(self) -> float:
        """Of the training steps alone: the median of what was logged."""
        with (self.folder / "metrics.csv").open(newline="") as file:
            logged = [row.get("images_per_second") for row in csv.DictReader(file)]
        return statistics.median(float(one) for one in logged if one)

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
    """Removes what a killed process was writing, and nothing that someone else may have put there."""
    for path in folder.glob(".*.*"):
        if LEFTOVER.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def strange_file(run: Run) -> str | None:
    """The name of a file in the folder of a run that has not begun which is none of ours, if there is one."""
    for folder in (run.folder, run.checkpoints):
        if not folder.is_dir():
            continue
        for path in sorted(folder.iterdir()):
            ours = path.name == ".lock" or path == run.checkpoints or LEFTOVER.fullmatch(path.name)
            if not ours:
                return path.name
    return None


def free_text(path: Path) -> str:
    """The space left where a path lies, for people."""
    while not path.exists():
        path = path.parent
    found = os.statvfs(path)
    return f"{found.f_bavail * found.f_frsize / 2**30:.1f} GiB"
