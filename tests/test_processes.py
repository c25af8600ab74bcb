"""Real gloo processes against one process on the concatenated batch."""

import importlib
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel

from torchdiscern import DiscriminabilityLoss
from torchdiscern.functional import Impurity
from torchdiscern.processes import agree, together
from torchdiscern.targets import rows_of, sums_of

KINDS: list[Impurity] = ["gini", "renyi", "shannon", "entropy"]
WIDTHS = (6, 3)
SIZES = {2: (5, 2), 3: (5, 0, 3)}  # uneven, and one empty


def run(work: Callable[..., None], world: int, tmp_path: Path, *arguments: object) -> None:
    spawn(_start, (work, world, str(tmp_path / "meet"), arguments), nprocs=world)


def _start(rank: int, work: Callable[..., None], world: int, file: str, arguments: tuple[object, ...]) -> None:
    torch.set_num_threads(1)
    timeout = timedelta(seconds=5 if work is _one_fails else 60)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=world, timeout=timeout)
    work(rank, world, *arguments)
    dist.destroy_process_group()


def batches(world: int, classes: int) -> list[tuple[list[Tensor], Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (
            [torch.rand(size, width, generator=generator, dtype=torch.float64) - 0.3 for width in WIDTHS],
            torch.randint(classes, (size,), generator=generator),
        )
        for size in SIZES[world]
    ]


class Counted:
    """Counts the collectives while it is entered."""

    def __enter__(self) -> "Counted":
        self.calls = 0
        self.kept = {name: getattr(dist, name) for name in ("all_reduce",)}
        self.names: dict[str, Any] = vars(importlib.import_module("torchdiscern.processes"))
        self.gather = self.names["_all_gather"]

        def counted(function: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                self.calls += 1
                return function(*args, **kwargs)

            return call

        for name, function in self.kept.items():
            setattr(dist, name, counted(function))
        self.names["_all_gather"] = counted(self.gather)
        return self

    def __exit__(self, *_: object) -> None:
        for name, function in self.kept.items():
            setattr(dist, name, function)
        self.names["_all_gather"] = self.gather


def _equals_one_process(rank: int, world: int) -> None:
    for classes in (4, 1000):  # a table of all classes, and rows of those at hand
        for impurity in KINDS:
            parts = batches(world, classes)
            features, target = [x.requires_grad_() for x in parts[rank][0]], parts[rank][1]
            criterion = DiscriminabilityLoss(classes, impurity=impurity)
            loss = criterion(features, target)
            loss.backward()
            whole = [torch.cat([part[0][k].detach() for part in parts]).requires_grad_() for k in range(2)]
            alone = DiscriminabilityLoss(classes, impurity=impurity, sync=False)
            expected = alone(whole, torch.cat([part[1] for part in parts]))
            expected.backward()
            torch.testing.assert_close(loss, expected, rtol=0, atol=1e-10)
            start = sum(SIZES[world][:rank])
            for x, all_x in zip(features, whole, strict=True):
                assert x.grad is not None
                assert all_x.grad is not None
                own = all_x.grad[start : start + len(target)]
                torch.testing.assert_close(x.grad / world, own, rtol=0, atol=1e-10)
            with Counted() as counted:
                criterion(features, target).backward()
            assert counted.calls == 1
            with Counted() as counted:
                if len(target):
                    alone(features, target)
                    criterion.eval()(features, target)
            assert counted.calls == 0


def _averages_to_one_process(rank: int, world: int) -> None:
    classes = 4
    generator = torch.Generator().manual_seed(2)
    images = torch.rand(8, 5, generator=generator, dtype=torch.float64)
    target = torch.randint(classes, (8,), generator=generator)
    mine = slice(0, 6) if rank == 0 else slice(6, 8)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU()).double()
    expected = torch.autograd.grad(
        DiscriminabilityLoss(classes, sync=False)(model(images), target), list(model.parameters())
    )
    parallel = DistributedDataParallel(model)
    DiscriminabilityLoss(classes)(parallel(images[mine]), target[mine]).backward()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=0, atol=1e-10)


