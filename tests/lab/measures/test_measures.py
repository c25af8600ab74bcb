from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from measure_cases import FROZEN, WHOLE, prepared_of, reader_of
from torch import Tensor

from torchdiscern.lab.measures import (
    MEASURES,
    Recorder,
    measure_of,
    measures_of,
    read_rows,
    relative_band,
)
from torchdiscern.lab.measures.everything import frozen_features, measures_and_right
from torchdiscern.lab.measures.removal import accuracy_without
from torchdiscern.lab.measures.transfer import few_shot_accuracy, out_of_distribution
from torchdiscern.lab.measures.wrong_labels import wrong_labels
from torchdiscern.lab.training.measure import Reader, class_means, measured

OF_TEST = {
    "accuracy",
    "accuracy_macro",
    "negative_log_likelihood",
    "calibration_error",
    "impurity",
    "impurity_renyi",
    "coverage_divergence",
    "dead_features",
}
REMOVED = {"accuracy_without_50", "accuracy_without_80", "accuracy_without_90"}
STRANGE = {"few_shot_accuracy", "ood_auroc", "ood_auroc_logit"}


def untrained(**settings: Any) -> Reader:
    return Reader(prepared_of(**settings), torch.device("cpu"))


@pytest.mark.parametrize("settings", [WHOLE, FROZEN], ids=["whole", "frozen"])
def test_every_measure_is_what_its_own_function_says(settings: dict[str, Any]) -> None:
    reader = reader_of(**settings)
    labels = reader.prepared.labels
    judged = torch.rand(len(labels.train), 7, generator=torch.Generator().manual_seed(0)).softmax(1)
    found = measures_of(reader, cross_validated=judged)
    assert all(type(value) is float for value in found.values())

    means = class_means(reader)
    plain = measured(reader, labels.test, labels.true, means)
    assert {name: found[name] for name in OF_TEST} == {name: plain[name] for name in OF_TEST}
    few = plain["k_feature_accuracy"]
    by_few = {f"k_feature_accuracy_{k}": value for k, value in few.items()}
    assert {name: value for name, value in found.items() if name.startswith("k_")} == pytest.approx(by_few)
    test, train, strange = (read_rows(reader, rows) for rows in (labels.test, labels.train, labels.held_out))
    head = reader.classifier
    known = (test.read, labels.true[labels.test], head.weight.detach(), head.bias.detach(), means)
    expected = {f"accuracy_without_{share}": accuracy_without(*known, share) for share in (50, 80, 90)}
    expected |= out_of_distribution(test.logits, strange.logits)
    of_strangers = reader.prepared.images.labels[labels.held_out]
    assert len(of_strangers.unique()) == 3
    expected["few_shot_accuracy"] = (
        few_shot_accuracy(strange.read, of_strangers, reader.prepared.recipe.seed) or 0
    )
    expected |= wrong_labels(
        train.logits,
        train.read,
        labels.target[labels.train],
        labels.true[labels.train],
        frozen=frozen_features(reader.prepared, labels.train),
        cross_validated=judged,
    )
    assert {name: found[name] for name in expected} == expected
    assert set(found) == OF_TEST | set(expected) | {f"k_feature_accuracy_{k}" for k in few}
    assert ("wrong_auroc_means_frozen" in found) == (settings is FROZEN)
    for name in found:
        measure_of(name)


def test_each_row_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reader = reader_of(**WHOLE)
    seen: list[Tensor] = []
    plain = Reader.batches

    def follow(self: Reader, rows: Tensor) -> Iterator[Any]:
        seen.append(rows)
        return plain(self, rows)

    monkeypatch.setattr(Reader, "batches", follow)
    measures_of(reader)
    labels = reader.prepared.labels
    assert (
        torch.cat(seen).sort().values.equal(torch.cat([labels.train, labels.test, labels.held_out]).sort().values)
    )


def test_what_was_right() -> None:
    reader = reader_of(**WHOLE)
    rows = reader.prepared.labels.test
    measures, found = measures_and_right(reader)
    said = torch.cat([logits for *_, logits in reader.batches(rows)]).argmax(1)
    assert found["accuracy"].tolist() == [
        int(one) == int(reader.prepared.labels.true[row]) for one, row in zip(said, rows, strict=True)
    ]
    assert set(found) == {"accuracy"} | REMOVED | {f"k_feature_accuracy_{k}" for k in (1, 5, 20)}
    for name, right in found.items():
        assert right.dtype == torch.bool
        assert right.shape == rows.shape
        assert float(right.double().mean()) == pytest.approx(measures[name])


