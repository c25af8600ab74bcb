import math
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from reference_cases import Case
from torchdiscern import DiscriminabilityLoss, functional
from torchdiscern.functional import Impurity, Terms, class_distribution, coverage_divergence, terms

KINDS: list[Impurity] = ["gini", "entropy", "renyi", "shannon"]
SCALE_FREE: list[Impurity] = ["gini", "renyi", "shannon"]


def by_loops(x: Tensor, y: Tensor, C: int, kind: str, prior: str, damping: float, eps: float = 1e-10) -> Any:
    """METHOD's table read aloud: plain loops over plain numbers, for `[B, D]` features."""
    B, D = x.shape
    a = [[float(x[i, j]) if kind == "entropy" else abs(float(x[i, j])) for j in range(D)] for i in range(B)]
    n = [sum(int(y[i]) == c for i in range(B)) for c in range(C)]
    M = [[sum(a[i][j] for i in range(B) if y[i] == c) / (n[c] + eps) for j in range(D)] for c in range(C)]
    sums = [sum(M[c][j] for c in range(C)) for j in range(D)]
    if kind == "entropy":
        exps = [[math.exp(M[c][j]) for j in range(D)] for c in range(C)]
        P = [[exps[c][j] / sum(exps[k][j] for k in range(C)) for j in range(D)] for c in range(C)]
    else:
        extra = damping * sum(sums) / D
        P = [[M[c][j] / (sums[j] + extra + eps) for j in range(D)] for c in range(C)]

    def of_feature(column: list[float]) -> float:
        if kind == "gini":
            return 1 - sum(p**2 for p in column)
        if kind == "renyi":
            return -math.log(sum(p**2 for p in column)) / math.log(C)
        if kind == "shannon" and damping:
            column = [p + max(0.0, 1 - sum(column)) / C for p in column]
        nats = -sum(p * math.log(p) for p in column if p > 0)
        return nats / math.log(10 if kind == "entropy" else C)

    impurity = sum(of_feature([P[c][j] for c in range(C)]) for j in range(D)) / D
    total = sum(sum(row) for row in P)
    q = [(sum(row) + eps) / total for row in P]
    t = [n[c] / B for c in range(C)] if prior == "batch" else [1 / C] * C
    if prior != "batch" and kind != "entropy":
        t = [t[c] * (n[c] > 0) for c in range(C)]
        t = [share / sum(t) for share in t]
    return impurity, sum(t[c] * math.log(t[c] / q[c]) for c in range(C) if t[c] > 0)


def random_batch(seed: int, B: int = 12, C: int = 5, D: int = 7) -> tuple[Tensor, Tensor, int]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(B, D, generator=generator, dtype=torch.float64)
    return x, torch.randint(C, (B,), generator=generator), C


class TestAgainstTheAuthorsCode:
    def test_class_distribution(self, case: Case) -> None:
        for layer, features in enumerate(case.features):
            P = class_distribution(
                features,
                case["target"],
                case.settings["num_classes"],
                softmax=case.settings["impurity"] == "entropy",
            )
            torch.testing.assert_close(P.T, case[f"prob_classes{layer}"], rtol=0, atol=1e-9)

    def test_terms(self, case: Case) -> None:
        layers = [
            terms(
                features,
                case["target"],
                case.settings["num_classes"],
                impurity=case.settings["impurity"],
                prior=case.settings["prior"],
            )
            for features in case.features
        ]
        L = len(layers)
        impurity = sum(w * t.impurity for w, t in zip(case.settings["gini_weights"], layers, strict=True)) / L
        kl = sum(w * t.coverage_divergence for w, t in zip(case.settings["kl_weights"], layers, strict=True)) / L
        torch.testing.assert_close(impurity, case["impurity"], rtol=0, atol=1e-9)
        torch.testing.assert_close(kl, case["kl"], rtol=0, atol=1e-9)


