"""Metrics of a whole data set against the functional core on the concatenated data, and against plain loops."""

import pytest
import torch
from torch import Tensor

pytest.importorskip("torchmetrics")


from metric_cases import GIVEN, KINDS, Batch, C, D, batches, fed, linear, same, whole
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


def test_impurity_of_each_feature() -> None:
    of = batches()
    P = functional.class_distribution(*whole(of), C)
    same(fed(Impurity(C, D, per_feature=True), of).compute(), functional.impurity(P))
