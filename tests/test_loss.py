import copy
import io
import math
import pickle
import re
import warnings
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode

from dead_features import train
from reference_cases import Case
from torchdiscern import DiscriminabilityLoss, FeatureTap
from torchdiscern.functional import Impurity, terms


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(24, 8, 3, 3, generator=generator)
    return x, torch.randint(6, (24,), generator=generator)


def gradient(criterion: Callable[[Tensor, Tensor], Tensor], features: Tensor, target: Tensor) -> Tensor:
    x = features.detach().clone().requires_grad_()
    criterion(x, target).backward()
    assert x.grad is not None
    return x.grad


class TestAgainstTheAuthorsCode:
    def test_loss_and_gradients(self, case: Case) -> None:
        criterion = DiscriminabilityLoss(
            case.settings["num_classes"],
            impurity_weight=case.settings["gini_weights"],
            kl_weight=case.settings["kl_weights"],
            impurity=case.settings["impurity"],
            prior=case.settings["prior"],
        )
        layers = case.features
        logits = case["logits"].clone().requires_grad_()
        loss = cross_entropy(logits, case["target"]) + criterion(layers, case["target"])
        loss.backward()
        torch.testing.assert_close(loss.detach(), case["loss"], rtol=0, atol=1e-9)
        torch.testing.assert_close(logits.grad, case["grad_logits"], rtol=0, atol=1e-9)
        for index, layer in enumerate(layers):
            torch.testing.assert_close(layer.grad, case[f"grad_features{index}"], rtol=0, atol=1e-9)

    def test_a_uniform_prior_as_a_tensor_is_the_uniform_prior(self, case: Case) -> None:
        C = case.settings["num_classes"]
        given = DiscriminabilityLoss(C, prior=torch.full((C,), 1 / C, dtype=torch.float64))
        named = DiscriminabilityLoss(C, prior="uniform")
        features = case.features[0]
        torch.testing.assert_close(given(features, case["target"]), named(features, case["target"]))


