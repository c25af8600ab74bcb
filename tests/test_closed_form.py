"""The written-out gradients against autograd on the plain formula, and what they must never do."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.testing import CompileCounter
from torch.utils._python_dispatch import TorchDispatchMode

from torchdiscern import DiscriminabilityLoss, closed_form
from torchdiscern.functional import class_distribution, coverage_divergence, impurity, terms


def plain(x: Tensor, y: Tensor, C: int, kind: Any, damping: float, feature_dim: int = 1) -> Tensor:
    P = class_distribution(x, y, C, damping=damping, feature_dim=feature_dim)
    return impurity(P, kind).mean() + 2 * coverage_divergence(P, torch.bincount(y, minlength=C).double() / len(y))


def ours(x: Tensor, y: Tensor, C: int, kind: Any, damping: float, feature_dim: int = 1) -> Tensor:
    found = terms(x, y, C, impurity=kind, damping=damping, feature_dim=feature_dim)
    return found.impurity + 2 * found.coverage_divergence


@pytest.mark.parametrize("kind", ["gini", "renyi"])
@pytest.mark.parametrize("damping", [0.0, 0.1])
@pytest.mark.parametrize("classes", [5, 500])
@pytest.mark.parametrize("sign", ["after a ReLU", "signed"])
@pytest.mark.parametrize("layout", ["vector", "map", "channels last", "features last", "strided"])
def test_equals_autograd(
    kind: str, damping: float, classes: int, sign: str, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closed_form, "BLOCK", 40)  # many blocks, the last one short
    x, feature_dim = torch.randn(11, 7, 3, 2, dtype=torch.float64), 1
    if sign == "after a ReLU":
        x = x.relu()
    if layout == "vector":
        x = x[:, :, 0, 0].contiguous()
    elif layout == "channels last":
        x = x.contiguous(memory_format=torch.channels_last)
    elif layout == "features last":
        x, feature_dim = x.movedim(1, -1).contiguous(), -1
    elif layout == "strided":
        x = x.transpose(2, 3)
    y = torch.randint(classes, (11,))
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, expected = (
        ours(one, y, classes, kind, damping, feature_dim),
        plain(other, y, classes, kind, damping, feature_dim),
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    found.backward()
    expected.backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("positions", [(), (4, 4)])
def test_gradients_in_short_types_are_those_of_float64(dtype: torch.dtype, positions: tuple[int, ...]) -> None:
    x = torch.randn(20, 30, *positions).to(dtype)
    y = torch.randint(6, (20,))
    one, other = x.clone().requires_grad_(), x.double().requires_grad_()
    ours(one, y, 6, "gini", 0.0).backward()
    plain(other, y, 6, "gini", 0.0).backward()
    assert one.grad is not None
    assert other.grad is not None
    close = torch.finfo(dtype).eps * other.grad.abs().max()
    assert (one.grad - other.grad).abs().max() < 4 * close
    assert one.grad.dtype == dtype


@pytest.mark.parametrize(("soft", "compiled"), [(False, False), (False, True), (True, False)])
@pytest.mark.usefixtures("fresh_compiler")
def test_autocast_takes_nothing_from_the_gradient(soft: bool, compiled: bool) -> None:
    x, y = torch.randn(20, 30, 4, 4), torch.randint(6, (20,))
    target = torch.eye(6)[y] if soft else y
    criterion: Any = DiscriminabilityLoss(6)
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    criterion(one, target).backward()
    with torch.autocast("cpu", torch.bfloat16):
        criterion = torch.compile(criterion, backend="aot_eager") if compiled else criterion
        criterion(other, target).backward()
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("damping", [0.0, 0.1])
@pytest.mark.parametrize("size", [1e-10, 1e-15, 1e-18, 1e-20, 1e-21, 3e-22, 1e-25, 1e-30, 1e-38])
@pytest.mark.parametrize("form", ["closed", "functional"])
def test_a_feature_that_is_nearly_dead_spoils_no_gradient(damping: float, size: float, form: str) -> None:
    x, y = torch.rand(200, 16), torch.randint(100, (200,))
    x[:, 3] *= size
    x.requires_grad_()
    (ours if form == "closed" else plain)(x, y, 100, "renyi", damping).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("shape", [(1,), (1, 1)])
def test_a_map_of_one_position_is_a_vector(shape: tuple[int, ...]) -> None:
    x, y = torch.randn(9, 5), torch.randint(4, (9,))
    one, other = x.clone().requires_grad_(), x.view(9, 5, *shape).clone().requires_grad_()
    ours(one, y, 4, "gini", 0.0).backward()
    with Heard() as heard:
        ours(other, y, 4, "gini", 0.0).backward()
    assert "aten::mv" not in heard.names
    assert one.grad is not None
    assert other.grad is not None
    assert torch.equal(one.grad, other.grad.flatten(1))


def test_a_tiny_eps_overflows_into_no_gradient() -> None:
    x = torch.randn(6, 3)
    x[:, 1] = 0
    x.requires_grad_()
    DiscriminabilityLoss(3, eps=1e-30)(x, torch.arange(6) % 3).backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


class Heard(TorchDispatchMode):
    """Writes down the operations that run and the largest tensor that they make."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: set[str] = set()
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.names.add(func.name().split(".")[0])
        for one in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(one, Tensor) and "empty" not in func.name():
                self.largest = max(self.largest, one.numel() * one.element_size())
        return out


