"""Many classes read as few."""

import pytest
import torch
from rich.console import Console
from torch import nn

from torchdiscern.lab import Recipe
from torchdiscern.lab.comparing.checking import reader_of
from torchdiscern.lab.comparing.task import images_of
from torchdiscern.lab.measures.readout import ReadOut, coarse_of, group_of, read_out_measures
from torchdiscern.lab.training.prepared import prepare

RECIPE = Recipe.named("digits").with_settings(width=8, read_out="groups:3", seed=4)


def test_a_group_is_as_likely_as_its_classes_together() -> None:
    torch.manual_seed(0)
    logits = torch.randn(7, 5) * 30
    group = torch.tensor([2, 0, 1, 0, 2])
    found = ReadOut(nn.Identity(), group)(logits).softmax(1)
    expected = torch.stack([logits.softmax(1)[:, group == one].sum(1) for one in range(3)], 1)
    torch.testing.assert_close(found, expected)


def test_its_gradient_is_finite_where_a_class_is_sure() -> None:
    logits = torch.tensor([[200.0, -200.0, 0.0]], requires_grad=True)
    ReadOut(nn.Identity(), torch.tensor([0, 0, 1]))(logits).softmax(1)[0, 1].backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(("coarse", "classes"), [([0, 1, 1], 2), ([0, 0, -1], 2)])
def test_classes_in_several_groups_or_in_none_are_refused(coarse: list[int], classes: int) -> None:
    with pytest.raises(ValueError, match="read_out: got classes that lie in several groups or in none"):
        group_of(torch.tensor([0, 0, 1]), torch.tensor(coarse), classes)


def test_the_groups_are_those_that_a_coarse_target_has() -> None:
    images = images_of(RECIPE.data, RECIPE.image_size)
    quiet = Console(quiet=True)
    coarse = prepare(RECIPE.with_settings(read_out="", target="groups:3"), quiet, images)
    fine = prepare(RECIPE, quiet, images)
    reader = reader_of(RECIPE, fine.network.module.state_dict(), images)
    assert torch.equal(coarse_of(reader, images), coarse.labels.true)
    assert torch.equal(fine.labels.test, coarse.labels.test)


def test_measures_are_of_the_groups() -> None:
    images = images_of(RECIPE.data, RECIPE.image_size)
    fine = prepare(RECIPE, Console(quiet=True), images)
    reader = reader_of(RECIPE, fine.network.module.state_dict(), images)
    found, right = read_out_measures(reader, images)
    coarse = coarse_of(reader, images)
    group = group_of(fine.labels.true, coarse, 10)
    said = torch.cat([logits for *_, logits in reader.batches(fine.labels.test)]).softmax(1)
    by_group = torch.stack([said[:, group == one].sum(1) for one in range(3)], 1)
    expected = by_group.argmax(1) == coarse[fine.labels.test]
    assert torch.equal(right["accuracy"], expected)
    assert found["accuracy"] == pytest.approx(float(expected.double().mean()), abs=1e-6)
    target = coarse[fine.labels.test]
    of_groups = [float(expected[target == one].double().mean()) for one in range(3)]
    assert found["accuracy_macro"] == pytest.approx(sum(of_groups) / 3, abs=1e-6)
    target = coarse[fine.labels.test]
    loss = -by_group.gather(1, target[:, None]).log().mean()
    assert found["negative_log_likelihood"] == pytest.approx(float(loss), rel=1e-4)
