"""What any metric must survive: batches, merging, saving, other processes and devices, and wrong input."""

import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

pytest.importorskip("torchmetrics")

from torchmetrics import Metric, MetricCollection

from metric_cases import GIVEN, MAKERS, C, D, batches, every, fed, linear, same
from torchdiscern.metrics import (
    CoverageDivergence,
    Impurity,
    KFeatureAccuracy,
)


@every
def test_reset(name: str) -> None:
    of = batches()
    metric = fed(MAKERS[name](), of[:2])
    metric.reset()
    same(fed(metric, of[2:]).compute(), fed(MAKERS[name](), of[2:]).compute())


@every
def test_pickled_mid_stream(name: str) -> None:
    of = batches()
    metric = pickle.loads(pickle.dumps(fed(MAKERS[name](), of[:2])))
    same(fed(metric, of[2:]).compute(), fed(MAKERS[name](), of).compute())


@every
def test_merged(name: str) -> None:
    of = batches()
    metric = fed(MAKERS[name](), of[:1])
    metric.merge_state(fed(MAKERS[name](), of[1:]))
    same(metric.compute(), fed(MAKERS[name](), of).compute())


@every
def test_merged_after_a_value_was_computed(name: str) -> None:
    of = batches()
    metric = fed(MAKERS[name](), of[:1])
    metric.compute()
    metric.merge_state(fed(MAKERS[name](), of[1:]))
    same(metric.compute(), fed(MAKERS[name](), of).compute())


def test_signed_and_absolute_sums_do_not_merge() -> None:
    of = batches()
    with pytest.raises(ValueError, match="absolute_sums"):
        fed(Impurity(C, D), of).merge_state(fed(Impurity(C, D, "entropy"), of))


@every
@pytest.mark.filterwarnings("ignore:The ``compute`` method of metric:UserWarning")
def test_nothing_to_compute_is_an_error(name: str) -> None:
    metric = fed(MAKERS[name](), batches())
    metric.reset()
    with pytest.raises(
        ValueError, match=r"^compute: got no sample since .*; call update\(features, target\) first\.$"
    ):
        metric.compute()


@every
def test_saved_and_restored_mid_stream(name: str) -> None:
    of = batches()
    saved, metric = fed(MAKERS[name](), of[:2]), MAKERS[name]()
    saved.persistent(True)
    metric.load_state_dict(saved.state_dict())
    same(fed(metric, of[2:]).compute(), fed(MAKERS[name](), of).compute())


def test_a_collection_shares_sums_and_nothing_else() -> None:
    first, *rest = batches()
    of = [(first[0].abs(), first[1]), *rest]  # without a negative value signed and absolute sums are the same
    collection = MetricCollection({name: make() for name, make in MAKERS.items()})
    for batch in of:
        collection.update(*batch)
    groups = sorted(sorted(group) for group in collection.compute_groups.values())
    assert groups == [sorted(set(MAKERS) - {"entropy", "k"}), ["entropy"], ["k"]]
    for name, value in collection.compute().items():
        same(value, fed(MAKERS[name](), of).compute())


@pytest.mark.parametrize(("k", "bias"), [(2, [0.0, 0.0]), (1, [0.0, 1.5])])
def test_a_collection_tells_heads_apart(k: int, bias: list[float]) -> None:
    weight = torch.tensor([[3.0, 1.0], [0.0, 2.0]])
    collection = MetricCollection(
        {
            "one": KFeatureAccuracy(torch.ones(2, 2), weight, None, k=1),
            "other": KFeatureAccuracy(torch.ones(2, 2), weight, torch.tensor(bias), k=k),
        }
    )
    collection.update(torch.tensor([[1.0, 0.0]]), torch.tensor([0]))  # both are right
    collection.update(torch.tensor([[1.0, 1.9], [1.0, 1.0]]), torch.tensor([0, 0]))
    found = {name: round(3 * float(value)) for name, value in collection.compute().items()}
    assert found == {"one": 2, "other": 3 if k == 2 else 1}


def test_forward_and_merging_leave_the_head_as_it_is() -> None:
    metric, fresh = MAKERS["k"](), MAKERS["k"]()
    metric(*batches()[0])
    metric(*batches()[2])
    metric.merge_state(fed(MAKERS["k"](), batches()))
    same((metric.kept, metric.bias), (fresh.kept, fresh.bias))


@pytest.mark.parametrize("as_state", [False, True])
def test_samples_of_another_head_are_not_merged(as_state: bool) -> None:
    means, weight, bias = linear()
    other = fed(KFeatureAccuracy(means, -weight, bias, k=2), batches())
    metric = fed(MAKERS["k"](), batches())
    with pytest.raises(ValueError, match=r"^incoming_state: .*; merge metrics that were made with the same arg"):
        metric.merge_state(other.metric_state if as_state else other)
    same(metric.compute(), fed(MAKERS["k"](), batches()).compute())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int32])
@pytest.mark.parametrize("name", ["gini", "k"])
def test_any_integer_target(name: str, dtype: torch.dtype) -> None:
    of = batches()
    narrow = [(features, target.to(dtype)) for features, target in of]
    same(fed(MAKERS[name](), narrow).compute(), fed(MAKERS[name](), of).compute())


