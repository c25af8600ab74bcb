"""Clusters of the network's own features as labels of the terms, renewed while it learns."""

from dataclasses import replace

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from torchdiscern import FeatureTap
from torchdiscern.lab.clusters import cluster
from torchdiscern.lab.seeds import derived
from torchdiscern.lab.training.batches import EvalBatches
from torchdiscern.lab.training.learner import Learner, ready
from torchdiscern.lab.training.prepared import Prepared, spread_out


class RenewClusters(Callback):
    """Clusters the features of the training images anew every `cluster_every` epochs, from the first on.

    Each renewal is renumbered to agree with the last one as far as it can (`clusters.matched`), so that a feature
    that has learned a cluster keeps it.
    """

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Learner)
        prepared = pl_module.prepared
        if trainer.current_epoch % prepared.recipe.cluster_every and pl_module.term is not None:
            return
        rows = prepared.labels.train
        found = torch.zeros(len(rows), dtype=torch.long)
        if trainer.is_global_zero:
            previous = None if pl_module.term is None else pl_module.term[rows]
            features = own_features(prepared, pl_module.device)
            seed = derived(prepared.recipe.seed, "clusters", trainer.current_epoch) % 2**31
            found = cluster(features, prepared.labels.clusters, seed, previous)
        found = trainer.strategy.broadcast(found)
        pl_module.term = spread_out(found, prepared)
        pl_module.train()
        for module in prepared.frozen:
            module.eval()


@torch.no_grad()
def own_features(prepared: Prepared, device: torch.device) -> Tensor:
    """Pooled features of the training images at the last tapped layer, `[n, D]`, on the CPU."""
    module = prepared.module.eval()
    found = []
    axis = prepared.network.feature_dim
    with FeatureTap(module, prepared.layers[-1], pool=True, feature_dim=axis) as tap:
        for batch in EvalBatches(prepared.inputs, prepared.labels.train):
            module(ready(replace(batch, inputs=batch.inputs.to(device)), prepared))
            found.append(tap.features[prepared.layers[-1]].float().cpu())
    return torch.cat(found)
