import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from seen_cases import EDGES, random_seen, seen_of

from torchdiscern.lab.inspecting import blocks, suspicions
from torchdiscern.lab.inspecting.layer_numbers import numbers_of
from torchdiscern.lab.inspecting.seen import Seen
from torchdiscern.lab.inspecting.suspicions import suspicions_of
from torchdiscern.lab.labels import noisy
from torchdiscern.lab.measures.wrong_labels import mean_margin, wrong_labels
from torchdiscern.lab.report.contents import Suspicions


def suspected(seen: Seen) -> Suspicions:
    found = suspicions_of(seen, numbers_of(seen, len(seen.layers) - 1))
    assert found is not None
    return found


def apart(images: int, classes: int = 3, features: int = 24, noise: float = 0.5, seed: int = 0) -> Seen:
    """Classes that stand far apart, with right labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    read = np.repeat(np.eye(classes), features // classes, 1)[labels] * 2 + noise * rng.random((images, features))
    return seen_of(read, labels, classes, maps=False)


@pytest.mark.parametrize("seed", range(4))
def test_images_are_ranked_by_mean_margin(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CELLS", 40)
    seen = random_seen(seed)
    margin = mean_margin(torch.from_numpy(seen.read), torch.from_numpy(seen.labels), seen.num_classes).numpy()
    expected = sorted((i for i in range(len(margin)) if margin[i] < 0), key=lambda i: margin[i])
    found = suspected(seen)
    assert 3 < len(expected) < len(margin)
    assert found.rows.tolist() == expected
    np.testing.assert_allclose(found.margin, margin[expected], atol=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_the_nearer_class_by_plain_loops(seed: int) -> None:
    seen = random_seen(seed)
    labels = seen.labels + (seen.labels > 0)  # class 1 has no image
    seen = replace(seen, labels=labels, num_classes=5)
    found, read = suspected(seen), seen.read.astype(float)
    means = {c: read[labels == c].mean(0) for c in (0, 2, 3)}
    for row, nearer in zip(found.rows, found.nearer, strict=True):
        cosines = {
            c: read[row] @ mean / np.linalg.norm(read[row]) / np.linalg.norm(mean)
            for c, mean in means.items()
            if c != labels[row]
        }
        assert nearer == max(cosines, key=lambda c: cosines[c])


def test_the_features_that_explain_are_those_of_the_layer() -> None:
    rng = np.random.default_rng(0)
    seen = random_seen(1, earlier=rng.exponential(size=(60, 5)))
    for index in (0, 1):
        layer = numbers_of(seen, index)
        found = suspicions_of(seen, layer)
        assert found is not None
        for row, nearer, spoke in zip(found.rows, found.nearer, found.spoke.tolist(), strict=True):
            a, label = seen.layers[index].activation[row].astype(float), seen.labels[row]
            P = layer.distribution
            parts = [a[j] / a.sum() * (P[nearer, j] - P[label, j]) for j in range(len(a))]
            expected = sorted((j for j in range(len(a)) if parts[j] > 0), key=lambda j: -parts[j])[:4]
            assert spoke == expected + [-1] * (4 - len(expected))


def test_a_wrong_label_is_found_and_explained() -> None:
    seen = apart(60)
    seen.labels[7] = 2  # of class 1, whose features are 8 to 15
    found = suspected(seen)
    assert found.rows.tolist() == [7]
    assert found.nearer.tolist() == [1]
    assert set(found.spoke[0].tolist()) <= set(range(8, 16))


def test_all_below_zero_are_listed() -> None:
    rng = np.random.default_rng(0)
    seen = seen_of(rng.normal(size=(1600, 3)), rng.integers(4, size=1600), 4, maps=False)
    margin = mean_margin(torch.from_numpy(seen.read), torch.from_numpy(seen.labels), 4).numpy()
    assert (margin < 0).sum() > 500
    assert suspected(seen).rows.tolist() == margin.argsort(kind="stable")[: (margin < 0).sum()].tolist()


def numbers_in(sentence: str) -> list[float]:
    return [float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\.?\d*", sentence)]


def test_worth_is_that_of_labels_made_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[torch.Tensor] = []

    def spied(*args: object) -> torch.Tensor:
        given.append(noisy(*args))  # type: ignore[arg-type]
        return given[-1]

    monkeypatch.setattr(suspicions, "noisy", spied)
    seen = random_seen(0, images=1000)
    found = suspected(seen)
    true, read = torch.from_numpy(seen.labels), torch.from_numpy(seen.read)
    assert len(given) == 10
    assert len({tuple(labels.tolist()) for labels in given}) == 10
    for sentence, draws, wrong, first in zip(
        found.worth, (given[:5], given[5:]), (50, 200), (50, 100), strict=False
    ):
        areas, shares = [], []
        for labels in draws:
            assert int((labels != true).sum()) == wrong
            assert int(labels.max()) == 2  # no class without images
            # only the score of the means is looked at
            areas.append(wrong_labels(torch.zeros(1000, 4), read, labels, true)["wrong_auroc_means"])
            worst = mean_margin(read, labels, 4).argsort(stable=True)[:first]
            shares.append(100 * float((labels != true)[worst].double().mean()))
        said = numbers_in(sentence)
        assert said[:3] == [wrong, 1000, wrong / 10]
        assert said[3:6] == pytest.approx(spread(areas), abs=6e-4)
        assert said[6:8] == [0.5, first]
        assert said[8:11] == pytest.approx(spread(shares), abs=0.51)
        assert said[11:] == [5]


def spread(values: list[float]) -> list[float]:
    return [float(np.mean(values)), min(values), max(values)]


def test_worth_is_tried_on_some_of_many_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suspicions, "TRIED", 40)
    seen = apart(300)
    assert suspected(seen).worth[0].startswith("With 2 of 40 labels of images drawn at random made wrong")
    assert suspected(apart(40)).worth[0].startswith("With 2 of 40 labels made wrong")


def test_worth_says_that_given_labels_count_as_right() -> None:
    worth = suspected(apart(60)).worth
    assert len(worth) == 3
    assert "given labels count as right" in worth[-1]


def test_classes_far_apart_are_worth_most_and_chance_nothing() -> None:
    rng = np.random.default_rng(0)
    for sentence in suspected(apart(400)).worth[:2]:
        assert numbers_in(sentence)[3] == pytest.approx(1)
    blind = seen_of(rng.normal(size=(2000, 6)), rng.integers(3, size=2000), 3, maps=False)
    for sentence in suspected(blind).worth[:2]:
        assert 0.4 < numbers_in(sentence)[3] < 0.6


def test_too_few_images_to_make_one_wrong() -> None:
    found = suspected(seen_of(np.array([[1.0, 0.0], [0.0, 1.0]]), [0, 1], 2))
    assert found.worth == ["There are too few images to try the ranking on labels made wrong on purpose."]


def test_sentences_are_for_people() -> None:
    found = suspected(apart(200))
    assert "below 0" in found.rule
    for sentence in (found.rule, *found.worth):
        assert sentence.endswith(".")
        assert "\n" not in sentence


@pytest.mark.parametrize("name", EDGES)
def test_odd_images_keep_the_contract(name: str) -> None:
    seen = EDGES[name]
    found = suspicions_of(seen, numbers_of(seen, 0))
    if len(np.unique(seen.labels)) < 2:
        assert found is None
        return
    assert found is not None
    assert found.spoke.shape == (len(found.rows), 4)
    assert len(found.rows) == len(found.margin) == len(found.nearer)
    assert np.isfinite(found.margin).all()
    assert (found.nearer != seen.labels[found.rows]).all()
    assert np.isin(found.nearer, seen.labels).all()


def test_a_draw_may_leave_one_class_only() -> None:
    # a fifth of five labels is one, and class 1 has one image
    seen = seen_of(np.random.default_rng(0).random((5, 3)), [0, 0, 0, 0, 1], 2)
    assert "1 of 5" in suspected(seen).worth[0]
