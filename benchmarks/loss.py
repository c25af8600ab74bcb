"""The loss against the plain formula and against moving the input's bytes, forward and backward, in one process.

Every round runs each arm several times before it is timed, so that each meets the allocator as it would in a
training run of its own; ratios are taken within a round. Prints medians with quartiles and writes JSON.

    python benchmarks/loss.py [--rounds 7] [--threads 1] [--out FILE] [--docs docs/cost.md]
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich import print as show
from rich.table import Table
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import one_hot

from torchdiscern import DiscriminabilityLoss

Loss = Callable[[Tensor, Tensor], Tensor]
MAPS = (200, 2048, 4, 4)
CASES = [  # name, features, classes, whether they come from a ReLU
    ("maps", MAPS, 100, True),
    ("maps, signed", MAPS, 100, False),
    ("pooled", (200, 2048), 100, True),
    ("many classes", (1024, 1024), 21_841, True),
    ("a thousand classes", (1024, 1024), 1_000, True),
    ("a million classes", (1024, 1024), 1_000_000, True),
    ("small", (64, 64), 10, True),
]
PLAIN_UP_TO = 30_000  # the plain formula makes a matrix of all classes by all features


def plain(features: Tensor, target: Tensor, num_classes: int, eps: float = 1e-10) -> Tensor:
    """METHOD's table word for word, with weights of 0.5."""
    a = features.abs().flatten(2).mean(2) if features.ndim > 2 else features.abs()
    Y = one_hot(target, num_classes).to(a.dtype)
    counts = Y.sum(0)
    M = (Y.T @ a) / (counts + eps).unsqueeze(1)
    P = M / (M.sum(0) + eps)
    q = (P.sum(1) + eps) / P.sum()
    t = counts / counts.sum()
    return 0.5 * (1 - P.square().sum(0)).mean() + 0.5 * (torch.xlogy(t, t) - t * q.log()).sum()


class Move(Function):
    """Copies the input forward and the gradient backward, and does nothing else."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad.clone()


def milliseconds(loss: Loss, features: Tensor, target: Tensor, warm: int) -> float:
    times = []
    for _ in range(warm + 3):
        x = features.detach().requires_grad_()
        start = time.perf_counter()
        found = loss(x, target)
        torch.autograd.grad(found, x, None if found.ndim == 0 else features)
        times.append(1000 * (time.perf_counter() - start))
        del found
    return statistics.median(times[warm:])


def quartiles(values: list[float]) -> list[float]:
    return statistics.quantiles(values, n=4, method="inclusive")


def measure(rounds: int) -> list[dict[str, Any]]:
    results = []
    pooled_maps: list[float] = []
    for name, shape, classes, relu in CASES:
        features = torch.randn(shape).relu() if relu else torch.randn(shape)
        target = torch.randint(classes, shape[:1])
        criterion = DiscriminabilityLoss(classes)

        def formula(x: Tensor, y: Tensor, classes: int = classes) -> Tensor:
            return plain(x, y, classes)

        def move(x: Tensor, y: Tensor) -> Tensor:
            moved: Tensor = Move.apply(x)
            return moved

        arms: dict[str, Loss] = {"ours": criterion, "move": move}
        if classes <= PLAIN_UP_TO:
            arms["plain"] = formula
        times: dict[str, list[float]] = {arm: [] for arm in arms}
        for _ in range(rounds):
            for arm, loss in arms.items():
                slow = arm == "plain" and classes > 10_000
                times[arm].append(milliseconds(loss, features, target, 1 if slow else 3))
        result: dict[str, Any] = {"name": name, "shape": list(shape), "classes": classes}
        for arm, found in times.items():
            result[f"{arm}_ms"] = statistics.median(found)
        for other in times.keys() - {"ours"}:
            ratios = [a / b for a, b in zip(times[other], times["ours"], strict=True)]
            result[f"{other}/ours"] = quartiles(ratios)
        if name == "maps":
            pooled_maps = times["plain"]
        if name == "pooled":
            ratios = [a / b for a, b in zip(pooled_maps, times["ours"], strict=True)]
            result["plain on the maps/ours"] = quartiles(ratios)
        results.append(result)
    return results


def shown(ratio: list[float] | None) -> str:
    if ratio is None:
        return "-"
    low, middle, high = ratio
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


def publish(page: Path, rows: list[list[str]], title: str) -> None:
    """Writes the table between the marks in a page."""
    begin, end = "<!-- begin loss.json -->", "<!-- end loss.json -->"
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    table = "\n".join("| " + " | ".join(row) + " |" for row in lines)
    text = page.read_text()
    before, after = text[: text.index(begin) + len(begin)], text[text.index(end) :]
    page.write_text(f"{before}\n\n{table}\n\n*{title}*\n\n{after}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/bench/loss.json"))
    parser.add_argument("--docs", type=Path, help="a page to write the table into")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    results = measure(options.rounds)
    title = f"forward and backward, float32, threads: {options.threads}; medians (quartiles)"
    rows = [["features", "classes", "plain, ms", "ours, ms", "plain/ours", "moving bytes/ours"]]
    for result in results:
        plain_ms = f"{result['plain_ms']:.2f}" if "plain_ms" in result else "-"
        ratio = shown(result.get("plain/ours"))
        if "plain on the maps/ours" in result:
            ratio += f"; maps' plain/ours {shown(result['plain on the maps/ours'])}"
        name = f"{result['name']} {result['shape']}"
        rows.append(
            [
                name,
                f"{result['classes']:,}",
                plain_ms,
                f"{result['ours_ms']:.2f}",
                ratio,
                shown(result["move/ours"]),
            ]
        )
    table = Table(*rows[0], title=title)
    for row in rows[1:]:
        table.add_row(*row)
    show(table)
    if options.docs:
        publish(options.docs, rows, title + f"; torch {torch.__version__}, {platform.machine()}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    about = {"torch": torch.__version__, "machine": platform.machine(), "threads": options.threads}
    options.out.write_text(json.dumps({"about": about, "results": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
