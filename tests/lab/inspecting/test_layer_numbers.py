import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from seen_cases import EDGES, random_seen, seen_of

from torchdiscern import functional
from torchdiscern.lab.inspecting import blocks, layer_numbers, likeness
from torchdiscern.lab.inspecting.layer_numbers import numbers_of
from torchdiscern.lab.inspecting.removed_one import accuracy_change
from torchdiscern.lab.inspecting.seen import Seen
from torchdiscern.lab.inspecting.share_intervals import draws_of, share_intervals
from torchdiscern.lab.report.contents import Examples, Histograms, Layer
from torchdiscern.metrics import CoverageDivergence, DeadFeatures, Impurity, Owners


def layer_of(seed: int) -> tuple[Seen, Layer]:
    seen = random_seen(seed)
    return seen, numbers_of(seen, 0)


@pytest.mark.parametrize("seed", range(3))
def test_the_numbers_of_the_metrics_are_theirs(seed: int) -> None:
    seen, layer = layer_of(seed)
    a, y = torch.from_numpy(seen.layers[0].activation).double(), torch.from_numpy(seen.labels)
    sizes = seen.num_classes, a.shape[1]

    def of(metric: Impurity | CoverageDivergence | DeadFeatures | Owners) -> object:
        metric.update(a, y)
        return metric.compute()

    owners = of(Owners(*sizes))
    exact = {"rtol": 0, "atol": 1e-13}
    for found, expected in (
        (layer.distribution, functional.class_distribution(a, y, seen.num_classes)),
        (layer.owner, owners.owner),  # type: ignore[attr-defined]
        (layer.share, owners.share),  # type: ignore[attr-defined]
        (layer.impurity, of(Impurity(*sizes, "gini", per_feature=True))),
        (layer.impurity_renyi, of(Impurity(*sizes, "renyi", per_feature=True))),
        (layer.divergence, of(CoverageDivergence(*sizes))),
        (layer.dead.sum(), of(DeadFeatures(*sizes))),
    ):
        np.testing.assert_allclose(found, expected, **exact)  # type: ignore[call-overload]
    assert layer.dead.any()
    assert not layer.dead.all()


@pytest.mark.parametrize("seed", range(3))
def test_shares_by_plain_loops(seed: int) -> None:
    seen, layer = layer_of(seed)
    a, y = seen.layers[0].activation.astype(float), seen.labels.tolist()
    C, D = seen.num_classes, a.shape[1]
    M = np.array(
        [[np.mean([a[i, j] for i in range(len(y)) if y[i] == c] or 0) for j in range(D)] for c in range(C)]
    )
    P = np.array([[m / (total or 1) for m, total in zip(row, M.sum(0), strict=True)] for row in M])
    np.testing.assert_allclose(layer.distribution, P, atol=1e-9)
    np.testing.assert_allclose(layer.mean, [np.mean(a[:, j]) for j in range(D)])
    np.testing.assert_allclose(layer.firing, [np.mean([x > 0 for x in a[:, j]]) for j in range(D)])
    np.testing.assert_allclose(layer.coverage, P.sum(1) / P.sum(), atol=1e-9)
    np.testing.assert_allclose(layer.prior, [y.count(c) / len(y) for c in range(C)])
    effective = [1 / sum(p * p for p in P[:, j]) if P[:, j].any() else 0 for j in range(D)]
    np.testing.assert_allclose(layer.effective, effective, rtol=1e-8)
    assert layer.broken is seen.layers[0].broken
    t, q = layer.prior, layer.coverage
    assert layer.divergence == pytest.approx(sum(x * math.log(x / z) for x, z in zip(t, q, strict=True) if x))


