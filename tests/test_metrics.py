"""Streamed metrics against the functional core on the concatenated data, and against plain loops."""

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
from torch import Tensor
from torch.multiprocessing.spawn import spawn

pytest.importorskip("torchmetrics")

from torchmetrics import Metric, MetricCollection

from torchdiscern import functional
from torchdiscern.metrics import (
    ClassMeans,
    ClassSelectivity,
    CoverageDivergence,
    DeadFeatures,
    Impurity,
    KFeatureAccuracy,
    Owners,
)

C, D = 4, 7
SIZES = (5, 1, 9, 3)
GIVEN = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
KINDS: list[functional.Impurity] = ["gini", "entropy", "renyi", "shannon"]
Batch = tuple[Tensor, Tensor]


def batches(classes: int = C) -> list[Batch]:
    generator = torch.Generator().manual_seed(3)
    found = []
    for size in SIZES:
        features = torch.rand(size, D, 2, 3, generator=generator, dtype=torch.float64) - 0.4
        features[:, 2] = 0
        found.append((features, torch.randint(classes, (size,), generator=generator)))
    return found


def whole(of: list[Batch]) -> Batch:
    return torch.cat([x for x, _ in of]), torch.cat([y for _, y in of])


def linear() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    shapes = ((C, D), (C, D), (C,))
    means, weight, bias = (torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes)
    return means, weight, bias


MAKERS: dict[str, Callable[[], Metric]] = {
    **{kind: lambda kind=kind: Impurity(C, D, kind) for kind in KINDS},  # type: ignore[misc]
    "batch": lambda: CoverageDivergence(C, D),
    "uniform": lambda: CoverageDivergence(C, D, "uniform"),
    "given": lambda: CoverageDivergence(C, D, GIVEN),
    "means": lambda: ClassMeans(C, D),
    "owners": lambda: Owners(C, D),
    "dead": lambda: DeadFeatures(C, D),
    "selectivity": lambda: ClassSelectivity(C, D),
    "k": lambda: KFeatureAccuracy(*linear(), k=2),
}
every = pytest.mark.parametrize("name", MAKERS)


def fed(metric: Metric, of: list[Batch]) -> Metric:
    for features, target in of:
        metric.update(features, target)
    return metric


def same(found: Any, expected: Any) -> None:
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("classes", [C, C - 1])  # all, and one without samples
@pytest.mark.parametrize("kind", KINDS)
def test_impurity_is_the_terms(kind: functional.Impurity, classes: int) -> None:
    of = batches(classes)
    same(fed(Impurity(C, D, kind), of).compute(), functional.terms(*whole(of), C, impurity=kind).impurity)


@pytest.mark.parametrize("classes", [C, C - 1])
@pytest.mark.parametrize("prior", ["batch", "uniform", GIVEN])
def test_coverage_is_the_terms(prior: str | Tensor, classes: int) -> None:
    of = batches(classes)
    expected = functional.terms(*whole(of), C, prior=prior).coverage_divergence
    same(fed(CoverageDivergence(C, D, prior), of).compute(), expected)


@pytest.mark.parametrize("kind", ["gini", "renyi", "shannon"])
def test_damped_terms_are_those_of_the_loss(kind: functional.Impurity) -> None:
    of = batches()
    expected = functional.terms(*whole(of), C, impurity=kind, damping=0.1)
    same(fed(Impurity(C, D, kind, damping=0.1), of).compute(), expected.impurity)
    same(fed(CoverageDivergence(C, D, damping=0.1), of).compute(), expected.coverage_divergence)


@pytest.mark.parametrize("prior", ["batch", "uniform", GIVEN])
def test_coverage_of_the_softmax_is_that_of_the_terms(prior: str | Tensor) -> None:
    of = batches(C - 1)
    expected = functional.terms(*whole(of), C, impurity="entropy", prior=prior).coverage_divergence
    same(fed(CoverageDivergence(C, D, prior, softmax=True), of).compute(), expected)


def test_class_means_are_the_functional_ones() -> None:
    of = batches(C - 1)
    features, target = whole(of)
    for signed in (False, True):
        a = functional.activation(features, signed=signed)
        same(fed(ClassMeans(C, D, signed=signed), of).compute(), functional.class_means(a, target, C))


