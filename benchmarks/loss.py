"""The loss against the plain formula and against moving the input's bytes: forward and backward, float32.

python benchmarks/loss.py [--allocator fresh] [--threads 2] [--rounds 5]
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from formula import Move, plain
from timing import allocator, arguments, both_ways, example, hold_allocator, in_turn, ratio, report, spread
from torchdiscern import DiscriminabilityLoss

CASES = [  # name, features, classes, whether they come from a ReLU
    ("maps", (200, 2048, 4, 4), 100, True),
    ("pooled", (200, 2048), 100, True),
    ("maps, signed", (200, 2048, 4, 4), 100, False),
    ("larger maps", (64, 512, 14, 14), 100, True),
    ("few classes", (256, 512), 10, True),
    ("many classes", (1024, 1024), 21_841, True),
    ("a thousand classes", (1024, 1024), 1_000, True),
    ("a million classes", (1024, 1024), 1_000_000, True),
    ("small", (64, 64), 10, True),
]
PLAIN_UP_TO = 30_000  # classes: the plain formula makes a matrix of all of them by all features


def on_the_device(criterion: DiscriminabilityLoss, features: Tensor, target: Tensor) -> dict[str, float]:
    """What only a GPU can tell: kernels launched, and the time of a graph that replays them."""
    from torch.profiler import ProfilerActivity, profile

    x = features.detach().requires_grad_()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            torch.autograd.grad(criterion(x, target), x)
    torch.cuda.current_stream().wait_stream(side)
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        torch.autograd.grad(criterion(x, target), x)
    kernels = sum(event.count for event in seen.key_averages() if event.device_type.name == "CUDA")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        torch.autograd.grad(criterion(x, target), x)
    times = in_turn({"replay": graph.replay}, 5, "cuda")
    return {"kernels": kernels, "replay_ms": spread(times["replay"]).middle}


def main() -> None:
    choice = {"choices": ["kept", "fresh"], "default": "kept", "help": "state of the memory allocator"}
    options = arguments(__doc__, 5, allocator=choice)
    hold_allocator(options.allocator)
    results: list[dict[str, Any]] = []
    rows: list[list[str]] = []
    on_maps: list[float] = []
    for name, shape, classes, relu in CASES:
        features, target = example(shape, classes, options.device, relu)
        criterion = DiscriminabilityLoss(classes).to(options.device)
        arms = {
            "ours": both_ways(partial(criterion, target=target), features),
            "move": both_ways(Move.apply, features),
        }
        slow = classes > 10_000
        if classes <= PLAIN_UP_TO:
            arms["plain"] = both_ways(partial(plain, target=target, num_classes=classes), features)
        if name == "a million classes":  # beside a thousand, in the same rounds
            few = torch.randint(1000, shape[:1], device=options.device)
            thousand_loss = DiscriminabilityLoss(1000).to(options.device)
            arms["a thousand"] = both_ways(partial(thousand_loss, target=few), features)
        times = in_turn(arms, options.rounds, options.device, *((1, 1) if slow and "plain" in arms else (3, 5)))
        result: dict[str, Any] = {"name": name, "shape": list(shape), "classes": classes}
        result["ms"] = {arm: spread(found).middle for arm, found in times.items()}
        result["ratios"] = {"ours/move": ratio(times["ours"], times["move"])}
        if "plain" in times:
            result["ratios"]["plain/ours"] = ratio(times["plain"], times["ours"])
        against = str(result["ratios"].get("plain/ours", "-"))
        if name == "maps":
            on_maps = times["plain"]
        if name == "pooled":
            result["ratios"]["plain on the maps/ours"] = ratio(on_maps, times["ours"])
            against += f"; the maps' plain {result['ratios']['plain on the maps/ours']}"
        if name == "a million classes":
            result["ratios"]["ours/a thousand"] = ratio(times["ours"], times["a thousand"])
            against = f"{result['ratios']['ours/a thousand']} of a thousand's time"
        if options.device == "cuda":
            result |= on_the_device(criterion, features, target)
        results.append(result)
        ms = result["ms"]
        rows.append(
            [
                f"{name} {list(shape)}",
                f"{classes:,}",
                f"{ms['plain']:.2f}" if "plain" in ms else "-",
                f"{ms['ours']:.2f}",
                against,
                str(result["ratios"]["ours/move"]),
            ]
        )
    title = f"The loss, forward and backward: {options.device}, threads {options.threads}, memory {allocator()}"
    header = ["features", "classes", "plain, ms", "ours, ms", "plain/ours", "ours/moving bytes"]
    if options.device == "cuda":
        header += ["kernels", "replayed, ms"]
        rows = [
            [*row, f"{r['kernels']:.0f}", f"{r['replay_ms']:.3f}"] for row, r in zip(rows, results, strict=True)
        ]
    report(f"loss-{options.allocator}-{options.threads}", title, header, rows, results, options)


if __name__ == "__main__":
    main()
