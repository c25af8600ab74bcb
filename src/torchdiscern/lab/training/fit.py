"""Training in memory: no folder, no checkpoint, nothing printed."""

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


def fit(prepared: Prepared) -> list[dict[str, float]]:
    """Trains what was prepared, on one device, as `train` would.

    Returns:
        `val_accuracy` in [0, 1] and `val_loss` in nats of every epoch, empty where nothing is held out; the last
        epoch's weights are in `prepared`.
    """
    recipe, labels = prepared.recipe, prepared.labels
    watch = _Watch()
    renew = [RenewClusters()] if labels.clusters and not prepared.cached and recipe.arm != "ce" else []
    batches = TrainBatches(prepared.inputs, labels.train, recipe.batch_size, recipe.seed)
    with environment.threads(recipe.threads), quiet_lightning():
        trainer = Trainer(
            max_epochs=recipe.epochs,
            accelerator=recipe.accelerator,
            devices=1,
            precision=precision_of(prepared)[0],  # type: ignore[arg-type]
            logger=False,
            callbacks=[*renew, watch],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            limit_val_batches=None if len(labels.val) else 0,
        )
        batches.epoch = lambda: trainer.current_epoch + 1
        learner = Learner(prepared, criterion_of(prepared), cluster_frozen(prepared))
        try:
            trainer.fit(learner, batches, EvalBatches(prepared.inputs, labels.val))
        except SystemExit:
            if trainer.interrupted:  # Lightning makes an exit of Ctrl-C
                raise KeyboardInterrupt from None
            raise
    return watch.validation