def test_what_is_kept_is_what_passed() -> None:
    reader = reader_of(**WHOLE)
    recorder = Recorder(reader)
    assert len(recorder.last.rows) == 0
    rows = torch.arange(300).flip(0)
    read, logits = [], []
    for _, _, heard, said in recorder.batches(rows):
        read.append(heard.clone())
        logits.append(said.clone())
    assert len(read) == 2
    assert torch.equal(recorder.last.rows, rows)
    assert torch.equal(recorder.last.read, torch.cat(read))
    assert torch.equal(recorder.last.logits, torch.cat(logits))
    assert list(recorder.batches(rows[:0])) == []
    assert recorder.last.read.shape == (0, reader.classifier.in_features)


def test_nothing_held_out_and_nothing_wrong() -> None:
    found = measures_of(untrained())
    assert set(found) >= OF_TEST | REMOVED
    assert not set(found) & STRANGE
    assert not any(name.startswith(("wrong_", "robust_")) for name in found)


def test_one_class_held_out_makes_no_task() -> None:
    found = measures_of(untrained(holdout_classes=1))
    assert set(found) & STRANGE == {"ood_auroc", "ood_auroc_logit"}


def test_two_classes_and_few_features() -> None:
    found = measures_of(untrained(holdout_classes=8, label_noise=0.2, width=4), robust=True, attacked=20)
    assert set(found) >= OF_TEST | REMOVED | STRANGE | {"wrong_auroc_own", "robust_l2_0.125", "robust_linf_1/255"}
    assert "k_feature_accuracy_20" not in found
    assert all(0 <= value <= 1 for name, value in found.items() if name not in ("negative_log_likelihood",
               "coverage_divergence", "dead_features"))  # fmt: skip


def test_groups_as_target_leave_the_classes_for_transfer() -> None:
    reader = untrained(target="groups:2", holdout_classes=4)
    prepared = reader.prepared
    assert prepared.num_classes == 2
    read = read_rows(reader, prepared.labels.held_out).read
    classes = prepared.images.labels[prepared.labels.held_out]
    assert len(classes.unique()) == 4
    assert measures_of(reader)["few_shot_accuracy"] == few_shot_accuracy(read, classes, prepared.recipe.seed)


def test_without_test_images_there_is_nothing_to_measure() -> None:
    reader = untrained()
    labels = replace(reader.prepared.labels, test=torch.empty(0, dtype=torch.long))
    reader.prepared.labels = labels
    with pytest.raises(ValueError, match="reader: its recipe holds out no test image"):
        measures_of(reader)


def test_frozen_maps_and_tokens_are_averaged() -> None:
    prepared = prepared_of()
    assert frozen_features(prepared, torch.arange(3)) is None
    prepared.cached = True
    maps = torch.rand(5, 4, 2, 3)
    prepared.inputs = maps
    torch.testing.assert_close(frozen_features(prepared, torch.tensor([4, 0])), maps[[4, 0]].flatten(2).mean(2))
    prepared.inputs = maps.flatten(2)  # tokens
    torch.testing.assert_close(frozen_features(prepared, torch.arange(2)), maps.flatten(2)[:2].mean(1))


def test_the_table_of_measures() -> None:
    names = ["accuracy", "robust_l2_0.125", "robust_linf_1/255", "accuracy_without_80", "k_feature_accuracy_5",
             "wrong_auroc_means_frozen", "step_ms", "memory_mb"]  # fmt: skip
    labels = [measure_of(name).label for name in names]
    assert labels[1:5] == [
        "robust accuracy, L2 0.125",
        "robust accuracy, L-infinity 1/255",
        "accuracy without 80% of the features",
        "5-feature accuracy",
    ]
    assert len(set(labels)) == len(names)
    assert all("{" not in label for label in labels)
    assert measure_of("accuracy").band == 0.002
    assert (
        measure_of("step_ms").better
        == measure_of("memory_mb").better
        == measure_of("calibration_error").better
        == -1
    )
    assert relative_band("step_ms", 10.0) == pytest.approx(0.2)
    assert relative_band("robust_l2_1", 0.5) == measure_of("robust_l2_1").band
    for name, one in MEASURES.items():
        assert one.scale in (1, 100), name
        assert (one.scale == 100) == (one.unit == "%"), name


@pytest.mark.parametrize("name", ["acuracy", "robust_l2_", "k_feature_accuracy_"])
def test_no_such_measure(name: str) -> None:
    with pytest.raises(ValueError, match=f"name: no measure is called '{name}'"):
        measure_of(name)