@every
def test_forward_gives_the_batch_and_accumulates(name: str) -> None:
    of = batches()
    metric = MAKERS[name]()
    for batch in of:
        if name == "selectivity" and len(batch[1]) == 1:
            metric.update(*batch)
            continue
        features, target = batch
        same(metric(features.requires_grad_(), target), fed(MAKERS[name](), [batch]).compute())
    found = metric.compute()
    same(found, fed(MAKERS[name](), of).compute())
    assert not any(value.requires_grad for value in (found if isinstance(found, tuple) else (found,)))


def _rank(rank: int, file: str, out: str) -> None:
    torch.set_num_threads(1)
    timeout = timedelta(seconds=60)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=2, timeout=timeout)
    of = batches()
    halves = {"uneven": (of[1:2], of[:1] + of[2:]), "none": ([], of)}  # one sample, hence one class; no sample
    found = {
        (split, name): fed(make(), parts[rank]).compute()
        for split, parts in halves.items()
        for name, make in MAKERS.items()
    }
    torch.save(found, f"{out}{rank}")
    dist.barrier()
    os._exit(0)  # torch 2.6 sometimes waits for ever where the group is destroyed


def test_two_processes_are_one(tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    spawn(_rank, (str(tmp_path / "meet"), out), nprocs=2)
    for rank in range(2):
        found = torch.load(f"{out}{rank}", weights_only=False)
        assert len(found) == 2 * len(MAKERS)
        for (_, name), value in found.items():
            same(value, fed(MAKERS[name](), batches()).compute())


def test_the_sums_stay_float64() -> None:
    metric = Impurity(C, D).half().to(torch.bfloat16)
    features, target = batches()[0]
    metric.update(features.bfloat16(), target)
    assert metric.sums.dtype == metric.compute().dtype == torch.float64
    metric.set_dtype(torch.float32)
    assert metric.sums.dtype == torch.float32


def test_moved_to_another_device() -> None:
    metric = CoverageDivergence(C, D, GIVEN).to("meta")
    assert metric.shares is not None
    assert {x.device.type for x in (metric.sums, metric.counts, metric.shares)} == {"meta"}
    with pytest.raises(ValueError, match=r"^features: got a tensor on cpu with the metric on meta, expected"):
        metric.update(torch.ones(1, D), torch.tensor([0]))


MEANS, WEIGHT, BIAS = linear()


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: Impurity(1, D), ValueError, "num_classes: got 1"),
        (lambda: Impurity(C, 0), ValueError, "num_features: got 0"),
        (lambda: Impurity(C, D, "ginny"), ValueError, "kind: got 'ginny'"),  # type: ignore[arg-type]
        (lambda: Impurity(C, D, feature_dim=1.5), TypeError, "feature_dim: got 1.5"),
        (lambda: Impurity(C, D, eps=0), ValueError, "eps: got 0"),
        (lambda: CoverageDivergence(C, D, "even"), ValueError, "prior: got 'even'"),
        (lambda: CoverageDivergence(C, D, torch.ones(C)), ValueError, "prior: its shares sum to 4"),
        (lambda: KFeatureAccuracy(MEANS, WEIGHT, BIAS, 0), ValueError, "k: got 0"),
        (lambda: KFeatureAccuracy(MEANS, WEIGHT, BIAS, D + 1), ValueError, "k: got 8, expected at most 7"),
        (lambda: KFeatureAccuracy(MEANS[:2], WEIGHT, BIAS, 1), ValueError, r"class_means: got shape \[2, 7\]"),
        (lambda: KFeatureAccuracy(MEANS, WEIGHT.long(), BIAS, 1), TypeError, "weight: got a tensor of shape"),
        (lambda: KFeatureAccuracy(MEANS, WEIGHT[0], BIAS, 1), ValueError, r"weight: got shape \[7\]"),
        (lambda: KFeatureAccuracy(MEANS, WEIGHT, BIAS[:1], 1), ValueError, r"bias: got shape \[1\]"),
    ],
)
def test_errors_when_made(make: Callable[[], Metric], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=f"^{text}.*; .*[.?]$"):
        make()


@pytest.mark.parametrize("name", ["gini", "k"])
@pytest.mark.parametrize(
    ("features", "target", "error", "text"),
    [
        ([[1.0]], [0], TypeError, "features: got a list"),
        (torch.ones(2, D), torch.tensor([0, C]), ValueError, "target: got class index 4"),
        (torch.ones(2, D), torch.tensor([0]), ValueError, "target: got 1 class indices for 2 samples"),
        (torch.ones(2, D - 1), torch.tensor([0, 1]), ValueError, "features: got 6 features on axis 1"),
    ],
)
def test_errors_of_an_update(name: str, features: Any, target: Any, error: type[Exception], text: str) -> None:
    metric = MAKERS[name]()
    with pytest.raises(error, match=f"^{text}.*; .*[.]$"):
        metric.update(features, target)


def test_without_torchmetrics() -> None:
    code = "import sys; sys.modules['torchmetrics'] = None; import torchdiscern.metrics"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "ModuleNotFoundError: torchdiscern.metrics needs torchmetrics; "
        "install it with: pip install 'torchdiscern[metrics]'"
    )