@pytest.mark.parametrize("own", [False, True])
def test_blocks_change_nothing(own: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = random_seen(5, own=own)
    whole = numbers_of(seen, 0)
    monkeypatch.setattr(blocks, "CELLS", 40)
    monkeypatch.setattr(layer_numbers, "CELLS", 2 * seen.num_classes * 200)
    monkeypatch.setattr(likeness, "PRODUCTS", 14)
    for name, found in parts(numbers_of(seen, 0)).items():
        np.testing.assert_allclose(found, parts(whole)[name], atol=1e-6, err_msg=name)


def parts(layer: Layer) -> dict[str, np.ndarray]:
    """Every array of a layer's numbers."""
    found: dict[str, np.ndarray] = {}
    for field in fields(layer):
        value = getattr(layer, field.name)
        if isinstance(value, Examples | Histograms):
            found |= {f"{field.name}.{part.name}": getattr(value, part.name) for part in fields(value)}
        elif field.name != "name":
            found[field.name] = value
    return {name: np.asarray(value) for name, value in found.items() if value is not None}


def test_histograms_are_those_of_owner_and_rest() -> None:
    seen, layer = layer_of(1)
    for j, a in enumerate(seen.layers[0].activation.T):
        edges, owner, rest = (
            x[j] for x in (layer.histograms.edges, layer.histograms.owner, layer.histograms.rest)
        )
        assert len(owner) == len(rest) == len(edges) - 1 == 24
        assert edges[0] == 0
        assert edges[-1] == a.max()
        if layer.dead[j]:
            assert not owner.any()
            assert not rest.any()
            continue
        own = seen.labels == layer.owner[j]
        for found, values in ((owner, a[own]), (rest, a[~own])):
            expected, grid = np.histogram(values, bins=24, range=(0, float(a.max())))
            np.testing.assert_allclose(found, expected / len(values), atol=1e-7)
            np.testing.assert_allclose(edges, grid, atol=1e-5)


def test_intervals_by_plain_loops() -> None:
    rng = np.random.default_rng(0)
    counts = [3, 0, 5, 1]
    begins = np.cumsum([0, *counts])
    a = (rng.exponential(size=(2, 9)) * (rng.random((2, 9)) < 0.8)).astype(np.float32)
    draws = draws_of(begins, 3)
    low, high = share_intervals(a, begins, draws)
    # sqrt(n / (n - 1)) t / z, from a table of Student's t
    stretch = [math.sqrt(3 / 2) * 4.302653 / 1.959964, 0, math.sqrt(5 / 4) * 2.776445 / 1.959964, 1]
    for j in range(2):
        replicates = []
        for weight in draws.T.astype(float):
            means = []
            for c, n in enumerate(counts):
                images = range(begins[c], begins[c + 1])
                means.append(sum(a[j, i] * (1 + stretch[c] * (weight[i] - 1)) for i in images) / max(n, 1))
            means = [max(0.0, mean) for mean in means]
            replicates.append([mean / (sum(means) or 1) for mean in means])
        np.testing.assert_allclose(low[:, j], np.quantile(replicates, 0.025, axis=0), atol=1e-5)
        np.testing.assert_allclose(high[:, j], np.quantile(replicates, 0.975, axis=0), atol=1e-5)


def test_each_replicate_resamples_each_class_to_its_size() -> None:
    begins = np.array([0, 4, 4, 5, 30])
    draws = draws_of(begins, 0)
    assert (draws[:4].sum(0) == 4).all()
    assert (draws[4] == 1).all()
    assert (draws[5:].sum(0) == 25).all()
    np.testing.assert_allclose(draws[5:].mean(1), 1, atol=0.3)
    assert np.array_equal(draws, draws_of(begins, 0))
    assert not np.array_equal(draws, draws_of(begins, 1))


@pytest.mark.parametrize("images", [5, 40])
def test_intervals_cover_the_true_shares_about_as_often_as_they_say(images: int) -> None:
    rng = np.random.default_rng(images)
    true = np.linspace(0.4, 2, 5)
    a = (rng.exponential(size=(400, 5, images)) * true[:, None]).reshape(400, -1).astype(np.float32)
    begins = images * np.arange(6)
    low, high = share_intervals(a, begins, draws_of(begins, 0))
    share = (true / true.sum())[:, None]
    covered = ((low <= share) & (share <= high)).mean()
    assert 0.90 < covered < 0.985


def test_intervals_hold_the_shares_and_narrow_with_more_images() -> None:
    widths = []
    for images in (100, 1600):
        seen = random_seen(2, images=images)
        layer = numbers_of(seen, 0)
        assert (layer.low >= 0).all()
        assert (layer.high <= 1).all()
        assert (layer.low <= layer.distribution).all()
        assert (layer.high >= layer.distribution).all()
        assert not layer.high[-1].any()  # no image
        assert not layer.high[:, layer.dead].any()
        widths.append((layer.high - layer.low)[:-1, ~layer.dead].mean())
    assert 3 < widths[0] / widths[1] < 6  # 4 by the root of 16


def test_top_examples_are_the_first_eight_seen() -> None:
    seen, layer = layer_of(0)
    rows, activations, maps = seen.layers[0].top
    assert maps is not None
    for found, given in ((layer.top.rows, rows), (layer.top.activations, activations), (layer.top.maps, maps)):
        assert found is not None
        assert np.array_equal(found, given[:, :8])


def test_random_examples_are_drawn_from_the_pool_for_each_feature() -> None:
    pool = list(range(1, 60, 2))
    seen = random_seen(3, features=400, pool=pool)
    found = numbers_of(seen, 0).random
    check_examples(seen, found)
    assert all(len(set(row)) == 8 for row in found.rows.tolist())
    assert len({tuple(row) for row in found.rows.tolist()}) > 390
    counts = np.bincount(found.rows.ravel(), minlength=60)[pool]
    assert counts.min() > 0.6 * counts.mean()
    assert np.array_equal(found.rows, numbers_of(seen, 0).random.rows)


def test_middling_examples_fire_nearest_to_the_median() -> None:
    pool = list(range(0, 60, 3))
    seen = random_seen(4, pool=pool)
    layer = numbers_of(seen, 0)
    check_examples(seen, layer.middling)
    for j, a in enumerate(seen.layers[0].activation.T.astype(float)):
        firing = [place for place in pool if a[place] > 0]
        median = np.median(a[a > 0]) if firing else 0
        expected = sorted(firing, key=lambda place: abs(a[place] - median))[:8]
        assert [row for row in layer.middling.rows[j].tolist() if row >= 0] == expected
    assert (layer.middling.rows[layer.dead] == -1).all()


def check_examples(seen: Seen, found: Examples) -> None:
    """Activations and maps are those of the rows."""
    layer, pool = seen.layers[0], seen.pool.tolist()
    assert found.maps is not None
    assert layer.pool_maps is not None
    assert found.rows.shape == found.activations.shape == (layer.activation.shape[1], 8)
    for j, rows in enumerate(found.rows.tolist()):
        for at, row in enumerate(rows):
            expected = layer.pool_maps[pool.index(row), j] if row >= 0 else 0
            assert (found.maps[j, at] == expected).all()
            assert found.activations[j, at] == (layer.activation[row, j] if row >= 0 else 0)


def test_examples_of_a_layer_without_positions_have_no_maps() -> None:
    layer = numbers_of(random_seen(0, maps=False), 0)
    assert layer.top.maps is None
    assert layer.random.maps is None
    assert layer.middling.maps is None


def test_nearest_features_are_those_that_correlate_most() -> None:
    seen = random_seen(6, features=12)
    seen.layers[0].activation[:, 3] = 0.1  # constant, and no float64 mean of it is exact
    layer = numbers_of(seen, 0)
    a = seen.layers[0].activation.astype(float)
    live = [j for j in range(12) if a[:, j].min() < a[:, j].max()]
    assert len(live) == 10
    for j in range(12):
        if j not in live:
            assert (layer.nearest[j] == -1).all()
            assert not layer.likeness[j].any()
            continue
        likeness_of = {k: np.corrcoef(a[:, j], a[:, k])[0, 1] for k in live if k != j}
        expected = sorted(likeness_of, key=lambda k: -likeness_of[k])[:5]
        assert layer.nearest[j].tolist() == expected
        np.testing.assert_allclose(layer.likeness[j], [likeness_of[k] for k in expected], atol=1e-5)


def test_a_feature_and_its_double_are_most_alike() -> None:
    a = np.array([[1.0, 2.0, 5.0], [2.0, 4.0, 1.0], [0.0, 0.0, 7.0], [5.0, 10.0, 1.0]])
    layer = numbers_of(seen_of(a, [0, 0, 1, 1], 2), 0)
    assert layer.nearest[:2, 0].tolist() == [1, 0]
    assert layer.likeness[0, 0] == pytest.approx(1)
    assert layer.nearest[0].tolist() == [1, 2, -1, -1, -1]


def loop_of(seen: Seen, weight: np.ndarray, bias: np.ndarray) -> list[float]:
    read = seen.read.astype(float)

    def accuracy(features: np.ndarray) -> float:
        return float(((features @ weight.T + bias).argmax(1) == seen.labels).mean())

    found = []
    for j in range(read.shape[1]):
        without = read.copy()
        without[:, j] = 0
        found.append(accuracy(without) - accuracy(read))
    return found


@pytest.mark.parametrize("seed", range(6))
def test_removal_by_the_plain_loop(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "CELLS", 100)
    seen = random_seen(seed, images=300, own=True)
    assert seen.weight is not None
    assert seen.bias is not None
    found = numbers_of(seen, 0).removal
    assert found is not None
    np.testing.assert_allclose(
        found, loop_of(seen, seen.weight.astype(float), seen.bias.astype(float)), atol=1e-12
    )
    assert found.min() < 0
    assert found[seen.read.shape[1] // 2] == 0  # dead


@pytest.mark.parametrize("seed", range(4))
def test_removal_from_nearest_class_means_by_the_plain_loop(seed: int) -> None:
    seen = random_seen(seed, images=200)  # a class without images
    means = np.array([seen.read[seen.labels == c].astype(float).mean(0) for c in range(3)])
    found = numbers_of(seen, 0).removal
    expected = loop_of(seen, means, -np.square(means).sum(1) / 2)
    np.testing.assert_allclose(found, expected, atol=1e-12)  # type: ignore[arg-type]


def test_removal_where_logits_tie() -> None:
    read = np.array([[1.0, 1.0], [2.0, 0.0], [1.0, 3.0]], np.float32)
    weight = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    labels = np.array([1, 0, 2])
    # without the first: 0 1 0, 0 0 0, 0 3 0; without the second: 1 0 1, 2 0 2, 1 0 1; of equals the first wins
    assert accuracy_change(read, labels, weight, np.zeros(3)).tolist() == pytest.approx([1 / 3, 0])


def test_only_the_layer_that_is_read_has_a_removal_effect() -> None:
    seen = random_seen(0, earlier=np.ones((60, 3)))
    assert numbers_of(seen, 0).removal is None
    assert numbers_of(seen, 1).removal is not None
    assert numbers_of(replace(seen, reads_last=False), 1).removal is None


@pytest.mark.parametrize("name", EDGES)
def test_odd_layers_keep_the_contract(name: str) -> None:
    seen = EDGES[name]
    layer = numbers_of(seen, 0)
    C, D = seen.num_classes, seen.read.shape[1]
    for part, found in parts(layer).items():
        assert np.isfinite(found).all(), part
    assert layer.distribution.shape == layer.low.shape == layer.high.shape == (C, D)
    assert layer.owner.shape == layer.share.shape == layer.impurity.shape == layer.effective.shape == (D,)
    assert layer.nearest.shape == layer.likeness.shape == (D, 5)
    assert layer.random.rows.shape == layer.middling.rows.shape == layer.top.rows.shape == (D, 8)
    assert (layer.low <= layer.distribution).all()
    assert (layer.distribution <= layer.high).all()
    assert np.array_equal(layer.dead, (seen.layers[0].activation == 0).all(0))
    assert ((layer.owner < 0) == layer.dead).all()
    assert ((layer.effective == 0) == layer.dead).all()
    assert (layer.effective <= C).all()
    assert (layer.impurity_renyi[layer.dead] == 1).all()
    assert layer.coverage.sum() == pytest.approx(1)
    assert layer.prior.sum() == pytest.approx(1)
    assert layer.divergence > -1e-9
    for examples in (layer.random, layer.middling):
        shown = examples.rows[examples.rows >= 0]
        assert np.isin(shown, seen.pool).all()


def test_a_single_class_owns_all_that_fires() -> None:
    layer = numbers_of(EDGES["one class"], 0)
    assert layer.owner.tolist() == [0, 0]
    assert layer.impurity_renyi.tolist() == [0, 0]
    assert layer.effective.tolist() == [1, 1]
    np.testing.assert_allclose(layer.distribution, 1)
