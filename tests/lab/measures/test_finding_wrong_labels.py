import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from torchdiscern.lab.measures.wrong_labels import (
    cross_validated_quality,
    evidence_margin,
    mean_margin,
    own_probability,
    wrong_labels,
)


def sample(seed: int, classes: int = 4, images: int = 40, features: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    given_labels = torch.randint(classes, (images,), generator=draw)
    return (
        torch.randn(images, classes, generator=draw),
        torch.rand(images, features, generator=draw) + 0.01,
        given_labels,
    )


def cosine(a: list[float], b: list[float]) -> float:
    length = math.hypot(*a) * math.hypot(*b)
    return sum(x * y for x, y in zip(a, b, strict=True)) / length


@given(st.integers(0, 30), st.integers(2, 5), st.integers(2, 30))
def test_class_means_by_plain_loops(seed: int, classes: int, images: int) -> None:
    features, labels = (
        torch.randn(images, 6, generator=torch.Generator().manual_seed(seed)),
        sample(seed, classes, images)[2],
    )
    rows, numbers = features.double().tolist(), labels.tolist()
    found = mean_margin(features, labels, classes)

    def mean(c: int, without: int = -1) -> list[float] | None:
        own = [row for i, row in enumerate(rows) if numbers[i] == c and i != without]
        return [sum(column) / len(own) for column in zip(*own, strict=True)] if own else None

    for i, (row, c) in enumerate(zip(rows, numbers, strict=True)):
        own = mean(c, without=i)
        others = [m for other in range(classes) if other != c and (m := mean(other))]
        if own is None:
            assert found[i] == 0
        elif others:
            expected = cosine(row, own) - max(cosine(row, other) for other in others)
            assert float(found[i]) == pytest.approx(expected, abs=1e-9)


def test_an_image_does_not_speak_for_itself() -> None:
    strangers = torch.eye(4)
    assert (mean_margin(strangers, torch.tensor([0, 0, 1, 1]), 2) == 0).all()
    odd = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    assert mean_margin(odd, torch.tensor([0, 0, 1, 1]), 2)[1] == -1


@given(st.integers(0, 30), st.integers(2, 5), st.integers(2, 30))
def test_evidence_by_plain_loops(seed: int, classes: int, images: int) -> None:
    _, a, labels = sample(seed, classes, images)
    D = a.shape[1]
    M = torch.zeros(classes, D, dtype=torch.float64)
    for c in range(classes):
        for j in range(D):
            own = [float(a[i, j]) for i in range(images) if labels[i] == c]
            M[c, j] = sum(own) / len(own) if own else 0
    found = evidence_margin(a, labels, classes)
    for i in range(images):
        evidence = [
            sum(float(a[i, j]) / float(a[i].double().sum()) * float(M[c, j] / M[:, j].sum()) for j in range(D))
            for c in range(classes)
        ]
        own_evidence = evidence.pop(int(labels[i]))
        assert float(found[i]) == pytest.approx(own_evidence - max(evidence), abs=1e-8)


def test_an_image_without_any_activation_has_no_evidence() -> None:
    a = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    assert evidence_margin(a, torch.tensor([0, 0, 1]), 2)[0] == 0


def test_own_and_cross_validated_probability() -> None:
    logits, _, labels = sample(0)
    said = logits.softmax(1)
    expected = torch.stack([row[label] for row, label in zip(said, labels, strict=True)]).double()
    torch.testing.assert_close(own_probability(logits, labels).exp(), expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(cross_validated_quality(said, labels), expected, atol=1e-6, rtol=1e-6)


def test_a_sure_network_is_read_beyond_float32() -> None:
    found = own_probability(torch.tensor([[40.0, 0.0], [30.0, 0.0]]), torch.tensor([0, 0]))
    assert found[0] > found[1]


def right_and_given(images: int = 400, classes: int = 4, wrong: float = 0.3) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    true = torch.arange(images) % classes
    chosen = torch.rand(images, generator=draw) < wrong
    return true, torch.where(chosen, (true + 1 + torch.arange(images) // classes % (classes - 1)) % classes, true)


def test_what_sees_the_truth_finds_every_wrong_label() -> None:
    true, labels = right_and_given()
    known = torch.eye(4)[true]
    found = wrong_labels(10 * known, known, labels, true, frozen=known, cross_validated=known)
    names = ("own", "cross_validated", "means_frozen", "means", "evidence")
    assert list(found) == [f"{kind}_{name}" for name in names for kind in ("wrong_auroc", "wrong_p100")]
    assert all(value == 1 for value in found.values())


def test_what_knows_nothing_guesses() -> None:
    true, labels = right_and_given(2_000)
    draw = torch.Generator().manual_seed(1)
    logits, read = torch.randn(2_000, 4, generator=draw), torch.rand(2_000, 8, generator=draw)
    share = float((true != labels).double().mean())
    for name, value in wrong_labels(logits, read, labels, true, frozen=read).items():
        assert value == pytest.approx(0.5 if "auroc" in name else share, abs=0.06 if "auroc" in name else 0.15)


def test_detectors_do_not_see_the_truth() -> None:
    true, labels = right_and_given()
    read = torch.eye(4)[labels]  # learnt by heart
    found = wrong_labels(9 * read, read, labels, true)
    # rounding orders what should be equal
    assert all(
        found[f"wrong_auroc_{one}"] == pytest.approx(0.5, abs=0.05) for one in ("own", "means", "evidence")
    )


def test_nothing_to_find() -> None:
    logits, read, labels = sample(1)
    assert wrong_labels(logits, read, labels, labels) == {}
    assert wrong_labels(logits, read, labels, (labels + 1) % 4) == {}


def test_two_classes_and_what_is_left_out() -> None:
    true = torch.arange(40) % 2
    labels = true.clone()
    labels[:6] = 1 - labels[:6]
    known = torch.eye(2)[true]
    found = wrong_labels(known, known, labels, true)
    assert {name.rpartition("wrong_auroc_")[2] for name in found if "auroc" in name} == {
        "own",
        "means",
        "evidence",
    }
    assert found["wrong_auroc_means"] == found["wrong_auroc_own"] == 1
    assert found["wrong_p100_own"] == pytest.approx(6 / 40)


def test_probabilities_of_other_images_are_refused() -> None:
    true, labels = right_and_given()
    known = torch.eye(4)[true]
    with pytest.raises(ValueError, match=r"cross_validated: got shape \[3, 4\], expected \[400, 4\]"):
        wrong_labels(known, known, labels, true, cross_validated=known[:3])
