"""Labels that are made wrong on purpose."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from label_cases import CLASSES, WriteCsv, make
from torchdiscern.lab.label_files import read_matrix
from torchdiscern.lab.labels import (
    confused,
    noisy,
)
from torchdiscern.lab.seeds import generator


@given(st.floats(0, 0.999), st.integers(2, 8), st.integers(1, 80), st.integers(0, 3))
def test_exactly_the_share_is_wrong_and_never_the_true_class(
    share: float, classes: int, count: int, seed: int
) -> None:
    true = torch.arange(2 * count) % classes
    parts = {"train": torch.arange(count), "val": torch.arange(count, count + count // 2)}
    found = noisy(true, parts, classes, share, seed)
    for rows in parts.values():
        assert int((found[rows] != true[rows]).sum()) == round(share * len(rows))
    assert torch.equal(found[count + count // 2 :], true[count + count // 2 :])
    assert found.min() >= 0
    assert found.max() < classes


def test_wrong_labels_stand_on_train_and_val_rows_alone() -> None:
    found = make(600, label_noise=0.4, imbalance=4)
    wrong = found.target != found.true
    assert torch.equal(found.true, torch.arange(600) % CLASSES)
    assert int(wrong[found.train].sum()) == round(0.4 * len(found.train))
    assert int(wrong[found.val].sum()) == round(0.4 * len(found.val))
    assert wrong.sum() == wrong[found.train].sum() + wrong[found.val].sum()


def test_wrong_labels_take_every_other_class_alike() -> None:
    true = torch.zeros(9_000, dtype=torch.long)
    found = noisy(true, {"train": torch.arange(9_000)}, 4, 0.999, 0)
    assert (found.bincount(minlength=4)[1:] - 2997).abs().max() < 200


def test_more_noise_keeps_the_wrong_labels_of_less() -> None:
    less, more = make(label_noise=0.2), make(label_noise=0.4)
    wrong = less.target != less.true
    assert torch.equal(more.target[wrong], less.target[wrong])


def test_wrong_labels_stand_anywhere_and_follow_the_seed() -> None:
    true = torch.zeros(200, dtype=torch.long)
    parts = {"train": torch.arange(200)}
    found, other = noisy(true, parts, 2, 0.5, 0), noisy(true, parts, 2, 0.5, 1)
    assert 30 < int(found[:100].sum()) < 70
    assert not torch.equal(found, other)


def test_fewer_training_images_keep_most_of_their_wrong_labels() -> None:
    true = torch.arange(1_000) % 10
    many, few = (noisy(true, {"train": torch.arange(first, 1_000)}, 10, 0.3, 0) for first in (0, 500))
    both = (many != true) & (few != true)
    assert int(both.sum()) > 120  # of 150
    assert torch.equal(many[both], few[both])


def test_a_coarse_target_gets_wrong_coarse_classes_and_fine_terms_true_ones() -> None:
    found = make(target="coarse", label_noise=0.5, term_labels="fine")
    assert found.term is not None
    assert torch.equal(found.term, torch.arange(180) % CLASSES)
    assert found.term_classes == 6
    assert int((found.target != found.true)[found.train].sum()) == round(0.5 * len(found.train))
    assert found.target.max() == 2


def test_labels_from_a_matrix(write_csv: WriteCsv) -> None:
    path = write_csv("1,0,0\n0,0,1\n0.25,0.75,0\n")
    found = make(6_000, 3, label_noise=path)
    for rows in (found.train, found.val):
        true, given = found.true[rows], found.target[rows]
        assert (given[true == 0] == 0).all()
        assert (given[true == 1] == 2).all()
        assert (given[true == 2] != 2).all()
        assert float((given[true == 2] == 1).float().mean()) == pytest.approx(0.75, abs=0.07)
    assert torch.equal(found.target[found.test], found.true[found.test])


@given(st.lists(st.integers(0, 5), min_size=4, max_size=4).filter(any), st.integers(0, 20))
def test_a_share_of_0_is_never_drawn(shares: list[int], seed: int) -> None:
    matrix = torch.tensor([shares], dtype=torch.float64) / sum(shares)
    true = torch.zeros(50, dtype=torch.long)
    found = confused(true, matrix, torch.arange(50), generator(seed))
    assert all(shares[number] for number in found.tolist())


def test_shares_that_nearly_sum_to_1_give_classes_alone(write_csv: WriteCsv) -> None:
    matrix = read_matrix(write_csv("0.4995,0.4996\n0,1\n"), 2)
    found = confused(torch.zeros(20_000, dtype=torch.long), matrix, torch.arange(20_000), generator(0))
    assert found.unique().tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.5,0.5\n1,0\n1,0\n", r"has 3 row\(s\) of 2 share\(s\), expected 2 of 2"),
        ("a,b\n0.5,0.5\n1,0\n", r"has 3 row\(s\) .*; leave out any header"),
        ("0.5,0.5\n1\n", r"has 2 row\(s\) of 1 or 2 share\(s\), expected 2 of 2"),
        ("1,0\n0.5,0.6\n", "row 2 of .* sum to 1.1, expected none below 0 and a sum of 1"),
        ("1.5,-0.5\n0,1\n", "row 1 of .* shares from -0.5"),
        ("nan,1\n0,1\n", "row 1 of .* sum to nan"),
        ("1,x\n0,1\n", "holds something else than numbers"),
    ],
)
def test_what_is_wrong_with_a_matrix_is_said(write_csv: WriteCsv, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"label_noise: .*{message}"):
        read_matrix(write_csv(text), 2)