WAITING = {"aten::_local_scalar_dense", "aten::nonzero", "aten::_unique2", "aten::unique_dim", "aten::item"}


@pytest.mark.parametrize("impurity", ["gini", "renyi", "shannon", "entropy"])
@pytest.mark.parametrize("classes", [4, 1000])
@pytest.mark.parametrize("kind", ["indices", "soft", "tokens"])
def test_no_accelerator_waits(impurity: Any, classes: int, kind: str) -> None:
    weights = torch.ones(classes)
    criterion = DiscriminabilityLoss(classes, impurity=impurity, prior="uniform", class_weight=weights).to("meta")
    x = torch.empty(8, 5, 3, device="meta", requires_grad=True)
    shape = {"indices": (8,), "soft": (8, classes), "tokens": (8, 3)}[kind]
    y = torch.empty(shape, dtype=torch.float32 if kind == "soft" else torch.long, device="meta")
    with Heard() as heard:
        criterion(x, y).backward()
    assert heard.names
    assert not heard.names & WAITING


def test_nothing_grows_with_the_number_of_classes() -> None:
    x = torch.rand(16, 32, requires_grad=True)
    y = torch.randint(1_000_000, (16,))
    with Heard() as heard:
        DiscriminabilityLoss(1_000_000)(x, y).backward()
    assert 0 < heard.largest <= 17 * 33 * 4 * 2


def test_recompiles_for_no_batch(fresh_compiler: None) -> None:
    counter = CompileCounter()
    criterion = torch.compile(DiscriminabilityLoss(1000), backend=counter, fullgraph=True)
    for present in (1, 3, 8, 20):
        x = torch.rand(20, 6, requires_grad=True)
        criterion(x, torch.arange(20) % present).backward()
    assert counter.frame_count == 1


def test_penalties_on_the_gradient_can_be_trained() -> None:
    x = (torch.rand(6, 4, dtype=torch.float64) + 0.1).requires_grad_()
    y = torch.tensor([0, 1, 2, 0, 1, 50])

    def value(x: Tensor) -> Tensor:
        return ours(x, y, 60, "renyi", 0.0)

    assert torch.autograd.gradgradcheck(value, (x,))


@pytest.mark.parametrize("kind", ["gini", "renyi", "shannon", "entropy"])
def test_transforms_of_functions(kind: Any) -> None:
    x, y = torch.rand(3, 6, 4, dtype=torch.float64), torch.tensor([0, 1, 2, 0, 1, 2])

    def value(x: Tensor) -> Tensor:
        return ours(x, y, 60, kind, 0.0)

    found = torch.func.vmap(torch.func.grad(value))(x)
    each = x.clone().requires_grad_()
    sum((value(one) for one in each), start=torch.zeros(())).backward()
    torch.testing.assert_close(found, each.grad)


def test_damping_keeps_its_mean_without_gradient() -> None:
    x, y = torch.rand(6, 4, dtype=torch.float64), torch.arange(6)
    one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
    (first,) = torch.autograd.grad(ours(one, y, 9, "gini", 0.5), one, create_graph=True)
    (second,) = torch.autograd.grad(plain(other, y, 9, "gini", 0.5), other)
    torch.testing.assert_close(first, second)