def _averages_under_fsdp(rank: int, world: int) -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU()).double()
    images = torch.rand(8, 5, dtype=torch.float64)
    target = torch.randint(4, (8,))
    expected = torch.autograd.grad(
        DiscriminabilityLoss(4, sync=False)(model(images), target), list(model.parameters())
    )
    mine = slice(0, 6) if rank == 0 else slice(6, 8)
    fully_shard(model, mesh=init_device_mesh("cpu", (world,)))
    DiscriminabilityLoss(4)(model(images[mine]), target[mine]).backward()
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert parameter.grad is not None
        sharded: Any = parameter.grad
        torch.testing.assert_close(sharded.full_tensor(), gradient, rtol=0, atol=1e-10)


def _memories_are_the_same(rank: int, world: int) -> None:
    for classes in (4, 1000):
        criterion = DiscriminabilityLoss(classes, memory=0.9, num_features=WIDTHS)
        alone = DiscriminabilityLoss(classes, memory=0.9, num_features=WIDTHS, sync=False)
        parts = batches(world, classes)
        whole = [torch.cat([part[0][k].float() for part in parts]) for k in range(2)]
        for _ in range(3):
            loss = criterion([x.float() for x in parts[rank][0]], parts[rank][1])
            torch.testing.assert_close(loss, alone(whole, torch.cat([part[1] for part in parts])))
        for one, other in zip(criterion.buffers(), alone.buffers(), strict=True):
            torch.testing.assert_close(one, other)


def _disagree(rank: int, world: int) -> None:
    with pytest.raises(ValueError, match="another process has others"):
        DiscriminabilityLoss(4)(torch.rand(3, 5 + rank), torch.tensor([0, 1, 2]))


def _grows(rank: int, world: int) -> None:
    criterion = DiscriminabilityLoss(1000)
    criterion(torch.rand(3, 5), torch.arange(3))
    with pytest.raises(ValueError, match="agree_again"):
        criterion(torch.rand(4, 5), torch.arange(4))
    criterion.agree_again()
    assert criterion(torch.rand(4, 5), torch.arange(4)).isfinite()


def _one_fails(rank: int, world: int) -> None:
    criterion = DiscriminabilityLoss(4)
    criterion(torch.rand(3, 5), torch.tensor([0, 1, 2]))
    if rank == 1:
        time.sleep(60)
    start = time.monotonic()
    with pytest.raises(RuntimeError):
        criterion(torch.rand(3, 5), torch.tensor([0, 1, 2]))
    assert time.monotonic() - start < 25
    raise RuntimeError("failed in time")


@pytest.mark.parametrize("world", [2, 3])
def test_equals_one_process(world: int, tmp_path: Path) -> None:
    run(_equals_one_process, world, tmp_path)


@pytest.mark.parametrize(
    "work", [_averages_to_one_process, _averages_under_fsdp, _memories_are_the_same, _disagree, _grows]
)
def test_two_processes(work: Callable[..., None], tmp_path: Path) -> None:
    run(work, 2, tmp_path)


def test_a_process_that_hangs_stops_the_others(tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(Exception, match="failed in time"):
        run(_one_fails, 2, tmp_path)
    assert time.monotonic() - start < 50


@pytest.fixture
def group_of_one(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'one'}", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("classes", [4, 1000], ids=["table", "rows"])
def test_alone_in_a_group_the_sums_are_ones_own(classes: int, group_of_one: None) -> None:
    target = torch.randint(classes, (6,))
    features = [torch.rand(6, width, dtype=torch.float64, requires_grad=True) for width in WIDTHS]
    layers = [sums_of(rows_of(x, target, classes)) for x in features]
    rows = agree(layers, [classes, classes])
    assert rows == min(classes, 6)
    found = together(layers, [classes, classes], rows)
    for x, own, sums in zip(features, layers, found, strict=True):
        for c in target.unique().tolist():
            place = c if sums.classes is None else sums.classes.tolist().index(c)
            torch.testing.assert_close(sums.sums[place], x[target == c].sum(0))
            assert sums.counts[place] == (target == c).sum()
        (gradient,) = torch.autograd.grad(sums.sums.square().sum(), x, retain_graph=True)
        (expected,) = torch.autograd.grad(own.sums.square().sum(), x)
        torch.testing.assert_close(gradient, expected)
    if classes == 1000:
        with pytest.raises(ValueError, match="agree_again"):
            together(layers, [classes, classes], rows - 1)
