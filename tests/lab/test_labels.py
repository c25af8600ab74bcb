"""Parts, targets and the terms' labels, drawn from one seed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from label_cases import CLASSES, WriteCsv, make, per_file, rows_of
from torchdiscern.lab.label_files import read_labels
from torchdiscern.lab.labels import (
    cut_counts,
    grouped,
    long_tail,
    split,
)

# parts

part_names = st.sets(st.sampled_from(["train", "val", "test"]))
fractions = st.floats(0, 0.95)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), part_names, fractions, fractions, st.data())
def test_parts_are_disjoint_complete_and_sorted(
    labels: list[int], names: set[str], val: float, test: float, data: st.DataObject
) -> None:
    where = data.draw(st.lists(st.sampled_from([*sorted(names), ""]), min_size=len(labels), max_size=len(labels)))
    given = {name: torch.tensor([i for i, one in enumerate(where) if one == name]) for name in names}
    unsorted = {name: rows.flip(0) for name, rows in given.items()}
    found = split(torch.tensor(labels), unsorted, 0, val, test)
    together = [row for rows in found for row in rows.tolist()]
    unused = where.count("") if "train" in where else 0  # a given train part says what is trained on
    assert len(together) == len(set(together)) == len(labels) - unused
    assert all(rows.tolist() == sorted(rows.tolist()) for rows in found)
    for name, rows in zip(("train", "val", "test"), found, strict=True):
        if name != "train" and name in where:
            assert torch.equal(rows, given[name])


def test_the_same_share_of_each_class_is_cut() -> None:
    labels = torch.arange(60_000) % 100
    parts = {"train": torch.arange(50_000), "test": torch.arange(50_000, 60_000)}
    train, val, test = split(labels, parts, 0, 0.08, 0.2)
    assert torch.equal(test, parts["test"])
    assert labels[val].bincount().tolist() == [40] * 100
    assert len(train) == 46_000
    train, val, test = split(labels, {}, 0, 0.1, 0.2)
    assert [set(labels[rows].bincount().tolist()) for rows in (train, val, test)] == [{432}, {48}, {120}]


def test_small_classes_give_one_of_three_and_never_the_last() -> None:
    counts = torch.tensor([0, 1, 2, 3, 10])
    assert cut_counts(counts, 0.01).tolist() == [0, 0, 0, 1, 1]
    assert cut_counts(counts, 0.99).tolist() == [0, 0, 1, 2, 9]
    assert cut_counts(counts, 0.0).tolist() == [0] * 5


def test_no_fraction_leaves_a_part_empty() -> None:
    found = make(val_fraction=0, test_fraction=0)
    assert (len(found.train), len(found.val), len(found.test)) == (180, 0, 0)


def test_images_in_two_parts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"parts: 1 image\(s\) stand in several parts, the first is row 3"):
        make(parts={"train": torch.arange(4), "test": torch.arange(3, 10)})


def test_a_part_that_leaves_nothing_to_train_on_is_refused() -> None:
    with pytest.raises(ValueError, match="parts: no image is left to train on"):
        make(parts={"test": torch.arange(180)})


def test_the_split_follows_the_seed() -> None:
    assert rows_of(make(seed=1)) == rows_of(make(seed=1)) != rows_of(make(seed=2))
    assert make(seed=1).test.tolist() != make(seed=2).test.tolist()


@given(
    st.sampled_from([0.0, 0.4]),
    st.sampled_from(["class", "coarse", "groups:2"]),
    st.sampled_from(["target", "fine", "kmeans:3"]),
    st.sampled_from([1.0, 10.0]),
    st.sampled_from([None, 2]),
    st.integers(0, 2),
)
def test_other_settings_leave_the_split_as_it_is(
    noise: float, target: str, term_labels: str, imbalance: float, per_class: int | None, holdout: int
) -> None:
    plain = make(seed=3)
    found = make(
        seed=3,
        label_noise=noise,
        target=target,
        term_labels=term_labels,
        imbalance=imbalance,
        per_class=per_class,
        holdout_classes=holdout,
    )
    out = set(found.held_out.tolist())
    for rows, before in ((found.val, plain.val), (found.test, plain.test)):
        assert rows.tolist() == [row for row in before.tolist() if row not in out]
    assert set(found.train.tolist()) <= set(plain.train.tolist()) - out
    if imbalance == 1 and per_class is None:
        assert set(found.train.tolist()) == set(plain.train.tolist()) - out


def test_a_settings_draw_stays_where_another_setting_changes() -> None:
    plain = make(holdout_classes=2, per_class=5)
    other = make(holdout_classes=2, per_class=5, label_noise=0.3, target="groups:2")
    assert torch.equal(plain.held_out, other.held_out)
    assert torch.equal(plain.train, other.train)
    assert torch.equal(other.true, make(holdout_classes=2, target="groups:2").true)


# fewer images


def test_per_class_keeps_so_many_and_what_a_smaller_class_has() -> None:
    labels = torch.tensor([0] * 40 + [1] * 3 + [2] * 40)
    files = [f"{index}" for index in range(83)]
    settings: dict[str, Any] = {"labels": labels, "files": files, "classes": list("abc"), "test_fraction": 0}
    found, more = make(**settings, per_class=10), make(**settings, per_class=12)
    assert labels[found.train].bincount().tolist() == [10, 2, 10]
    assert labels[found.val].bincount().tolist() == [4, 1, 4]
    assert set(found.train.tolist()) < set(more.train.tolist())
    assert found.train.tolist() == sorted(found.train.tolist())


def test_imbalance_is_the_exponential_profile_on_training_images_alone() -> None:
    plain, found = make(600), make(600, imbalance=32)
    assert (plain.true[plain.train].bincount() == 72).all()
    assert found.true[found.train].bincount().tolist() == [72, 36, 18, 9, 4, 2]
    assert torch.equal(found.test, plain.test)


def test_the_tail_falls_from_as_many_as_a_class_may_have() -> None:
    sizes = [1000, 200, 100, 100]
    labels = torch.arange(4).repeat_interleave(torch.tensor(sizes))
    files = [f"{index}" for index in range(sum(sizes))]
    found = make(labels=labels, files=files, classes=list("abcd"), per_class=27, imbalance=27, test_fraction=0)
    assert labels[found.train].bincount().tolist() == [27, 9, 3, 1]


def test_a_long_tail_leaves_each_class_an_image() -> None:
    assert long_tail(torch.tensor([10, 10, 10]), 1000).tolist() == [10, 1, 1]
    assert long_tail(torch.tensor([7, 10]), 1).tolist() == [10, 10]


# held-out classes


def test_held_out_classes_are_seen_in_no_part_and_the_rest_renumbered() -> None:
    found = make(holdout_classes=2, term_labels="fine", label_noise=0.5)
    labels = torch.arange(180) % CLASSES
    assert len(found.classes) == found.term_classes == 4
    assert found.classes == sorted(found.classes)
    assert len(labels[found.held_out].unique()) == 2
    assert len(found.held_out) == 60
    assert found.term is not None
    for numbers in (found.true, found.target, found.term):
        assert torch.equal((numbers < 0).nonzero().flatten(), found.held_out)
    used = torch.cat([found.train, found.val, found.test])
    assert not torch.isin(used, found.held_out).any()
    assert [found.classes[number] for number in found.true[used]] == [f"c{labels[row]}" for row in used]


def test_held_out_classes_follow_the_seed_and_more_hold_out_the_same_too() -> None:
    assert len({tuple(make(holdout_classes=2, seed=seed).classes) for seed in range(8)}) > 1
    assert set(make(holdout_classes=3).classes) < set(make(holdout_classes=2).classes)


def test_two_classes_must_be_left() -> None:
    assert len(make(holdout_classes=4).classes) == 2
    with pytest.raises(ValueError, match="holdout_classes: got 5 of 6 classes, expected at least 2 to be left"):
        make(holdout_classes=5)


# targets


def test_the_target_is_the_class() -> None:
    found = make()
    assert torch.equal(found.target, torch.arange(180) % CLASSES)
    assert (found.term, found.term_classes, found.clusters) == (None, 6, 0)
    assert len(found.held_out) == 0


def test_a_coarse_target_and_coarse_classes_that_vanish() -> None:
    found = make(target="coarse")
    assert torch.equal(found.target, torch.arange(180) % CLASSES // 2)
    assert found.classes == ["k0", "k1", "k2"]
    coarse = torch.tensor([0, 1, 1, 2, 2, 2])  # each seed holds out two classes, some of them class 0 or all of 1
    for seed in range(10):
        found = make(target="coarse", coarse=coarse, holdout_classes=2, seed=seed)
        seen = found.true >= 0
        expected = [f"k{coarse[row % CLASSES]}" for row in seen.nonzero().flatten().tolist()]
        assert [found.classes[number] for number in found.true[seen]] == expected
        assert sorted(set(expected)) == found.classes


def test_a_coarse_target_needs_coarse_classes() -> None:
    with pytest.raises(ValueError, match="target: got 'coarse' for data without coarse classes"):
        make(target="coarse", coarse=None)


@given(st.integers(2, 40), st.data(), st.integers(0, 5))
def test_groups_are_as_equal_as_can_be(classes: int, data: st.DataObject, seed: int) -> None:
    groups = data.draw(st.integers(2, classes))
    sizes = grouped(classes, groups, seed).bincount(minlength=groups)
    assert sizes.sum() == classes
    assert sizes.max() - sizes.min() <= 1


def test_groups_are_thrown_from_the_classes_that_remain() -> None:
    found = make(target="groups:2", holdout_classes=2)
    assert found.classes == ["group 0", "group 1"]
    fine = torch.arange(180) % CLASSES
    group_of = {int(one): found.true[fine == one].unique().tolist() for one in fine.unique()}
    assert sorted(map(tuple, group_of.values())) == [(-1,), (-1,), (0,), (0,), (1,), (1,)]
    assert len({tuple(grouped(6, 2, seed).tolist()) for seed in range(5)}) > 1


@pytest.mark.parametrize("ending", ["", ":label", ":size"])
def test_a_target_from_a_file(write_csv: WriteCsv, ending: str) -> None:
    text = "\ufeff" + "\n".join(["size,file,label", *(f"{i % 3},{i}.png,{'ba'[i % 2]}" for i in range(180))])
    found = make(target=write_csv(text) + ending)
    if ending == ":size":
        assert found.classes == ["0", "1", "2"]
        assert torch.equal(found.true, torch.arange(180) % 3)
    else:
        assert found.classes == ["a", "b"]
        assert torch.equal(found.true, 1 - torch.arange(180) % 2)


def test_names_of_a_file_that_only_held_out_images_have_vanish(write_csv: WriteCsv) -> None:
    path = write_csv(per_file(lambda index: f"n{index % CLASSES}"))
    found = make(target=path, holdout_classes=2)
    assert found.classes == [name.replace("c", "n") for name in make(holdout_classes=2).classes]
    assert torch.equal(found.true, make(holdout_classes=2).true)


def test_paths_as_windows_writes_them(write_csv: WriteCsv) -> None:
    path = write_csv("file,label\na\\0.png,x\nb/1.png,y\n")
    assert read_labels(path, "label", ["a/0.png", "b/1.png"], "target")[0].tolist() == [0, 1]
    with pytest.raises(ValueError, match=r"target: 'C:\\\\x.csv' cannot be read"):
        make(target="C:\\x.csv")
    with pytest.raises(ValueError, match=r"target: 'C:\\\\x.csv' cannot be read"):
        make(target="C:\\x.csv:kind")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n0.png,a\n", "has no label for 179 image.s., the first is '1.png', expected one for every"),
        (per_file(lambda i: "" if i == 7 else i % 2), "has no label for 1 image.s., the first is '7.png'"),
        (per_file(lambda i: i % 2, 182), "names 2 file.s. that are no image .* the first is '180.png'"),
        (per_file(lambda i: i % 2, header="file,lable"), "has no column 'label', .*; did you mean 'lable'"),
        (per_file(lambda i: i % 2, header="name,label"), "has no column 'file'"),
        ("", "has no column 'file', .*; write a first line like file,label"),
        (per_file(lambda i: i % 2) + "\n0.png,1", "gives '0.png' both '0' and '1', expected one label an image"),
        (per_file(lambda i: "a"), "leaves 1 class to learn, expected at least 2"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(write_csv: WriteCsv, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"target: .*labels.csv' {message}"):
        make(target=write_csv(text))


def test_a_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"target: .*x.csv' cannot be read \(.*decode.*\), expected a CSV file"):
        make(target=str(tmp_path / "x.csv"))


# the labels of the terms


def test_clusters_are_asked_for() -> None:
    found = make(term_labels="kmeans:7")
    assert (found.term, found.term_classes, found.clusters) == (None, 7, 7)


def test_terms_may_know_some_images_alone(write_csv: WriteCsv) -> None:
    path = write_csv(per_file(lambda index: f"{index % 3}" if index % 2 else ""))
    found = make(term_labels=f"{path}:label", holdout_classes=1, label_noise=0.5)
    index = torch.arange(180)
    expected = torch.where(index % 2 == 1, index % 3, -1)
    expected[found.held_out] = -1
    names = [str(number) for number in expected[expected >= 0].unique().tolist()]
    assert found.term is not None
    assert found.term_classes == len(names)
    assert torch.equal(found.term < 0, expected < 0)
    known = found.term >= 0
    assert [names[number] for number in found.term[known]] == [str(int(one)) for one in expected[known]]


def test_terms_without_labels_are_refused(write_csv: WriteCsv) -> None:
    test = torch.tensor([0, 1])
    path = write_csv("file,label\n0.png,a\n1.png,b\n")
    with pytest.raises(ValueError, match=r"term_labels: .* gives 2 class\(es\) and a label to 0 training image"):
        make(term_labels=path, parts={"test": test})
    with pytest.raises(ValueError, match=r"term_labels: .* gives 1 class\(es\)"):
        make(term_labels=write_csv(per_file(lambda _: "a")))


# settings


@pytest.mark.parametrize(
    ("setting", "value", "error", "message"),
    [
        ("target", "corse", ValueError, "got 'corse', expected one of class, .*; did you mean 'coarse'"),
        ("target", "grops:2", ValueError, "got 'grops:2', .*; did you mean 'groups:K'"),
        ("target", "class:2", ValueError, "got 'class:2', expected one of class, coarse, groups:K"),
        ("target", "groups", ValueError, "got 'groups', .*; did you mean 'groups:K'"),
        ("target", "groups:two", ValueError, "got 'groups:two', expected a whole number from 2 to 6"),
        (
            "target",
            "groups:1",
            ValueError,
            "got 'groups:1', expected a whole number from 2 to 6, the number of cl",
        ),
        ("target", "groups:7", ValueError, "got 'groups:7', expected a whole number from 2 to 6"),
        ("target", "kmeans:3", ValueError, "got 'kmeans:3', expected one of class"),
        ("target", "lables.txt", ValueError, "got 'lables.txt', .* FILE.csv:COLUMN"),
        ("target", 3, TypeError, r"got 3 \(int\), expected a text"),
        ("target", "none.csv", ValueError, r"'none.csv' cannot be read \(No such file .* expected a CSV file"),
        ("term_labels", "fien", ValueError, "got 'fien', expected one of target, fine, .*; did you mean 'fine'"),
        (
            "term_labels",
            "kmeans:x",
            ValueError,
            "got 'kmeans:x', expected a whole number from 2 to 132, .*training",
        ),
        ("term_labels", "kmeans:133", ValueError, "got 'kmeans:133', expected a whole number from 2 to 132"),
        ("val_fraction", 1.0, ValueError, "got 1, expected a share of at least 0 and below 1"),
        ("test_fraction", -0.1, ValueError, "got -0.1, expected a finite number of at least 0"),
        ("label_noise", 1.0, ValueError, "got 1, expected a share of at least 0 and below 1, or a CSV file"),
        ("label_noise", "40%", ValueError, "'40%' cannot be read .* expected a share, as 0.4, or a CSV file"),
        ("imbalance", 0.5, ValueError, "got 0.5, expected at least 1"),
        ("per_class", 0, ValueError, "got 0, expected a whole number of at least 1"),
        ("holdout_classes", -1, ValueError, "got -1, expected a whole number of at least 0"),
    ],
)
def test_wrong_settings_are_said(setting: str, value: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"{setting}: {message}"):
        make(**{setting: value})


def test_two_classes_of_one_image_can_be_trained_on() -> None:
    found = make(2, 2)
    assert rows_of(found) == [[0, 1], [], []]


def test_a_labels_image_keeps_its_row(write_csv: WriteCsv) -> None:
    backwards = "\n".join(["file,label", *(f"{i}.png,{i % 2}" for i in reversed(range(180)))])
    found: Tensor = make(target=write_csv(backwards)).true
    assert torch.equal(found, torch.arange(180) % 2)
