"""Real gloo processes against one process on the concatenated batch."""

import importlib
import os
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import product
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
SIZES: dict[int, list[tuple[int, ...]]] = {2: [(5, 2), (0, 6)], 3: [(5, 0, 3), (1, 4, 1)]}  # uneven, some empty
LABELS = {4: (0, 1, 2, 3), 1000: (3, 17, 500, 999)}  # few, so that processes share some and lack others


def run(work: Callable[..., None], world: int, tmp_path: Path, *arguments: object) -> None:
    spawn(_start, (work, world, str(tmp_path / "meet"), arguments), nprocs=world)


def _start(rank: int, work: Callable[..., None], world: int, file: str, arguments: tuple[object, ...]) -> None:
    torch.set_num_threads(1)
    timeout = timedelta(seconds=5 if work in (_one_fails, _one_exits) else 30)
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=world, timeout=timeout)
    work(rank, world, *arguments)
    dist.barrier()
    # all is checked everywhere; what would follow is torch's: destroying the group, in which torch 2.6 sometimes
    # waits for ever, and the interpreter's end, in which its threads sometimes abort after FSDP2
    os._exit(0)


def batches(sizes: tuple[int, ...], classes: int) -> list[tuple[list[Tensor], Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (
            [torch.rand(size, width, generator=generator, dtype=torch.float64) - 0.3 for width in WIDTHS],
            torch.tensor(LABELS[classes])[torch.randint(4, (size,), generator=generator)],
        )
        for size in sizes
    ]


class Counted:
    """Notes the collectives while it is entered."""

    def __enter__(self) -> "Counted":
        self.calls: list[str] = []
        self.names: dict[str, Any] = vars(importlib.import_module("torchdiscern.processes"))
        self.reduce: Any = dist.all_reduce
        self.gather = self.names["_all_gather"]

        def counted(name: str, function: Any) -> Any:
            def call(*args: Any, **kwargs: Any) -> Any:
                self.calls.append(name)
                return function(*args, **kwargs)

            return call

        vars(dist)["all_reduce"] = counted("reduce", self.reduce)
        self.names["_all_gather"] = counted("gather", self.gather)
        return self

    def __exit__(self, *_: object) -> None:
        vars(dist)["all_reduce"] = self.reduce
        self.names["_all_gather"] = self.gather


def _equals_one_process(rank: int, world: int) -> None:
    for sizes, classes, impurity in product(SIZES[world], LABELS, KINDS):
        form = "reduce" if classes == 4 else "gather"  # a table of all classes, or rows of those at hand
        parts = batches(sizes, classes)
        features, target = [x.requires_grad_() for x in parts[rank][0]], parts[rank][1]
        criterion = DiscriminabilityLoss(classes, impurity=impurity)
        alone = DiscriminabilityLoss(classes, impurity=impurity, sync=False)
        whole = [torch.cat([part[0][k].detach() for part in parts]).requires_grad_() for k in range(2)]
        expected = alone(whole, torch.cat([part[1] for part in parts]))
        expected.backward()
        start = sum(sizes[:rank])
        for calls in (["reduce", form], [form], [form]):  # the first call agrees on the form
            for x in features:
                x.grad = None
            with Counted() as counted:
                loss = criterion(features, target)
                loss.backward()
            assert counted.calls == calls
            torch.testing.assert_close(loss, expected, rtol=0, atol=1e-10)
            for x, all_x in zip(features, whole, strict=True):
                assert x.grad is not None
                assert all_x.grad is not None
                own = all_x.grad[start : start + len(target)]
                torch.testing.assert_close(x.grad / world, own, rtol=0, atol=1e-10)
        if len(target):
            with Counted() as counted:
                local = alone(features, target)
                in_eval = criterion.eval()(features, target)
            assert counted.calls == []
            torch.testing.assert_close(in_eval, local, rtol=0, atol=1e-10)


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


def _layers_of_two_types(rank: int, world: int) -> None:
    classes = 1000
    torch.manual_seed(0)
    target = torch.randint(classes, (5,))
    features = [torch.rand(5, 6), torch.rand(5, 3, dtype=torch.float64)]
    prior = torch.rand(classes, dtype=torch.float64)
    prior /= prior.sum()
    mine = slice(0, 3) if rank == 0 else slice(3, 5)
    for layers in (features, features[::-1]):
        found = DiscriminabilityLoss(classes, prior=prior)([x[mine] for x in layers], target[mine])
        expected = DiscriminabilityLoss(classes, prior=prior, sync=False)(layers, target)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6, check_dtype=False)


