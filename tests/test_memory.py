"""Running class means against plain loops, and what a buffer must survive."""

import copy
import io
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from torchdiscern import DiscriminabilityLoss
from torchdiscern.functional import Impurity, coverage_divergence, distribution_of_means, impurity

C, D, MOMENTUM = 40, 6, 0.8


def batches(count: int, size: int = 5) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(count)
    return [
        (
            torch.rand(size, D, generator=generator, dtype=torch.float64),
            torch.randint(C, (size,), generator=generator),
        )
        for _ in range(count)
    ]


def criterion(**settings: object) -> DiscriminabilityLoss:
    return DiscriminabilityLoss(C, 1.0, 1.0, memory=MOMENTUM, num_features=D, **settings).double()  # type: ignore[arg-type]


class ByLoops:
    """Running class means, class by class."""

    def __init__(self) -> None:
        self.means, self.updates, self.counts = torch.zeros(C, D).double(), [0] * C, torch.zeros(C).double()

    def __call__(self, x: Tensor, y: Tensor, kind: Impurity = "gini") -> Tensor:
        full = list(self.means)
        for c in y.unique().tolist():
            self.updates[c] += 1
            rate = (1 - MOMENTUM) / (1 - MOMENTUM ** self.updates[c])
            full[c] = self.means[c] + rate * (x[y == c].sum(0) / ((y == c).sum() + 1e-10) - self.means[c])
            self.counts[c] += (y == c).sum()
        M = torch.stack(full)
        self.means = M.detach().clone()
        P = distribution_of_means(M)
        return impurity(P, kind).mean() + coverage_divergence(P, self.counts / self.counts.sum())


@pytest.mark.parametrize("kind", ["gini", "renyi", "shannon"])
def test_equals_plain_loops(kind: Impurity) -> None:
    loss, reference = criterion(impurity=kind), ByLoops()
    for x, y in batches(12):
        one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        found, expected = loss(one, y), reference(other, y, kind)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)
        found.backward()
        expected.backward()
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-10)


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
@pytest.mark.parametrize("classes", [5, C])  # as many rows as classes, and as samples
def test_compiled_is_the_same(classes: int, backend: str, fresh_compiler: None) -> None:
    eager, other = (DiscriminabilityLoss(classes, memory=MOMENTUM, num_features=D) for _ in range(2))
    compiled = torch.compile(other, backend=backend)
    for x, y in batches(4, size=8):
        one, two = x.float().requires_grad_(), x.float().requires_grad_()
        found, expected = compiled(two, y % classes), eager(one, y % classes)
        torch.testing.assert_close(found, expected)
        found.backward()
        expected.backward()
        torch.testing.assert_close(two.grad, one.grad)
        for mine, theirs in zip(other.buffers(), eager.buffers(), strict=True):
            torch.testing.assert_close(mine, theirs)


def test_resumes_bit_for_bit() -> None:
    loss = criterion(memory_age=5)
    for x, y in batches(4):
        loss(x, y)
    file = io.BytesIO()
    torch.save(loss.state_dict(), file)
    file.seek(0)
    resumed = criterion(memory_age=5)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for x, y in batches(7):
        assert torch.equal(loss(x, y), resumed(x, y))


def test_evaluation_reads_and_does_not_write() -> None:
    loss = criterion()
    (x, y), (other_x, other_y) = batches(2)
    loss(x, y)
    before = copy.deepcopy(loss.state_dict())
    value = loss.eval()(other_x, other_y)
    after = loss.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    torch.testing.assert_close(value, loss.train()(other_x, other_y))


def test_a_class_is_forgotten() -> None:
    loss = criterion(memory_age=2)
    x = torch.rand(2, D).double()
    loss(x, torch.tensor([0, 1]))
    for _ in range(3):
        loss(x, torch.tensor([1, 2]))
    assert loss.memory is not None
    means: Tensor = loss.memory[0].means  # type: ignore[assignment]
    assert (means[0] == 0).all()
    assert (means[1:3] != 0).all()
    loss(x, torch.tensor([0, 1]))
    torch.testing.assert_close(means[0], x[0])  # comes back as new


def test_stays_in_float32_and_survives_an_overflow() -> None:
    loss = DiscriminabilityLoss(C, memory=MOMENTUM, num_features=D).bfloat16()
    assert loss.memory is not None
    assert loss.memory[0].means.dtype == torch.float32
    x, y = torch.rand(5, D).bfloat16(), torch.arange(5)
    assert loss(x, y).isfinite()
    x[0, 0] = torch.inf
    assert loss(x, y).isnan()
    assert loss.memory[0].means.isfinite().all()  # type: ignore[operator]
    assert loss(torch.rand(5, D), y).isfinite()


def test_two_calls_before_one_backward() -> None:
    loss = criterion()
    (x, y), (z, w) = batches(2)
    x, z = x.requires_grad_(), z.requires_grad_()
    (loss(x, y) + loss(z, w)).backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_says_what_it_takes() -> None:
    assert "40x6" in repr(criterion())
    assert "GiB" in repr(criterion())


def test_the_first_mean_is_whole_at_any_momentum() -> None:
    x, y = torch.rand(6, D), torch.arange(6)
    loss = DiscriminabilityLoss(6, memory=1 - 1e-8, num_features=D)
    torch.testing.assert_close(loss(x, y), DiscriminabilityLoss(6)(x, y))


def test_stays_out_of_graphs_when_unpickled_elsewhere(tmp_path: Path) -> None:
    torch.save(criterion(), tmp_path / "loss.pt")
    code = (
        "import sys, torch; loss = torch.load(sys.argv[1], weights_only=False); "
        "print(loss.memory[0].blend._torchdynamo_disable)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "loss.pt")], capture_output=True, text=True
    )
    assert found.stdout.strip() == "True", found.stderr


def test_a_second_gradient_of_a_memory_that_moved_is_refused() -> None:
    loss, ((x, y), (other, labels)) = criterion(), batches(2)
    x.requires_grad_()
    first = loss(x, y)
    (whole,) = torch.autograd.grad(first, x, retain_graph=True)
    (again,) = torch.autograd.grad(first, x, create_graph=True, retain_graph=True)
    torch.testing.assert_close(whole, again)
    loss(other.requires_grad_(), labels)
    with pytest.raises(RuntimeError, match=r"^create_graph: the loss's memory has moved since .*; take"):
        torch.autograd.grad(first, x, create_graph=True)