class TestAgainstPlainLoops:
    @pytest.mark.parametrize("prior", ["batch", "uniform"])
    @pytest.mark.parametrize(
        ("kind", "damping"), [(kind, 0.0) for kind in KINDS] + [(kind, 0.1) for kind in SCALE_FREE]
    )
    def test_terms(self, kind: Impurity, prior: str, damping: float) -> None:
        for seed in range(5):
            x, y, C = random_batch(seed, C=5 if seed % 2 else 9)  # of 9 classes some are absent
            found = terms(x, y, C, impurity=kind, prior=prior, damping=damping)
            impurity, kl = by_loops(x, y, C, kind, prior, damping)
            assert float(found.impurity) == pytest.approx(impurity, abs=1e-8)
            assert float(found.coverage_divergence) == pytest.approx(kl, abs=1e-9)

    @pytest.mark.parametrize("kind", KINDS)
    def test_eps_stands_where_the_formulas_have_it(self, kind: Impurity) -> None:
        x, y, C = random_batch(7)
        impurity, kl = by_loops(x, y, C, kind, "batch", 0.0, eps=0.3)
        found = terms(x, y, C, impurity=kind, eps=0.3)
        assert float(found.impurity) == pytest.approx(impurity, abs=1e-12)
        assert float(found.coverage_divergence) == pytest.approx(kl, abs=1e-12)
        loss = DiscriminabilityLoss(C, impurity_weight=1, kl_weight=1, impurity=kind, eps=0.3)(x, y)
        assert float(loss) == pytest.approx(impurity + kl, abs=1e-12)

    def test_damping_takes_no_gradient_through_the_mean(self) -> None:
        M = torch.tensor([[1.0, 4.0], [1.0, 2.0]], dtype=torch.float64, requires_grad=True)
        functional.distribution_of_means(M, damping=0.5)[0, 0].backward()
        floor = 0.5 * 4  # the mean over the features of their sums 2 and 6, as a constant
        expected = torch.tensor([[(2 + floor - 1) / (2 + floor) ** 2, 0], [-1 / (2 + floor) ** 2, 0]])
        assert M.grad is not None
        torch.testing.assert_close(M.grad, expected.double())


class TestShapes:
    def test_any_number_of_positions_averages_them(self) -> None:
        x = torch.randn(6, 3, 2, 4, 5, dtype=torch.float64)
        torch.testing.assert_close(functional.activation(x), x.abs().flatten(2).mean(2))

    def test_features_last(self) -> None:
        x = torch.randn(6, 4, 3)
        torch.testing.assert_close(
            functional.activation(x, feature_dim=-1), functional.activation(x.movedim(-1, 1))
        )

    def test_features_last_without_positions(self) -> None:
        x = torch.randn(6, 3)
        torch.testing.assert_close(functional.activation(x, feature_dim=-1), x.abs())

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
    def test_half_precision_is_averaged_in_float32(self, dtype: torch.dtype) -> None:
        x = torch.full((1, 1, 4096), 0.1, dtype=dtype)  # summed in half precision, this stalls or overflows
        a = functional.activation(x)
        assert a.dtype == torch.float32
        torch.testing.assert_close(a[0, 0], x[0, 0, 0].float())

    def test_half_precision_loses_no_absent_class_and_no_dead_feature(self) -> None:
        x = torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.float16)  # the second feature is dead
        M = functional.class_means(x, torch.tensor([0, 1]), 3)  # the third class is absent
        P = functional.distribution_of_means(M.half())
        kl = coverage_divergence(P.half(), torch.tensor([0.5, 0.5, 0.0]))
        assert M.tolist() == [[1, 0], [3, 0], [0, 0]]
        torch.testing.assert_close(P, torch.tensor([[0.25, 0], [0.75, 0], [0, 0]]))
        torch.testing.assert_close(kl, (torch.tensor([2.0, 2 / 3]).log() / 2).sum(), atol=1e-6, rtol=0)

    @pytest.mark.parametrize("dtype", [torch.uint16, torch.uint8, torch.int32, torch.int64])
    def test_any_integer_target(self, dtype: torch.dtype) -> None:
        x, y, C = random_batch(0)
        torch.testing.assert_close(class_distribution(x, y.to(dtype), C), class_distribution(x, y, C))


