import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from torchdiscern.lab.clusters import WHOLE, cluster, matched


def blobs(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Four directions with little noise and lengths from 1 to 100: only the direction tells them apart."""
    draw = torch.Generator().manual_seed(seed)
    truth = torch.arange(count) % 4
    points = torch.eye(4)[truth] + 0.05 * torch.randn(count, 4, generator=draw)
    return points * (1 + 99 * torch.rand(count, 1, generator=draw)), truth


@pytest.mark.parametrize("count", [200, WHOLE + 1])
def test_finds_directions_whatever_the_lengths(count: int) -> None:
    points, truth = blobs(count)
    found = cluster(points, 4, seed=0)
    assert found.dtype == torch.int64
    assert found.unique().tolist() == [0, 1, 2, 3]
    assert adjusted_rand_score(truth.numpy(), found.numpy()) == 1


@pytest.mark.parametrize("count", [300, WHOLE + 1])
def test_equal_seeds_give_equal_clusters_and_others_do_not(count: int) -> None:
    points = torch.randn(count, 3, generator=torch.Generator().manual_seed(1))
    found = cluster(points, 8, seed=3)
    torch.manual_seed(5)
    assert torch.equal(found, cluster(points, 8, seed=3))
    assert not torch.equal(found, cluster(points, 8, seed=4))


def test_seeds_of_63_bits_are_taken() -> None:
    assert cluster(blobs(20)[0], 4, seed=2**63 - 1).max() == 3


def test_renewed_clusters_keep_their_numbers() -> None:
    points, truth = blobs(200)
    previous = torch.tensor([3, 1, 0, 2])[truth]
    assert torch.equal(cluster(points, 4, seed=0, previous=previous), previous)


def test_half_precision_and_gradients_are_taken() -> None:
    points = blobs(40)[0].bfloat16().requires_grad_()
    assert not cluster(points, 4, seed=0).requires_grad


def test_duplicates_make_fewer_clusters_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cluster(torch.eye(2).repeat(10, 1), 5, seed=0)
    assert torch.equal(found[0::2], found[:1].expand(10))
    assert found[0] != found[1]


def test_as_many_clusters_as_images() -> None:
    assert cluster(torch.eye(5), 5, seed=0).sort().values.tolist() == [0, 1, 2, 3, 4]


def test_wrong_arguments_are_said() -> None:
    with pytest.raises(
        ValueError, match="num_clusters: got 4 clusters for 3 images, expected at most one an image"
    ):
        cluster(torch.eye(3), 4, seed=0)
    with pytest.raises(ValueError, match="num_clusters: got 1, expected a whole number of at least 2"):
        cluster(torch.eye(3), 1, seed=0)
    with pytest.raises(ValueError, match=r"features: got shape \[3, 2, 2\], expected \[n, D\]"):
        cluster(torch.ones(3, 2, 2), 2, seed=0)
    with pytest.raises(ValueError, match="features: got NaN or infinite ones"):
        cluster(torch.tensor([[1.0], [float("nan")]]), 2, seed=0)
    with pytest.raises(ValueError, match=r"previous: got shape \[2\] for labels \[3\]"):
        matched(torch.tensor([0, 1, 0]), torch.tensor([0, 1]), 2)
    with pytest.raises(ValueError, match="previous: got the cluster 2, expected numbers below num_clusters=2;"):
        matched(torch.tensor([0, 1]), torch.tensor([0, 2]), 2)
    with pytest.raises(ValueError, match=r"labels: got the cluster -1, expected numbers .* from 0 on"):
        matched(torch.tensor([0, -1]), torch.tensor([0, 1]), 2)


@given(st.data())
def test_matching_renumbers_one_to_one_and_never_lowers_the_overlap(data: st.DataObject) -> None:
    clusters, count = data.draw(st.integers(2, 6)), data.draw(st.integers(1, 40))
    labels, previous = (
        torch.tensor(data.draw(st.lists(st.integers(0, clusters - 1), min_size=count, max_size=count)))
        for _ in range(2)
    )
    found = matched(labels, previous, clusters)
    pairs = {(int(old), int(new)) for old, new in zip(labels, found, strict=True)}
    assert len(pairs) == len(labels.unique()) == len(found.unique())
    assert found.max() < clusters
    assert (found == previous).sum() >= (labels == previous).sum()


@given(st.permutations(range(5)), st.lists(st.integers(0, 4), min_size=1, max_size=30))
def test_matching_undoes_any_renumbering(numbers: list[int], previous: list[int]) -> None:
    before = torch.tensor(previous)
    assert torch.equal(matched(torch.tensor(numbers)[before], before, 5), before)


def test_images_without_a_previous_number_have_no_say() -> None:
    labels, previous = torch.tensor([0, 1, 1, 1, 1]), torch.tensor([0, 1, -1, -1, -1])
    assert torch.equal(matched(labels, previous, 2), labels)
