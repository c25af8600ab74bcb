"""Checkpoints that are whole or not there, hold plain tensors and numbers, and are read as such."""

import io
import time
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from torchdiscern.lab.files import write_atomically
from torchdiscern.lab.training.csv_log import CsvLog
from torchdiscern.lab.training.learner import Learner

NEEDED = {"state_dict", "global_step", "callbacks"}


class PlainCheckpointIO(TorchCheckpointIO):
    """Lightning's checkpoints, written atomically and never unpickled beyond tensors and plain types."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        data = io.BytesIO()
        torch.save(checkpoint, data)
        write_atomically(Path(path), data.getvalue())

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        return load_checkpoint(Path(path))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint, on the CPU.

    Raises:
        ValueError: the file is none, or holds more than tensors and plain types.
    """
    try:
        found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if not found.keys() >= NEEDED:
            raise KeyError
    except Exception as error:  # torch raises a dozen kinds
        raise ValueError(
            f"checkpoints: {str(path)!r} could not be read as tensors and plain types "
            f"({error.__class__.__name__}), expected a checkpoint of a run; start the run again in another "
            "folder."
        ) from error
    return found


class KeepBestAndLast(Checkpoint):
    """Keeps the last epoch and the best: by validation accuracy, of equals by validation loss."""

    def __init__(self, folder: Path, csv: CsvLog) -> None:
        self.folder = folder
        self.csv = csv
        self.best_epoch = 0
        self.best = (-1.0, 0.0)  # accuracy and the loss turned round, so that more is better
        self.seconds = 0.0
        self._started = 0.0

    def state_dict(self) -> dict[str, Any]:
        return {
            "best_epoch": self.best_epoch,
            "best": self.best,
            "seconds": self.seconds,
            "term": self._term,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best_epoch, self.best = state_dict["best_epoch"], tuple(state_dict["best"])
        self.seconds = state_dict["seconds"]
        self._term = state_dict["term"]

    _term: torch.Tensor | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        if self._term is not None:
            pl_module.term = self._term

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        self.seconds += time.perf_counter() - self._started
        self._term = pl_module.term if pl_module.prepared.labels.clusters else None
        if trainer.is_global_zero:
            self.csv.save()  # before the checkpoint: a resumed run keeps rows up to its step
        found = pl_module.validation
        now = (found["val_accuracy"], -found["val_loss"]) if found else self.best
        if now > self.best:
            self.best_epoch, self.best = trainer.current_epoch + 1, now
            trainer.save_checkpoint(self.folder / "best.ckpt")
        trainer.save_checkpoint(self.folder / "last.ckpt")
