"""How far a run is and how long it will take: a bar in a terminal, a line an epoch elsewhere."""

import time
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from torchdiscern.lab.training.learner import Learner


class ShowProgress(Callback):
    """Shows epoch, validation accuracy, images per second and the time left of the whole run."""

    def __init__(self, console: Console) -> None:
        self.console = console
        # twice a second: drawing takes the processor from training
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            refresh_per_second=2,
            disable=not console.is_terminal,
        )
        self.task: Any = None
        self._line_at = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            total = int(trainer.num_training_batches) * (trainer.max_epochs or 0)
            self.task = self.progress.add_task("Training", total=total, completed=trainer.global_step)
            self.progress.start()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if self.task is not None:
            self.progress.advance(self.task)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.task is None:
            return
        assert isinstance(pl_module, Learner)
        epoch, epochs = trainer.current_epoch + 1, trainer.max_epochs or 0
        found = pl_module.validation.get("val_accuracy")
        said = f"epoch {epoch} of {epochs}" + (
            "" if found is None else f", validation accuracy {100 * found:.1f}%"
        )
        self.progress.update(self.task, description=said)
        now = time.monotonic()
        if not self.console.is_terminal and (now - self._line_at > 10 or epoch == epochs):
            self._line_at = now
            self.console.print(said, markup=False, highlight=False)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.progress.stop()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self.progress.stop()
