"""Peak memory of the loss, forward and backward, as a profiler that hears of every tensor adds it up.

    python benchmarks/memory.py

Input and gradient are there with any loss; the table counts what is taken beyond them, in MB and in class means,
`k x D` numbers, `k` being the smaller of samples and classes.
"""

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from pytorch_metric_learning import losses
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from formula import CentreLoss, plain
from timing import arguments, both_ways, example, hold_allocator, report
from torchdiscern import DiscriminabilityLoss

CASES = [
    ((200, 2048, 4, 4), 100),
    ((200, 2048), 100),
    ((1024, 1024), 1000),
    ((1024, 1024), 21_841),
    ((64, 512), 1_000_000),
]
PLAIN_UP_TO = 30_000


def peak_bytes(run: Callable[[], object], device: str) -> int:
    """The most memory held at once while it runs, above what was held before."""
    run()
    if device == "cuda":
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        seen.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    changes = [event for event in events if event.get("name") == "[memory]"]
    changes.sort(key=lambda event: float(event["ts"]))
    held = most = 0
    for change in changes:
        held += int(change["args"]["Bytes"])
        most = max(most, held)
    return most


def main() -> None:
    options = arguments(__doc__, 1)
    hold_allocator("kept")
    results: list[dict[str, Any]] = []
    rows = []
    for shape, classes in CASES:
        features, target = example(shape, classes, options.device)
        arms: dict[str, Callable[[Tensor], Tensor]] = {
            "ours": partial(DiscriminabilityLoss(classes).to(options.device), target=target)
        }
        if classes <= PLAIN_UP_TO:
            arms["plain formula"] = partial(plain, target=target, num_classes=classes)
        if len(shape) == 2 and classes == 100:
            arms["SupCon"] = partial(losses.SupConLoss(), labels=target)
            arms["ArcFace"] = partial(losses.ArcFaceLoss(classes, shape[1]).to(options.device), labels=target)
            arms["centre"] = partial(CentreLoss(classes, shape[1]).to(options.device), target=target)
        means = 4 * min(shape[0], classes) * shape[1]
        for name, loss in arms.items():
            beyond = peak_bytes(both_ways(loss, features), options.device) - features.nbytes
            result = {
                "loss": name,
                "shape": list(shape),
                "classes": classes,
                "bytes": beyond,
                "class_means_bytes": means,
            }
            results.append(result)
            rows.append([str(list(shape)), f"{classes:,}", name, f"{beyond / 1e6:.1f}", f"{beyond / means:.2f}"])
    title = f"Peak memory beyond the input and its gradient, forward and backward: {options.device}"
    header = ["features", "classes", "loss", "MB", "class means (k x D)"]
    report("memory", title, header, rows, results, options)


if __name__ == "__main__":
    main()