class TestGradients:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("prior", ["batch", "uniform"])
    def test_gradcheck_and_gradgradcheck(self, kind: Impurity, prior: str) -> None:
        x, y, C = random_batch(1, B=6, C=4, D=3)
        x = (x.sign() * (x.abs() + 0.1)).requires_grad_()  # away from the kink of abs
        damping = 0.0 if kind == "entropy" else 0.1

        def both(x: Tensor) -> Tensor:
            # without damping's mean, which has no gradient on purpose
            found = terms(x, y, C, impurity=kind, prior=prior, damping=0.0)
            return found.impurity + 2 * found.coverage_divergence

        assert torch.autograd.gradcheck(both, (x,))
        assert torch.autograd.gradgradcheck(both, (x,))
        assert terms(x, y, C, impurity=kind, damping=damping).impurity.requires_grad

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("prior", ["batch", "uniform"])
    @pytest.mark.parametrize("damping", [0.0, 0.1])
    @pytest.mark.parametrize(
        ("x", "y"),
        [
            (torch.zeros(4, 3), torch.tensor([0, 1, 2, 1])),
            (torch.tensor([[1.0, 0.0], [2.0, 0.0]]), torch.tensor([0, 1])),
            (torch.tensor([[1.0, 0.0, 0.5]]), torch.tensor([2])),
            (torch.rand(5, 3), torch.full((5,), 1)),
            (torch.rand(5, 3) * 1e-12, torch.arange(5) % 3),
            (torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), torch.arange(3)),
        ],
        ids=["all zero", "a dead feature", "one sample", "one class", "tiny", "present but inactive"],
    )
    def test_corners_are_finite(self, x: Tensor, y: Tensor, kind: Impurity, prior: str, damping: float) -> None:
        if kind == "entropy":
            damping = 0.0
        x = x.clone().requires_grad_()
        found = terms(x, y, 4, impurity=kind, prior=prior, damping=damping)
        (found.impurity + found.coverage_divergence).backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()
        assert all(term.isfinite() for term in found)

    def test_a_dead_feature_counts_one_and_has_no_gradient(self) -> None:
        x = torch.tensor([[1.0, 0.0], [0.0, 0.0]], requires_grad=True)
        y = torch.tensor([0, 1])
        for kind in SCALE_FREE:
            found = terms(x, y, 2, impurity=kind)
            assert float(found.impurity.detach()) == pytest.approx((0 + 1) / 2)
            assert float(found.dead_share) == 0.5
            (gradient,) = torch.autograd.grad(found.impurity, x)
            assert gradient[:, 1].tolist() == [0, 0]

    def test_an_absent_class_of_a_given_prior_leaves_value_and_gradient_useful(self) -> None:
        x = torch.tensor([[4.0, 3.0], [1.0, 1.0]], dtype=torch.float64, requires_grad=True)
        found = terms(x, torch.tensor([0, 1]), 3, prior=torch.tensor([0.25, 0.25, 0.5]).double())
        q = class_distribution(x.detach(), torch.tensor([0, 1]), 3).sum(1) / 2
        expected = 0.5 * (0.5 / q[0]).log() + 0.5 * (0.5 / q[1]).log()  # over the two classes at hand
        torch.testing.assert_close(found.coverage_divergence, expected)
        (gradient,) = torch.autograd.grad(found.coverage_divergence, x)
        assert (gradient[0] > 0).all()  # descent takes activation from the class that has too much
        assert (gradient[1] < 0).all()

    def test_a_prior_on_absent_classes_alone_gives_zero(self) -> None:
        found = terms(torch.rand(2, 3), torch.tensor([0, 1]), 3, prior=torch.tensor([0.0, 0.0, 1.0]))
        assert float(found.coverage_divergence) == 0


class TestNotANumber:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("damping", [0.0, 0.1])
    def test_is_never_made_finite(self, kind: Impurity, value: float, damping: float) -> None:
        x, y, C = random_batch(2)
        x[3, 2] = value
        found = terms(x, y, C, impurity=kind, damping=0.0 if kind == "entropy" else damping)
        assert found.impurity.isnan()
        assert found.coverage_divergence.isnan()


batches = st.builds(
    random_batch,
    seed=st.integers(0, 2**31),
    B=st.integers(1, 20),
    C=st.integers(2, 12),
    D=st.integers(1, 9),
)


def assert_same(first: Terms, second: Terms) -> None:
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-7, atol=1e-8)


