"""The loss against the plain formula (one-hot product and autograd), forward and backward, in pairs.

Prints the median ratio of paired calls, so that a machine whose speed drifts does not decide.
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from rich import print as show
from rich.table import Table
from torch import Tensor
from torch.nn.functional import one_hot

from torchdiscern import DiscriminabilityLoss

SHAPES = [
    ((64, 64), 10),
    ((200, 2048), 100),
    ((200, 2048, 4, 4), 100),
    ((200, 512, 4, 4), 100),
    ((256, 1024), 1000),
]


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


def seconds(loss: Callable[[Tensor, Tensor], Tensor], features: Tensor, target: Tensor) -> float:
    x = features.clone().requires_grad_()
    start = time.perf_counter()
    loss(x, target).backward()
    return time.perf_counter() - start


def main(pairs: int = 30) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    table = Table("features", "classes", "plain, ms", "ours, ms", "plain/ours", title="one thread, float32")
    for shape, num_classes in SHAPES:
        features, target = torch.randn(shape).relu(), torch.randint(num_classes, shape[:1])
        criterion = DiscriminabilityLoss(num_classes)
        times = []
        for _ in range(pairs + 3):
            theirs = seconds(partial(plain, num_classes=num_classes), features, target)
            times.append((theirs, seconds(criterion, features, target)))
        times = times[3:]
        ratios = sorted(theirs / ours for theirs, ours in times)
        low, middle, high = (ratios[len(ratios) * share // 4] for share in (1, 2, 3))
        table.add_row(
            str(list(shape)),
            f"{num_classes:,}",
            f"{1000 * statistics.median(theirs for theirs, _ in times):.2f}",
            f"{1000 * statistics.median(ours for _, ours in times):.2f}",
            f"{middle:.2f} ({low:.2f} to {high:.2f})",
        )
    show(table)


if __name__ == "__main__":
    main()
