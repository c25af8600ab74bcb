"""The terms are given the labels that the recipe names, and cross-entropy the target."""

from pathlib import Path

import pytest
import torch
from rich.console import Console

from torchdiscern.lab import Recipe
from torchdiscern.lab.comparing.task import images_of
from torchdiscern.lab.training.batches import TrainBatches
from torchdiscern.lab.training.learner import Learner
from torchdiscern.lab.training.prepared import cluster_frozen, criterion_of, prepare

RECIPE = Recipe.named("digits").with_settings(target="groups:2", arm="renyi", width=8)
IMAGES = images_of("digits", None)


def given(recipe: Recipe) -> tuple[torch.Tensor, torch.Tensor]:
    """The rows of the first batch, and the labels that its terms are given."""
    prepared = prepare(recipe, Console(quiet=True), IMAGES)
    learner = Learner(prepared, criterion_of(prepared), cluster_frozen(prepared))
    heard: list[torch.Tensor] = []
    assert learner.criterion is not None
    learner.criterion.register_forward_pre_hook(lambda _, inputs: heard.append(inputs[1]))
    learner.trainer = _Trainer()  # type: ignore[assignment]
    learner.optimizers = lambda: _Trainer()  # type: ignore[method-assign, assignment]
    learner.tap.attach()
    batch = next(iter(TrainBatches(prepared.inputs, prepared.labels.train, 32, 0)))
    learner.training_step(batch, 0)
    learner.tap.detach()
    return batch.rows, heard[0]


class _Trainer:
    """What a training step asks of Lightning."""

    world_size, global_step, num_training_batches = 1, 0, 10
    param_groups: tuple[dict[str, float], ...] = ()


def test_fine_labels_beside_a_coarse_target() -> None:
    rows, labels = given(RECIPE.with_settings(term_labels="fine"))
    assert torch.equal(labels, IMAGES.labels[rows])


def test_the_target_itself() -> None:
    rows, labels = given(RECIPE)
    prepared = prepare(RECIPE, Console(quiet=True), IMAGES)
    assert torch.equal(labels, prepared.labels.target[rows])


@pytest.mark.parametrize("column", ["kind"])
def test_labels_of_a_file(column: str, tmp_path: Path) -> None:
    kinds = IMAGES.labels % 3
    lines = [f"{file},kind {int(kind)}" for file, kind in zip(IMAGES.files, kinds, strict=True)]
    (tmp_path / "kinds.csv").write_text("\n".join([f"file,{column}", *lines]))
    rows, labels = given(RECIPE.with_settings(term_labels=f"{tmp_path / 'kinds.csv'}:{column}"))
    assert torch.equal(labels, kinds[rows])
