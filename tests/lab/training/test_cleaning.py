"""Labels judged by networks that did not see them, and fits without a folder."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from torchdiscern.lab import Recipe, train
from torchdiscern.lab.comparing.task import images_of
from torchdiscern.lab.training.cleaning import believed, cross_validated, fold_of
from torchdiscern.lab.training.fit import fit
from torchdiscern.lab.training.prepared import load, prepare

QUIET = Console(quiet=True)
RECIPE = Recipe.named("digits").with_settings(epochs=3, width=16, label_noise=0.3, arm="ce", loggers=())
IMAGES = images_of("digits", None)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCHDISCERN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_folds_hold_every_class_alike() -> None:
    labels = torch.arange(5).repeat_interleave(8)
    fold = fold_of(labels, 4, seed=1)
    assert all((fold[labels == one].bincount() == 2).all() for one in range(5))
    assert torch.equal(fold, fold_of(labels, 4, seed=1))
    assert not torch.equal(fold, fold_of(labels, 4, seed=2))


def test_an_image_is_judged_by_networks_that_did_not_see_it() -> None:
    rows, said = cross_validated(RECIPE, IMAGES, QUIET, folds=2)
    whole = prepare(RECIPE, QUIET, IMAGES)
    assert torch.equal(rows, whole.labels.train)
    fold = fold_of(whole.labels.target[rows], 2, RECIPE.seed)
    # the labels of one fold decide nothing of what is said of it, and all of what is said of the other
    part = prepare(RECIPE, QUIET, IMAGES)
    part.labels = replace(part.labels, train=rows[fold != 0], val=rows[:0])
    fit(part)
    part.module.eval()
    with torch.no_grad():
        pixels = IMAGES.pixels[rows[fold == 0]].float() * part.scale + part.shift
        expected = part.module(pixels.contiguous(memory_format=part.memory_format)).softmax(1)
    torch.testing.assert_close(said[fold == 0], expected, atol=1e-5, rtol=1e-4)


def test_what_is_left_out_is_mostly_wrong_and_of_the_share_asked_for() -> None:
    recipe = RECIPE.with_settings(clean=0.25, arm="renyi")
    kept = believed(recipe, IMAGES, QUIET)
    labels = load(RECIPE, QUIET, IMAGES)[1]
    assert len(kept) == len(labels.train) - round(0.25 * len(labels.train))
    out = labels.train[~torch.isin(labels.train, kept)]
    assert (labels.target[out] != labels.true[out]).double().mean() > 0.6  # 0.3 by chance
    assert torch.equal(load(recipe, QUIET, IMAGES)[1].train, kept)


def test_the_judgement_is_kept_and_shared_by_the_arms(cache: Path) -> None:
    first = believed(RECIPE.with_settings(clean=0.25, arm="renyi"), IMAGES, QUIET)
    files = {path: path.stat().st_mtime_ns for path in (cache / "judged").iterdir()}
    second = believed(RECIPE.with_settings(clean=0.25, arm="ce"), IMAGES, QUIET)
    assert torch.equal(first, second)
    assert {path: path.stat().st_mtime_ns for path in (cache / "judged").iterdir()} == files
    believed(RECIPE.with_settings(clean=0.25, seed=1), IMAGES, QUIET)
    assert len(list((cache / "judged").iterdir())) == len(files) + 1


def test_a_fit_in_memory_is_the_run_of_a_folder(tmp_path: Path) -> None:
    recipe = RECIPE.with_settings(arm="renyi")
    prepared = prepare(recipe, QUIET, IMAGES)
    found = fit(prepared)
    run = train(recipe, tmp_path / "run", console=QUIET)
    best = run.result["best"]["validation"]["accuracy"]
    assert max(epoch["val_accuracy"] for epoch in found) == pytest.approx(best)
    last = torch.load(run.checkpoints / "last.ckpt", weights_only=True)["state_dict"]
    for name, value in prepared.module.state_dict().items():
        torch.testing.assert_close(value, last[f"network.{name}"], rtol=0, atol=0)