class TestWeightsAndLayers:
    def test_the_terms_are_weighted_and_averaged_over_layers(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        layers = [x, x[:, :4].square()]
        criterion = DiscriminabilityLoss(6, impurity_weight=[0.2, 0.6], kl_weight=0.3)
        one, two = (terms(layer, y, 6) for layer in layers)
        expected = (
            0.2 * one.impurity
            + 0.3 * one.coverage_divergence
            + 0.6 * two.impurity
            + 0.3 * two.coverage_divergence
        ) / 2
        torch.testing.assert_close(criterion(layers, y), expected)

    def test_a_mapping_is_the_sequence_of_its_values(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        criterion = DiscriminabilityLoss(6)
        expected = criterion((x, x[:, :4]), y)
        assert sorted(key for key in criterion.parts if key.startswith("1/")) == [
            "1/coverage_divergence",
            "1/dead_share",
            "1/impurity",
            "1/impurity_weight",
            "1/kl_weight",
        ]
        torch.testing.assert_close(criterion({"layer3": x, "layer4": x[:, :4]}, y), expected)
        assert "layer4/impurity" in criterion.parts

    def test_features_last(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        torch.testing.assert_close(
            DiscriminabilityLoss(6, feature_dim=-1)(x.movedim(1, -1), y), DiscriminabilityLoss(6)(x, y)
        )

    def test_zero_weights_give_zero(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        assert float(DiscriminabilityLoss(6, impurity_weight=0, kl_weight=0)(x, y)) == 0

    def test_a_number_of_classes_from_numpy(self, batch: tuple[Tensor, Tensor]) -> None:
        criterion = DiscriminabilityLoss(cast(int, np.int64(6)))
        criterion.set_epoch(cast(int, np.int64(1)))
        torch.testing.assert_close(criterion(*batch), DiscriminabilityLoss(6)(*batch))


class TestParts:
    def test_each_part_is_what_its_name_says(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        x[:, :2] = 0
        criterion = DiscriminabilityLoss(6, impurity_weight=0.7, kl_weight=0.2)
        loss = criterion(x.requires_grad_(), y)
        found = terms(x, y, 6)
        parts = {name: float(value) for name, value in criterion.parts.items()}
        assert parts == pytest.approx(
            {
                "loss": float(loss.detach()),
                "impurity": float(found.impurity.detach()),
                "coverage_divergence": float(found.coverage_divergence.detach()),
                "dead_share": 2 / 8,
                "impurity_weight": 0.7,
                "kl_weight": 0.2,
            }
        )
        assert not any(part.requires_grad for part in criterion.parts.values())

    def test_nothing_waits_for_the_device(self, batch: tuple[Tensor, Tensor]) -> None:
        # an accelerator is stood in for by the "meta" device, which has no values to wait for
        x, y = (tensor.to("meta") for tensor in batch)
        criterion = DiscriminabilityLoss.recommended(100).to("meta")
        seen: list[str] = []

        class Record(TorchDispatchMode):
            def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
                seen.append(str(func))
                return func(*args, **(kwargs or {}))

        with Record():  # type: ignore[no-untyped-call]
            criterion(x, y)
        assert seen
        assert not [name for name in seen if re.search("local_scalar|nonzero|unique|bincount|_to_cpu", name)]
        assert all(part.device.type == "meta" for part in criterion.parts.values())


class TestSchedule:
    def test_start_and_ramp(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        full = float(DiscriminabilityLoss(6)(x, y))
        criterion = DiscriminabilityLoss(6, start_epoch=3, ramp_epochs=2)
        shares = []
        for epoch in range(1, 8):
            criterion.set_epoch(epoch)
            shares.append(float(criterion(x, y)) / full)
            assert float(criterion.parts["kl_weight"]) == pytest.approx(0.5 * shares[-1])
        assert shares == pytest.approx([0, 0, 1 / 3, 2 / 3, 1, 1, 1])

    def test_the_authors_start_epoch(self, batch: tuple[Tensor, Tensor]) -> None:
        criterion = DiscriminabilityLoss(6, start_epoch=10)
        criterion.set_epoch(9)
        assert not gradient(criterion, *batch).any()
        criterion.set_epoch(10)
        torch.testing.assert_close(gradient(criterion, *batch), gradient(DiscriminabilityLoss(6), *batch))

    def test_an_epoch_that_never_comes_is_told_once(self, batch: tuple[Tensor, Tensor]) -> None:
        criterion = DiscriminabilityLoss(6, start_epoch=10)
        with pytest.warns(UserWarning, match="set_epoch was never called") as told:
            criterion(*batch)
        assert told[0].filename == __file__
        criterion(*batch)  # a second warning would be an error here

    def test_features_without_a_gradient_are_told_once(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        criterion = DiscriminabilityLoss(6)
        criterion(x.clone().requires_grad_(), y)
        with torch.no_grad():
            criterion(x, y)
        with pytest.warns(UserWarning, match="none of the layers requires a gradient"):
            criterion(x, y)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            criterion(x, y)

    def test_evaluation_needs_no_epoch(self, batch: tuple[Tensor, Tensor]) -> None:
        DiscriminabilityLoss(6, start_epoch=10).eval()(*batch)

    def test_the_epoch_is_saved_and_restored(self, batch: tuple[Tensor, Tensor]) -> None:
        first, second = (DiscriminabilityLoss(6, start_epoch=2) for _ in range(2))
        first.set_epoch(2)
        second.load_state_dict(first.state_dict())
        second.eval()
        assert float(second(*batch)) == float(first(*batch)) > 0


class TestModule:
    @pytest.mark.parametrize("settings", [{}, {"impurity": "renyi", "damping": 0.1, "prior": [0.2] * 5 + [0.0]}])
    def test_copies_pickles_and_state_dicts_give_the_same_loss(
        self, batch: tuple[Tensor, Tensor], settings: dict[str, Any]
    ) -> None:
        criterion = DiscriminabilityLoss(6, **settings)
        expected = criterion(*batch)
        saved = io.BytesIO()
        torch.save(criterion.state_dict(), saved)
        saved.seek(0)
        loaded = DiscriminabilityLoss(6, **settings)
        loaded.load_state_dict(torch.load(saved, weights_only=True))
        for again in (copy.deepcopy(criterion), pickle.loads(pickle.dumps(criterion)), loaded):
            assert float(again(*batch)) == float(expected)

    def test_a_prior_from_a_list_is_exact(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch[0].double(), batch[1]
        shares = [0.1, 0.1, 0.2, 0.2, 0.2, 0.2]
        given = DiscriminabilityLoss(6, prior=torch.tensor(shares, dtype=torch.float64))(x, y)
        torch.testing.assert_close(DiscriminabilityLoss(6, prior=shares)(x, y), given, rtol=0, atol=1e-14)

    def test_keeps_its_own_prior(self, batch: tuple[Tensor, Tensor]) -> None:
        prior = torch.full((6,), 1 / 6)
        criterion = DiscriminabilityLoss(6, prior=prior)
        before = float(criterion(*batch))
        prior.copy_(torch.tensor([0.5, 0.5, 0, 0, 0, 0]))
        assert float(criterion(*batch)) == before

    def test_to_moves_the_prior(self) -> None:
        criterion = DiscriminabilityLoss(2, prior=torch.tensor([0.5, 0.5])).to("meta")
        assert isinstance(criterion.prior, Tensor)
        assert criterion.prior.device.type == "meta"

    def test_repr_shows_what_is_set(self) -> None:
        text = repr(DiscriminabilityLoss(6, impurity="renyi", damping=0.1, prior=[0.5, 0.5, 0, 0, 0, 0]))
        assert text == (
            "DiscriminabilityLoss(num_classes=6, impurity_weight=0.5, kl_weight=0.5, impurity='renyi', "
            "prior='tensor of 6 shares', start_epoch=1, ramp_epochs=0, damping=0.1, feature_dim=1)"
        )

    def test_no_grad(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        with torch.no_grad():
            loss = DiscriminabilityLoss(6)(x.requires_grad_(), y)
        assert not loss.requires_grad
        assert float(loss) > 0

    def test_recommended_settings(self) -> None:
        few, many = DiscriminabilityLoss.recommended(10), DiscriminabilityLoss.recommended(100)
        assert (few.impurity, few.damping) == ("gini", 0.1)
        assert (many.impurity, many.impurity_weight, many.damping) == ("renyi", 1.0, 0.1)
        assert [DiscriminabilityLoss.recommended(C).impurity for C in (19, 20)] == ["gini", "renyi"]
        assert DiscriminabilityLoss.recommended(10, impurity="entropy").damping == 0
        assert DiscriminabilityLoss.recommended(100, impurity="shannon").impurity == "shannon"


class TestAccumulation:
    def test_micro_batches_have_the_gradient_of_the_whole(self) -> None:
        body = nn.Sequential(nn.Linear(12, 7), nn.ReLU()).double()
        criterion = DiscriminabilityLoss(10, impurity="renyi")
        images, target = torch.rand(32, 12).double(), torch.randint(10, (32,))
        expected = torch.autograd.grad(criterion(body(images), target), list(body.parameters()))
        with torch.no_grad():
            features = torch.cat([body(part) for part in images.split(8)])
        features.requires_grad_()
        criterion(features, target).backward()
        assert features.grad is not None
        for part, pull in zip(images.split(8), features.grad.split(8), strict=True):
            (body(part) * pull).sum().backward()
        for parameter, gradient in zip(body.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-12)


class TestPrecision:
    @pytest.mark.parametrize("impurity", ["gini", "entropy", "renyi", "shannon"])
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
    def test_terms_in_float32_and_gradient_in_the_inputs_type(
        self, batch: tuple[Tensor, Tensor], impurity: Impurity, dtype: torch.dtype
    ) -> None:
        x, y = batch
        x = x.to(dtype)
        criterion = DiscriminabilityLoss(6, impurity=impurity)
        assert criterion(x, y).dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
        found = gradient(criterion, x, y)
        assert found.dtype == dtype
        exact = gradient(criterion, x.double(), y)
        # the subtraction in dLoss/dM cancels: it costs digits in float32, and would cost all in half precision
        within = {torch.float16: 2e-3, torch.bfloat16: 1e-2, torch.float32: 1e-4, torch.float64: 1e-12}[dtype]
        assert float((found.double() - exact).norm() / exact.norm()) < within

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_autocast(self, batch: tuple[Tensor, Tensor], dtype: torch.dtype) -> None:
        x, y = batch
        layer, criterion = nn.Conv2d(8, 5, 3), DiscriminabilityLoss(6)
        with torch.autocast("cpu", dtype):
            features = layer(x)
            loss = criterion(features, y)
        assert features.dtype == dtype
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, criterion(features.float(), y))
        loss.backward()
        assert layer.weight.grad is not None
        assert layer.weight.grad.isfinite().all()

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
    def test_cuda(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        criterion = DiscriminabilityLoss(6)
        on_cuda = DiscriminabilityLoss(6).cuda()
        torch.cuda.set_sync_debug_mode("error")
        try:
            loss = on_cuda(x.cuda(non_blocking=True), y.cuda(non_blocking=True))
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.testing.assert_close(loss.cpu(), criterion(x, y))


@pytest.mark.usefixtures("fresh_compiler")
class TestCompile:
    @pytest.mark.parametrize(
        ("impurity", "prior"),
        [
            ("gini", "batch"),
            ("gini", "uniform"),
            ("renyi", [0.1, 0.1, 0.2, 0.2, 0.2, 0.2]),
            ("shannon", "batch"),
            ("entropy", "batch"),
        ],
    )
    def test_full_graph_gives_the_same(
        self, batch: tuple[Tensor, Tensor], impurity: Impurity, prior: Any
    ) -> None:
        criterion = DiscriminabilityLoss(6, impurity=impurity, prior=prior)
        compiled: Any = torch.compile(DiscriminabilityLoss(6, impurity=impurity, prior=prior), fullgraph=True)
        torch.testing.assert_close(gradient(compiled, *batch), gradient(criterion, *batch))
        for name, part in criterion.parts.items():
            torch.testing.assert_close(compiled.parts[name], part)

    @pytest.mark.long
    @pytest.mark.parametrize("damping", [0.0, 0.1])
    @pytest.mark.parametrize("prior", ["batch", "uniform", [0.1, 0.1, 0.2, 0.2, 0.2, 0.2]])
    @pytest.mark.parametrize("impurity", ["gini", "entropy", "renyi", "shannon"])
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
    def test_every_setting(
        self, batch: tuple[Tensor, Tensor], impurity: Impurity, prior: Any, damping: float, dtype: torch.dtype
    ) -> None:
        x, y = batch[0].to(dtype), batch[1]
        damping = 0.0 if impurity == "entropy" else damping
        plain, compiled = (DiscriminabilityLoss(6, 1, 2, impurity, prior, damping=damping) for _ in range(2))
        found = gradient(torch.compile(compiled, fullgraph=True), x, y)
        torch.testing.assert_close(found, gradient(plain, x, y))

    def test_a_new_epoch_compiles_nothing_anew(self, batch: tuple[Tensor, Tensor]) -> None:
        criterion = DiscriminabilityLoss(6, start_epoch=2, ramp_epochs=20)
        compiled = torch.compile(criterion, fullgraph=True)
        with torch._dynamo.config.patch(error_on_recompile=True):
            for epoch in range(1, 24):
                criterion.set_epoch(epoch)
                loss = compiled(*batch)
        assert float(loss) == pytest.approx(float(DiscriminabilityLoss(6)(*batch)))

    def test_together_with_model_and_tap(self) -> None:
        model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6))
        criterion, x, y = DiscriminabilityLoss(6), torch.rand(9, 5), torch.arange(9) % 6
        tap = FeatureTap(model, "1").attach()

        def step(x: Tensor, y: Tensor) -> Tensor:
            return cast(Tensor, cross_entropy(model(x), y) + criterion(tap.features, y))

        compiled = torch.compile(step, fullgraph=True)
        for size in (9, 8, 5):  # the last batch of an epoch is smaller
            torch.testing.assert_close(compiled(x[:size], y[:size]), step(x[:size], y[:size]))

    def test_several_layers(self, batch: tuple[Tensor, Tensor]) -> None:
        x, y = batch
        criterion = DiscriminabilityLoss(6)
        compiled = torch.compile(criterion, fullgraph=True)
        layers = {"layer3": x, "layer4": x[:, :4]}
        torch.testing.assert_close(compiled(layers, y), DiscriminabilityLoss(6)(layers, y))
        assert "layer4/impurity" in criterion.parts


@pytest.mark.parametrize("impurity", ["gini", "renyi", "shannon"])
def test_damping_keeps_features_from_dying(impurity: Impurity) -> None:
    assert train(impurity, damping=0.0, seed=1)[0] > 8  # of 32
    assert train(impurity, damping=0.1, seed=1)[0] == 0


@pytest.mark.parametrize("C", [2, 7])
def test_the_recommended_loss_is_finite_on_random_batches(C: int) -> None:
    criterion = DiscriminabilityLoss.recommended(C)
    assert math.isfinite(float(criterion(torch.rand(16, 5), torch.randint(C, (16,)))))
