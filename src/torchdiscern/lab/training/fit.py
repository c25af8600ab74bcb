"""Lightning's trainer as all runs take it, and training in memory: no folder, no checkpoint, nothing printed."""

from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from torchdiscern.lab import environment
from torchdiscern.lab.training.batches import EvalBatches, TrainBatches
from torchdiscern.lab.training.clustering import RenewClusters
from torchdiscern.lab.training.learner import Learner
from torchdiscern.lab.training.prepared import Prepared, cluster_frozen, criterion_of, precision_of
from torchdiscern.lab.training.showing import quiet_lightning


class _Watch(Callback):
    def __init__(self) -> None:
        self.validation: list[dict[str, float]] = []

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        if pl_module.validation:
            self.validation.append(pl_module.validation)


def learner_of(prepared: Prepared) -> Learner:
    """The training step of what was prepared."""
    return Learner(prepared, criterion_of(prepared), cluster_frozen(prepared))


def trainer_of(prepared: Prepared, precision: str, callbacks: list[Callback], **settings: Any) -> Trainer:
    """Lightning's trainer: what every run sets alike, with what one sets for itself."""
    recipe, labels = prepared.recipe, prepared.labels
    renew = [RenewClusters()] if labels.clusters and not prepared.cached and recipe.arm != "ce" else []
    return Trainer(
        max_epochs=recipe.epochs,
        accelerator=recipe.accelerator,
        precision=precision,  # type: ignore[arg-type]
        callbacks=[*renew, *callbacks],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        log_every_n_steps=10**9,
        limit_val_batches=None if len(labels.val) else 0,
        **settings,
    )


def fit(prepared: Prepared) -> list[dict[str, float]]:
    """Trains what was prepared, on one device, as `train` would.

    Returns:
        `val_accuracy` in [0, 1] and `val_loss` in nats of every epoch, empty where nothing is held out; the last
        epoch's weights are in `prepared`.
    """
    recipe, labels = prepared.recipe, prepared.labels
    watch = _Watch()
    batches = TrainBatches(prepared.inputs, labels.train, recipe.batch_size, recipe.seed)
    with environment.threads(recipe.threads), quiet_lightning():
        trainer = trainer_of(
            prepared,
            precision_of(prepared)[0],
            devices=1,
            logger=False,
            callbacks=[watch],
            enable_checkpointing=False,
        )
        batches.epoch = lambda: trainer.current_epoch + 1
        try:
            trainer.fit(learner_of(prepared), batches, EvalBatches(prepared.inputs, labels.val))
        except SystemExit:
            if trainer.interrupted:  # Lightning makes an exit of Ctrl-C
                raise KeyboardInterrupt from None
            raise
    return watch.validation
