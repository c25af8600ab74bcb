"""How the time of the loss grows with classes, features and samples: a plot, and exponents of fitted powers.

    python benchmarks/growth.py [--rounds 3] [--plot docs/images/growth.svg]

One of the three changes, the others stay. Exponents are slopes of straight lines through the logarithms over the
upper half of the points (below, the time is Python's), with 95% intervals; 0 is no growth, 1 grows in proportion.
"""

from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from scipy import stats

from formula import plain
from timing import arguments, both_ways, example, hold_allocator, in_turn, report, spread
from torchdiscern import DiscriminabilityLoss

SERIES: dict[str, list[tuple[int, int, int]]] = {  # B, D, C
    "classes": [
        (1024, 1024, C) for C in (10, 30, 100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
    ],
    "features": [(256, D, 100) for D in (64, 128, 256, 512, 1024, 2048, 4096, 8192)],
    "samples": [(B, 1024, 1000) for B in (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)],
}
PLAIN_UP_TO = 10_000


def main() -> None:
    plot = {"type": Path, "default": Path("runs/bench/growth.svg"), "help": "file to draw into"}
    options = arguments(__doc__, 3, plot=plot)
    hold_allocator("kept")
    results: list[dict[str, Any]] = []
    rows = []
    for quantity, sizes in SERIES.items():
        found: dict[str, dict[int, float]] = {"ours": {}, "plain formula": {}}
        for B, D, C in sizes:
            features, target = example((B, D), C, options.device)
            criterion = DiscriminabilityLoss(C).to(options.device)
            size = {"classes": C, "features": D, "samples": B}[quantity]
            calls = {"ours": both_ways(partial(criterion, target=target), features)}
            if C <= PLAIN_UP_TO:
                calls["plain formula"] = both_ways(partial(plain, target=target, num_classes=C), features)
            for loss, times in in_turn(calls, options.rounds, options.device).items():
                found[loss][size] = spread(times).middle
        for loss, ms in found.items():
            upper = list(ms)[len(ms) // 2 :]
            if quantity == "classes" and loss == "ours":  # all classes at hand until there are more than samples
                upper = [C for C in ms if C >= 1000]
            line = stats.linregress(np.log(upper), np.log([ms[size] for size in upper]))
            margin = float(stats.t.ppf(0.975, len(upper) - 2)) * float(line.stderr)
            exponent = [line.slope - margin, line.slope, line.slope + margin]
            results.append({"over": quantity, "loss": loss, "ms": ms, "exponent": exponent, "fitted": upper})
            rows.append(
                [
                    quantity,
                    loss,
                    f"{upper[0]:,} to {upper[-1]:,}",
                    f"{ms[upper[0]]:.2f} to {ms[upper[-1]]:.2f}",
                    f"{line.slope:.2f} ({exponent[0]:.2f} to {exponent[2]:.2f})",
                ]
            )
    draw(results, options.plot)
    title = f"Growth, forward and backward: {options.device}, threads {options.threads}"
    report(
        f"growth-{options.threads}", title, ["over", "loss", "from, to", "ms", "exponent"], rows, results, options
    )


def draw(results: list[dict[str, Any]], path: Path) -> None:
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "growth"
    from matplotlib import pyplot

    fixed = {
        "classes": "1,024 samples, 1,024 features",
        "features": "256 samples, 100 classes",
        "samples": "1,024 features, 1,000 classes",
    }
    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.6), layout="constrained", sharey=True)
    for axis, quantity in zip(axes, SERIES, strict=True):
        for found in results:
            if found["over"] == quantity:
                ours = found["loss"] == "ours"
                label = f"{found['loss']}, exponent {found['exponent'][1]:.2f}"
                style = {"color": "#1f5fa8" if ours else "#b06a1b", "marker": "o" if ours else "s"}
                axis.loglog(list(found["ms"]), list(found["ms"].values()), label=label, markersize=4, **style)
        axis.set_xlabel(quantity)
        axis.set_title(fixed[quantity], fontsize=10)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=9, frameon=False)
    axes[0].set_ylabel("forward and backward, ms")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
