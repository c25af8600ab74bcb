"""What a step keeps for its gradient, at its most."""

import torch
from rich.console import Console

from torchdiscern.lab import Recipe
from torchdiscern.lab.training.plan import _kept, kept_bytes
from torchdiscern.lab.training.prepared import prepare

RECIPE = Recipe.named("digits").with_settings(width=8, threads=1)
FLOATS = 4  # bytes of one


def test_each_storage_counts_once_and_no_longer_than_its_graph() -> None:
    with _kept() as kept:
        values = torch.ones(100, requires_grad=True)
        doubled = values * 2
        loss = (doubled.exp() + doubled.sin()).sum()  # exp keeps its output, sin its input
        assert kept.now == kept.most == 2 * 100 * FLOATS
        loss.backward()
        del loss, doubled
        assert kept.now == 0
        (values * values).sum().backward()
    assert kept.most == 2 * 100 * FLOATS


def test_the_steps_of_an_attack_keep_no_more_than_one_pass() -> None:
    plain, attacked = (
        kept_bytes(prepare(RECIPE.with_settings(arm=arm), Console(quiet=True))) for arm in ("ce", "adversarial")
    )
    assert plain > 0
    assert plain <= attacked < 1.5 * plain
