from dataclasses import fields, replace
from math import exp

import numpy as np
import pytest
import torch
from seen_cases import EDGES, random_seen, seen_of

from torchdiscern.lab.inspecting import blocks
from torchdiscern.lab.inspecting.decisions import SPOKE, classifier_of, decisions_of
from torchdiscern.lab.inspecting.layer_numbers import numbers_of
from torchdiscern.lab.inspecting.seen import Seen
from torchdiscern.lab.report.contents import Decisions, Layer
from torchdiscern.metrics import ClassMeans, KFeatureAccuracy


def decided(seen: Seen) -> tuple[Layer, Decisions]:
    layer = numbers_of(seen, len(seen.layers) - 1)
    decisions = decisions_of(seen, layer)
    assert decisions is not None
    return layer, decisions


CASES = [(seed, own) for seed in range(3) for own in (False, True)]


def test_the_classifier_is_the_networks_own() -> None:
    seen = random_seen(0, own=True)
    found = classifier_of(seen)
    assert found.source == "the network's own"
    np.testing.assert_array_equal(found.weight, seen.weight)
    np.testing.assert_array_equal(found.bias, seen.bias)
    assert not classifier_of(replace(seen, bias=None)).bias.any()


def test_without_one_it_is_the_nearest_class_mean() -> None:
    seen = random_seen(1)
    decisions = decided(seen)[1]
    assert decisions.source == classifier_of(seen).source == "nearest class mean"
    read = seen.read.astype(float)
    means = [read[seen.labels == c].mean(0) for c in range(3)]  # the last class has no image
    for f, predicted in zip(read, decisions.predicted, strict=True):
        assert predicted == np.argmin([np.square(f - m).sum() for m in means])
    assert not np.isnan(classifier_of(seen).weight).any()