def test_every_kind_of_target() -> None:
    generator = torch.Generator().manual_seed(5)
    metric, parts = Impurity(C, D), []
    for features, _ in batches():
        share = torch.rand(len(features), C, generator=generator, dtype=torch.float64)
        weight = torch.rand(len(features), generator=generator, dtype=torch.float64)
        metric.update(features, share, weight=weight)
        parts.append((features, share, weight))
    x, share, weight = (torch.cat(part) for part in zip(*parts, strict=True))
    same(metric.compute(), functional.terms(x, share, C, weight=weight).impurity)
    features, target = batches()[2]
    marked, kept = target.clone(), torch.arange(len(target)) > 2
    marked[~kept] = -100
    same(
        fed(Impurity(C, D), [(features, marked)]).compute(),
        functional.terms(features[kept], target[kept], C).impurity,
    )
    tokens, labels = torch.rand(2, 5, D, dtype=torch.float64), torch.randint(C, (2, 5), generator=generator)
    padded = torch.arange(5) < torch.tensor([[3], [5]])
    metric = Impurity(C, D, feature_dim=-1)
    metric.update(tokens, labels, mask=padded)
    same(metric.compute(), functional.terms(tokens, labels, C, feature_dim=-1, mask=padded).impurity)


def test_dead_features_are_those_of_the_terms() -> None:
    of = batches()
    found = fed(DeadFeatures(C, D), of).compute()
    assert int(found) == 1
    same(found.double() / D, functional.terms(*whole(of), C).dead_share)


def test_feature_dim() -> None:
    of = batches()
    metric = Impurity(C, D, feature_dim=-1)
    for features, target in of:
        metric.update(features.movedim(1, -1), target)
    same(metric.compute(), fed(Impurity(C, D), of).compute())


def plain_means(of: list[Batch]) -> list[list[float] | None]:
    features, target = whole(of)
    a = features.abs().mean((2, 3))
    rows: list[list[float] | None] = []
    for c in range(C):
        mine = [a[i] for i in range(len(a)) if target[i] == c]
        rows.append([float(sum(row[j] for row in mine)) / len(mine) for j in range(D)] if mine else None)
    return rows


@pytest.mark.parametrize("classes", [C, C - 1])
def test_selectivity_is_the_plain_loop(classes: int) -> None:
    of = batches(classes)
    means = [row for row in plain_means(of) if row is not None]
    values = []
    for j in range(D):
        column = sorted(row[j] for row in means)
        if column[-1] == 0:
            continue
        rest = sum(column[:-1]) / (len(column) - 1)
        values.append((column[-1] - rest) / (column[-1] + rest))
    expected = torch.tensor(sum(values) / len(values), dtype=torch.float64)
    torch.testing.assert_close(fed(ClassSelectivity(C, D), of).compute(), expected, rtol=0, atol=1e-9)


def test_selectivity_of_one_class_is_nan() -> None:
    assert fed(ClassSelectivity(C, D), batches(1)).compute().isnan()


@pytest.mark.parametrize("classes", [C, C - 1])
def test_owners_are_the_plain_loop(classes: int) -> None:
    of = batches(classes)
    means = [row or [0.0] * D for row in plain_means(of)]
    found = fed(Owners(C, D), of).compute()
    owned = [0] * C
    for j in range(D):
        column = [row[j] for row in means]
        best = max(range(C), key=column.__getitem__)
        if column[best] == 0:
            assert (int(found.owner[j]), float(found.share[j])) == (-1, 0)
            continue
        owned[best] += 1
        assert int(found.owner[j]) == best
        assert float(found.share[j]) == pytest.approx(column[best] / sum(column), abs=1e-8)
    assert found.owned.tolist() == owned


def test_a_signed_owner_is_a_class_with_samples() -> None:
    metric = Owners(3, 2, signed=True)
    metric.update(torch.tensor([[-1.0, -2.0], [-2.0, -1.0]]), torch.tensor([0, 1]))
    assert metric.compute().owner.tolist() == [0, 1]


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("k", [1, 3, D])
def test_k_feature_accuracy_is_the_plain_loop(k: int, biased: bool) -> None:
    of = batches()
    means, weight, bias = linear()
    features, target = whole(of)
    a = features.mean((2, 3))
    hits = 0
    for i in range(len(a)):
        logits = []
        for c in range(C):
            order = sorted(range(D), key=lambda j: -float(weight[c, j] * means[c, j]))
            logit = sum(float(weight[c, j] * a[i, j]) for j in order[:k])
            logits.append(logit + (float(bias[c]) if biased else 0))
        hits += max(range(C), key=logits.__getitem__) == int(target[i])
    found = fed(KFeatureAccuracy(means, weight, bias if biased else None, k), of).compute()
    assert float(found) == pytest.approx(hits / len(a), abs=1e-6)


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


def test_impurity_of_each_feature() -> None:
    of = batches()
    P = functional.class_distribution(*whole(of), C)
    same(fed(Impurity(C, D, per_feature=True), of).compute(), functional.impurity(P))


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