def _memories_are_the_same(rank: int, world: int) -> None:
    for classes in (4, 1000):
        criterion = DiscriminabilityLoss(classes, memory=0.9, num_features=WIDTHS)
        alone = DiscriminabilityLoss(classes, memory=0.9, num_features=WIDTHS, sync=False)
        parts = batches(SIZES[world][0], classes)
        whole = [torch.cat([part[0][k].float() for part in parts]) for k in range(2)]
        for _ in range(3):
            loss = criterion([x.float() for x in parts[rank][0]], parts[rank][1])
            torch.testing.assert_close(loss, alone(whole, torch.cat([part[1] for part in parts])))
        for one, other in zip(criterion.buffers(), alone.buffers(), strict=True):
            torch.testing.assert_close(one, other)


def _disagree(rank: int, world: int) -> None:
    features, target = torch.rand(3, 5), torch.tensor([0, 1, 2])
    with pytest.raises(ValueError, match="another process has others"):
        DiscriminabilityLoss(4)(torch.rand(3, 6 if rank == 1 else 5), target)
    with pytest.raises(ValueError, match="another process has others"):
        DiscriminabilityLoss(4)([features] * (1 + (rank == 1)), target)
    with pytest.raises(ValueError, match="another process has others"):
        DiscriminabilityLoss(4 + (rank == 1))(features, target)


def _grows(rank: int, world: int) -> None:
    small, large = batches((3, 3), 1000), batches((4, 4), 1000)
    criterion = DiscriminabilityLoss(1000)
    criterion(*small[rank])
    with pytest.raises(ValueError, match="agree_again"):
        criterion(*large[rank])
    criterion.agree_again()
    whole = [torch.cat([part[0][k] for part in large]) for k in range(2)]
    expected = DiscriminabilityLoss(1000, sync=False)(whole, torch.cat([part[1] for part in large]))
    for parts in (large, small, large):
        loss = criterion(*parts[rank])
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-10)


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


def _one_exits(rank: int, world: int, found: Path) -> None:
    criterion = DiscriminabilityLoss(4)
    features, target = torch.rand(3, 5), torch.tensor([0, 1, 2])
    criterion(features, target)
    if rank == 1:
        os._exit(1)  # an exception would end the interpreter, in which torch's threads sometimes abort
    start = time.monotonic()
    with pytest.raises(RuntimeError):
        criterion(features, target)
    torch.save(time.monotonic() - start, found / f"{rank}.pt")


@pytest.mark.parametrize("world", [2, 3])
def test_equals_one_process(world: int, tmp_path: Path) -> None:
    run(_equals_one_process, world, tmp_path)


without_fsdp = pytest.mark.skipif(
    torch.__version__.startswith("2.6."), reason="FSDP2 of torch 2.6 does not run on the CPU"
)


@pytest.mark.parametrize(
    "work",
    [
        _averages_to_one_process,
        pytest.param(_averages_under_fsdp, marks=without_fsdp),
        _layers_of_two_types,
        _memories_are_the_same,
        _grows,
    ],
)
def test_two_processes(work: Callable[..., None], tmp_path: Path) -> None:
    run(work, 2, tmp_path)


def test_processes_that_differ_are_told_in_each(tmp_path: Path) -> None:
    run(_disagree, 3, tmp_path)


def test_a_process_that_exits_stops_the_others(tmp_path: Path) -> None:
    arguments = (_one_exits, 2, str(tmp_path / "meet"), (tmp_path,))
    context = spawn(_start, arguments, nprocs=2, join=False)  # joined, it would end the others itself
    try:
        for process in context.processes:
            process.join(30)
    finally:
        for process in context.processes:
            process.kill()
    assert torch.load(tmp_path / "0.pt") < 25
    assert context.processes[1].exitcode == 1


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