@pytest.mark.parametrize(("seed", "own"), CASES)
def test_logits_and_what_spoke_by_plain_loops(seed: int, own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CELLS", 40)
    seen = random_seen(seed, features=9, own=own)
    found, classifier = decided(seen)[1], classifier_of(seen)
    W, b = classifier.weight, classifier.bias
    wrong = 0
    for i, (f, label) in enumerate(zip(seen.read.astype(float), seen.labels.tolist(), strict=True)):
        logits = [sum(f[j] * W[c, j] for j in range(9)) + b[c] for c in range(4)]
        p = int(np.argmax(logits))
        assert found.predicted[i] == p
        total = sum(exp(x - logits[p]) for x in logits)
        assert found.probability[i] == pytest.approx(1 / total, rel=1e-5)
        assert found.own_probability[i] == pytest.approx(exp(logits[label] - logits[p]) / total, rel=1e-5)
        assert found.logits[i].tolist() == pytest.approx([logits[p], logits[label]], rel=1e-5, abs=1e-5)
        assert found.biases[i].tolist() == pytest.approx([b[p], b[label]], rel=1e-5)
        check_parts(found.spoke[i], found.parts[i], f * W[p])
        check_parts(found.against[i], found.against_parts[i], f * (W[p] - W[label]))
        wrong += p != label
    assert 0 < wrong < len(seen.labels)


def check_parts(features: np.ndarray, values: np.ndarray, parts: np.ndarray) -> None:
    expected = [j for j in np.argsort(-parts, kind="stable") if parts[j] > 0][:SPOKE]
    assert features.tolist() == expected + [-1] * (SPOKE - len(expected))
    assert values.tolist() == pytest.approx([*parts[expected], *[0] * (SPOKE - len(expected))], rel=1e-5)


@pytest.mark.parametrize(("seed", "own"), CASES)
def test_confusion_and_accuracy(seed: int, own: bool) -> None:
    seen = random_seen(seed, own=own)
    found = decided(seen)[1]
    expected = np.zeros((4, 4), int)
    for label, predicted in zip(seen.labels, found.predicted, strict=True):
        expected[label, predicted] += 1
    np.testing.assert_array_equal(found.confusion, expected)
    assert found.accuracy == pytest.approx(np.trace(expected) / len(seen.labels))


@pytest.mark.parametrize(("seed", "own"), CASES)
def test_accuracy_by_few_features_is_the_metrics(seed: int, own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CELLS", 200)
    seen = random_seen(seed, features=21, own=own)
    found, classifier = decided(seen)[1], classifier_of(seen)
    assert list(found.few) == [1, 5, 20]
    read, labels = torch.from_numpy(seen.read).double(), torch.from_numpy(seen.labels)
    means = ClassMeans(4, 21, signed=True)
    means.update(read, labels)
    bias = torch.from_numpy(classifier.bias)
    for k, (accuracy, by_class) in found.few.items():
        if not own:  # nearest by the features that are kept
            top = np.square(classifier.weight).argsort(1)[:, -k:]
            bias = torch.tensor([-sum(classifier.weight[c, j] ** 2 for j in top[c]) / 2 for c in range(4)])
            bias[3] = -torch.inf  # without images
        head = means.compute(), torch.from_numpy(classifier.weight), bias
        metric = KFeatureAccuracy(*head, k)
        metric.update(read, labels)
        assert accuracy == pytest.approx(float(metric.compute()))
        for c in range(3):  # the last class has no image
            one = KFeatureAccuracy(*head, k)
            one.update(read[labels == c], labels[labels == c])
            assert by_class[c] == pytest.approx(float(one.compute()))
        assert np.isnan(by_class[3])
    assert len({accuracy for accuracy, _ in found.few.values()}) > 1


def test_few_are_no_more_than_there_are() -> None:
    assert list(decided(random_seen(0, features=5))[1].few) == [1, 5]
    assert list(decided(random_seen(0, features=4))[1].few) == [1]


@pytest.mark.parametrize(("seed", "own"), CASES)
def test_the_part_that_owned_features_carry_by_plain_loops(seed: int, own: bool) -> None:
    seen = random_seen(seed, own=own)
    layer, found = decided(seen)
    W, read = classifier_of(seen).weight, seen.read.astype(float)
    for c in range(3):
        images = read[seen.labels == c]
        owned = [j for j in range(7) if layer.owner[j] == c]
        expected = np.mean([sum(f[j] * W[c, j] for j in owned) for f in images])
        assert found.owned_part[c] == pytest.approx(expected, abs=1e-8)
        assert found.whole_part[c] == pytest.approx(np.mean([f @ W[c] for f in images]), abs=1e-8)
    assert np.isnan(found.owned_part[3])
    assert np.isnan(found.whole_part[3])


def test_where_the_layer_is_not_read_nothing_is_said() -> None:
    seen = replace(random_seen(0, own=True), reads_last=False)
    assert decisions_of(seen, numbers_of(seen, 0)) is None


@pytest.mark.parametrize("name", EDGES)
def test_odd_classifiers_keep_the_contract(name: str) -> None:
    seen = EDGES[name]
    _, found = decided(seen)
    N, C = len(seen.labels), seen.num_classes
    with_images = np.bincount(seen.labels, minlength=C) > 0
    for field in fields(found):
        value = getattr(found, field.name)
        if field.name in ("owned_part", "whole_part"):
            assert np.array_equal(np.isfinite(value), with_images)
        elif isinstance(value, np.ndarray):
            assert np.isfinite(value).all(), field.name
    for accuracy, by_class in found.few.values():
        assert 0 <= accuracy <= 1
        assert np.array_equal(np.isfinite(by_class), with_images)
    assert (
        found.spoke.shape == found.parts.shape == found.against.shape == found.against_parts.shape == (N, SPOKE)
    )
    assert found.logits.shape == found.biases.shape == (N, 2)
    assert found.predicted.shape == found.probability.shape == found.own_probability.shape == (N,)
    assert found.confusion.sum() == N
    assert (found.probability >= found.own_probability).all()
    if found.source == "nearest class mean":
        assert with_images[found.predicted].all()


def test_a_dead_layer_speaks_for_nothing() -> None:
    _, found = decided(EDGES["all dead, own"])
    assert (found.spoke == -1).all()
    assert (found.against == -1).all()
    assert (found.predicted == 0).all()
    assert found.probability.tolist() == [0.25] * 5


def test_one_class_is_always_right() -> None:
    for name in ("one class", "one class, own", "one image, one feature, one class"):
        _, found = decided(EDGES[name])
        assert found.accuracy == 1
        assert all(accuracy == 1 for accuracy, _ in found.few.values())


def test_an_image_of_each_class_is_its_own_mean() -> None:
    _, found = decided(seen_of(np.eye(3), [2, 0, 1], 3))
    assert found.predicted.tolist() == [2, 0, 1]
    assert found.spoke[:, 0].tolist() == [0, 1, 2]