class TestProperties:
    @given(batches, st.sampled_from(KINDS), st.randoms())
    def test_permuted_class_labels_change_nothing(self, batch: Any, kind: Impurity, random: Any) -> None:
        x, y, C = batch
        order = torch.tensor(random.sample(range(C), C))
        assert_same(terms(x, y, C, impurity=kind), terms(x, order[y], C, impurity=kind))

    @given(batches, st.sampled_from(KINDS), st.randoms())
    def test_permuted_features_change_nothing(self, batch: Any, kind: Impurity, random: Any) -> None:
        x, y, C = batch
        order = random.sample(range(x.shape[1]), x.shape[1])
        assert_same(terms(x, y, C, impurity=kind), terms(x[:, order], y, C, impurity=kind))

    @given(batches, st.sampled_from(SCALE_FREE), st.data())
    def test_scaled_features_change_nothing(self, batch: Any, kind: Impurity, data: Any) -> None:
        x, y, C = batch
        scale = data.draw(st.lists(st.floats(1e-2, 1e3), min_size=x.shape[1], max_size=x.shape[1]))
        scaled = x * torch.tensor(scale, dtype=x.dtype)
        assert_same(terms(x, y, C, impurity=kind, eps=1e-30), terms(scaled, y, C, impurity=kind, eps=1e-30))

    @given(batches, st.sampled_from(KINDS))
    def test_the_batch_twice_changes_nothing(self, batch: Any, kind: Impurity) -> None:
        x, y, C = batch
        assert_same(terms(x, y, C, impurity=kind), terms(torch.cat([x, x]), torch.cat([y, y]), C, impurity=kind))

    @given(st.integers(2, 30), st.sampled_from(SCALE_FREE))
    def test_one_class_a_feature_is_pure(self, C: int, kind: Impurity) -> None:
        x = torch.eye(C, dtype=torch.float64)
        found = terms(x, torch.arange(C), C, impurity=kind)
        assert float(found.impurity) == pytest.approx(0, abs=1e-8)
        assert float(found.coverage_divergence) == pytest.approx(0, abs=1e-8)

    @given(st.integers(2, 30), st.sampled_from(KINDS))
    def test_alike_for_all_classes_is_the_maximum(self, C: int, kind: Impurity) -> None:
        x = torch.ones(2 * C, 4, dtype=torch.float64)
        found = terms(x, torch.arange(2 * C) % C, C, impurity=kind)
        maximum = {"gini": 1 - 1 / C, "entropy": math.log10(C), "renyi": 1.0, "shannon": 1.0}[kind]
        assert float(found.impurity) == pytest.approx(maximum, abs=1e-8)
        assert float(found.coverage_divergence) == pytest.approx(0, abs=1e-8)

    @given(batches, st.sampled_from(KINDS), st.sampled_from(["batch", "uniform"]))
    @settings(max_examples=200)
    def test_ranges(self, batch: Any, kind: Impurity, prior: str) -> None:
        x, y, C = batch
        found = terms(x, y, C, impurity=kind, prior=prior)
        maximum = {"gini": 1 - 1 / C, "entropy": math.log10(C), "renyi": 1.0, "shannon": 1.0}[kind]
        assert -1e-8 <= float(found.impurity) <= maximum + 1e-8
        assert float(found.coverage_divergence) >= -1e-8

    @given(batches)
    def test_gini_is_a_normalised_variance_between_class_means(self, batch: Any) -> None:
        x, y, C = batch
        M = functional.class_means(x.abs(), y, C, eps=1e-30)
        variation = M.std(0, correction=0) / M.mean(0)
        P = class_distribution(x, y, C, eps=1e-30)
        torch.testing.assert_close(functional.gini(P), 1 - (1 + variation**2) / C, rtol=1e-7, atol=1e-9)


def test_impurity_by_name_is_the_function_of_that_name() -> None:
    P = class_distribution(*random_batch(3))
    for kind in KINDS:
        torch.testing.assert_close(functional.impurity(P, kind), getattr(functional, kind)(P))
    with pytest.raises(ValueError, match="did you mean 'gini'"):
        functional.impurity(P, cast(Impurity, "ginni"))


def test_divergence_of_all_dead_features_is_that_of_a_uniform_share() -> None:
    prior = torch.tensor([0.75, 0.25])
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert float(coverage_divergence(torch.zeros(2, 5), prior)) == pytest.approx(expected)
