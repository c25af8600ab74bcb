"""What the benchmarks share: arms timed in turn within one process, ratios with their spread, tables, JSON.

A ratio is taken within a round, in which every arm runs several times before it is timed, so that each meets
the caches and the memory allocator as in a run of its own; medians and quartiles are over rounds.

On Linux the price of a large tensor hangs on what the allocator did before: it may keep freed memory, or fetch
new pages from the system, which can take longer than the arithmetic, and one process may do either. So the
benchmarks of the loss alone start themselves with the allocator held in one of two states, `kept` or `fresh`.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from torchdiscern import __version__
from torchdiscern.lab.environment import hardware
from torchdiscern.lab.files import write_atomically

ALLOCATOR = {
    "kept": {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40), "MALLOC_TOP_PAD_": str(2**28)},
    "fresh": {"MALLOC_MMAP_THRESHOLD_": str(2**17)},
}
QUIET = {"KINETO_LOG_LEVEL": "99"}  # the profiler's notes on itself
STATE = "TORCHDISCERN_BENCH_ALLOCATOR"


class Spread(NamedTuple):
    """Quartiles."""

    low: float
    middle: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.3g} ({self.low:.3g} to {self.high:.3g})"


def arguments(what: str, rounds: int, **more: dict[str, Any]) -> argparse.Namespace:
    """Parses the common options, and `more`, and sets threads and seed."""
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=rounds, help=f"{rounds} unless given")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU; 1 unless given")
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder for the JSON")
    for name, settings in more.items():
        parser.add_argument(f"--{name}", **settings)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    return options


def allocator() -> str:
    return os.environ.get(STATE, "as it comes")


def hold_allocator(state: str) -> None:
    """Starts this program anew with the allocator in the state, unless it is."""
    if allocator() != state and platform.system() == "Linux":
        wanted = ALLOCATOR[state] | QUIET | {STATE: state}
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | wanted)


def example(shape: Sequence[int], classes: int, device: str, relu: bool = True) -> tuple[Tensor, Tensor]:
    """Random features, as a ReLU leaves them or with their signs, and labels."""
    features = torch.randn(tuple(shape), device=device)
    return features.relu() if relu else features, torch.randint(classes, (shape[0],), device=device)


def both_ways(loss: Callable[[Tensor], Tensor], features: Tensor) -> Callable[[], object]:
    """A call that takes a loss of the features, or a copy of them, forward and backward."""

    def run() -> object:
        x = features.detach().requires_grad_()
        found = loss(x)
        return torch.autograd.grad(found, x, None if found.ndim == 0 else features)

    return run


def milliseconds(run: Callable[[], object], device: str, warm: int = 3, runs: int = 3) -> float:
    """The median of several runs, after several that do not count."""
    for _ in range(warm):
        run()
    times = []
    for _ in range(runs):
        if device == "cpu":
            start = time.perf_counter()
            run()
            times.append(1000 * (time.perf_counter() - start))
        else:
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            torch.cuda.synchronize()
            begin.record()
            run()
            end.record()
            torch.cuda.synchronize()
            times.append(begin.elapsed_time(end))
    return statistics.median(times)


def in_turn(
    arms: Mapping[str, Callable[[], object]], rounds: int, device: str, warm: int = 3, runs: int = 3
) -> dict[str, list[float]]:
    """Milliseconds of each arm in each round."""
    times: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(rounds):
        order = list(arms)
        first = number % len(order)
        for name in order[first:] + order[:first]:
            times[name].append(milliseconds(arms[name], device, warm, runs))
    return times


def spread(values: Sequence[float]) -> Spread:
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    return Spread(*statistics.quantiles(values, n=4, method="inclusive"))


def ratio(times: Sequence[float], of: Sequence[float]) -> Spread:
    return spread([a / b for a, b in zip(times, of, strict=True)])


def report(
    name: str,
    title: str,
    header: list[str],
    rows: list[list[str]],
    results: list[dict[str, Any]],
    options: argparse.Namespace,
) -> None:
    """Prints the table, and writes it with the numbers behind it to `<out>/<name>.json`."""
    table = Table(*header, title=title)
    for row in rows:
        table.add_row(*row)
    Console(width=max(100, Console().width)).print(table)
    about = {
        "command": f"python benchmarks/{Path(sys.argv[0]).name} {' '.join(sys.argv[1:])}".strip(),
        "date": time.strftime("%Y-%m-%d"),
        "torch": torch.__version__,
        "torchdiscern": __version__,
        "device": torch.cuda.get_device_name() if options.device == "cuda" else "cpu",
        "hardware": hardware(),
        "allocator": allocator(),
        "rounds": options.rounds,
    }
    found = {"about": about, "title": title, "table": [header, *rows], "results": results}
    options.out.mkdir(parents=True, exist_ok=True)
    write_atomically(options.out / f"{name}.json", json.dumps(found, indent=2) + "\n")
