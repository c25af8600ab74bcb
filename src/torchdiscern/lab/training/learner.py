"""The training step as Lightning calls it: cross-entropy and the terms, on batches prepared on the device."""

import math
import time
from dataclasses import replace
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from torchdiscern import DiscriminabilityLoss, FeatureTap
from torchdiscern.lab.arms import Objective
from torchdiscern.lab.recipe import Recipe
from torchdiscern.lab.seeds import derived
from torchdiscern.lab.training.augment import augmented
from torchdiscern.lab.training.batches import Batch
from torchdiscern.lab.training.prepared import Prepared
from torchdiscern.lab.training.rates import learning_rate
from torchdiscern.lab.training.running import Runner


class Learner(LightningModule):
    """One run's network and loss.

    Args:
        prepared: what the recipe came to.
        criterion: the terms beside cross-entropy, an objective that gives the whole loss, or None.
        term: labels that the terms are given, `[N]`, -1 where there are none; None for those of `prepared`.
    """

    def __init__(
        self, prepared: Prepared, criterion: DiscriminabilityLoss | Objective | None, term: Tensor | None
    ) -> None:
        super().__init__()
        self.recipe: Recipe = prepared.recipe
        self.prepared = prepared
        self.network = prepared.module
        self.criterion = criterion
        self.term = prepared.labels.term if term is None else term
        self.tap = FeatureTap(self.network, *prepared.layers)
        self.runner = Runner(prepared, self.tap)
        self.parts: dict[str, Tensor] = {}
        self.validation: dict[str, float] = {}
        self._tally = torch.zeros(3)
        self._images, self._since = 0, 0.0

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer_of(self.recipe, self.network, *([] if self.criterion is None else [self.criterion]))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        return replace(
            batch,
            inputs=batch.inputs.to(device, non_blocking=True),
            draws=batch.draws.to(device, non_blocking=True),
        )

    def on_train_start(self) -> None:
        if isinstance(self.criterion, DiscriminabilityLoss):
            self.tap.attach()
        elif self.criterion is not None:
            self.runner.attach()

    def on_train_end(self) -> None:
        self.runner.detach()

    def on_train_epoch_start(self) -> None:
        epoch = self.current_epoch + 1
        # each epoch starts from the seed alone, so that a resumed run draws what an unbroken one draws
        torch.manual_seed(derived(self.recipe.seed, "dropout", epoch, self.global_rank))
        if isinstance(self.criterion, DiscriminabilityLoss):
            self.criterion.set_epoch(epoch)
        self.train()
        for module in self.prepared.frozen:
            module.eval()
        self._images, self._since = 0, time.perf_counter()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        rate = learning_rate(self.recipe, self.global_step, int(self.trainer.num_training_batches))
        for group in self.optimizers().param_groups:  # type: ignore[union-attr]
            group["lr"] = rate
        target = self.prepared.labels.target[batch.rows].to(self.device, non_blocking=True)
        inputs = ready(batch, self.prepared, self.recipe.augment)
        term = target if self.term is None else self.term[batch.rows].to(self.device, non_blocking=True)
        share = self.trainer.world_size / batch.whole
        if isinstance(self.criterion, Objective):
            step = self.runner.step(inputs, target, term, share)
            loss: Tensor = self.runner.loss(self.criterion, step)
            self.parts = {"cross_entropy": step.cross_entropy.detach()} if step.has_run else {}
        else:
            logits = self.network(inputs)
            loss = cross_entropy(logits.float(), target, reduction="sum") * share
            self.parts = {"cross_entropy": loss.detach()}
            if self.criterion is not None:
                loss = loss + self.criterion(self.tap.features, term)
                self.parts |= {f"terms/{name}": value for name, value in self.criterion.parts.items()}
        self.parts["loss"] = loss.detach()
        self._images += batch.whole
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        last = batch_idx + 1 == self.trainer.num_training_batches
        if self.global_step % self.recipe.log_every and not last:
            return
        names, values = list(self.parts), torch.stack([value.float() for value in self.parts.values()])
        # of the whole batch, not of this process's part of it
        values = self.trainer.strategy.reduce(values, reduce_op="mean")
        assert isinstance(values, Tensor)
        row = dict(zip(names, values.tolist(), strict=True))
        if not math.isfinite(row["loss"]):
            raise ValueError(
                f"learning_rate: the loss became {row['loss']} in epoch {self.current_epoch + 1} with "
                f"learning_rate={self.recipe.learning_rate:g}, expected a finite one; set a lower one, or more "
                "warmup_epochs."
            )
        now = time.perf_counter()
        row["images_per_second"] = self._images / (now - self._since)
        row["learning_rate"] = self.optimizers().param_groups[0]["lr"]  # type: ignore[union-attr]
        row["epoch"] = self.current_epoch + 1
        self._images, self._since = 0, now
        self._write(row)

    def on_validation_epoch_start(self) -> None:
        self._tally = torch.zeros(3, device=self.device)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        target = self.prepared.labels.target[batch.rows].to(self.device)
        logits = self.network(ready(batch, self.prepared)).float()
        self._tally += torch.stack(
            [
                (logits.argmax(1) == target).sum(),
                cross_entropy(logits, target, reduction="sum"),
                torch.tensor(float(len(target)), device=self.device),
            ]
        )

    def on_validation_epoch_end(self) -> None:
        tally = self.trainer.strategy.reduce(self._tally, reduce_op="sum")
        assert isinstance(tally, Tensor)
        correct, loss, seen = tally.tolist()
        self.validation = {"val_accuracy": correct / seen, "val_loss": loss / seen}
        self.log_dict(self.validation, logger=False, rank_zero_only=True)
        self._write(self.validation | {"epoch": self.current_epoch + 1})

    def _write(self, row: dict[str, float]) -> None:
        for logger in self.trainer.loggers:
            logger.log_metrics(row, step=self.global_step)


def optimizer_of(recipe: Recipe, *modules: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimizer over the parameters that learn."""
    learning = [parameter for one in modules for parameter in one.parameters() if parameter.requires_grad]
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(learning, rate, recipe.momentum, weight_decay=decay)
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(learning, rate, weight_decay=decay)
    return torch.optim.Adamax(learning, rate, weight_decay=decay)


def ready(batch: Batch, prepared: Prepared, augment: str = "none") -> Tensor:
    """A batch as the network reads it: augmented, normalised, channels last; features as they are."""
    images = batch.inputs
    if prepared.cached:
        return images.float()
    if augment != "none":
        images = augmented(images, augment, batch.draws)
    images = images.to(torch.float32, memory_format=prepared.memory_format)
    scale, shift = prepared.scale.to(images.device), prepared.shift.to(images.device)
    return images.mul_(scale).add_(shift)
