"""What a batch of real images knows of the class distribution of each feature, without and with memory.

    TORCHDISCERN_DATA=.data python benchmarks/batches.py [--rounds 5] [--plot docs/images/batches.svg]

Features: the 1,280 pooled ones of an EfficientNet-Lite0 trained on ImageNet, of the 8,677 images of Caltech-101
(101 classes) at 112 pixels; they are computed once and kept in `runs/bench`. `P` of all images is the truth.
A batch is drawn at random; memory is looked at after one epoch of such batches. Bias and deviation over draws are
lengths of a feature's distribution over the classes (0 to 1.4), root mean square over features; what the
deviation of the mean of so many draws adds to the bias is taken off. The features stand still, as those of a
frozen network do; while a network learns, running means lag behind, which this does not show.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

import matplotlib
import torch
from rich.progress import track
from torch import Tensor

from timing import arguments, report, spread
from torchdiscern.functional import distribution_of_means, renyi
from torchdiscern.lab.data import read_folder
from torchdiscern.lab.networks.weights import efficientnet_lite0
from torchdiscern.memory import ClassMemory
from torchdiscern.targets import ClassSums, every_class, means_of, rows_of

SIZES = [16, 32, 64, 128, 256, 512, 1024, 2048]
MEMORIES = [0.0, 0.9, 0.99]
DRAWS = 10
EPS = 1e-10


@torch.no_grad()
def features_of(folder: Path, kept: Path, device: str) -> tuple[Tensor, Tensor]:
    names = "\n".join(sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*")))
    file = kept / f"features-{hashlib.sha256(names.encode()).hexdigest()[:12]}.pt"
    if file.exists():
        found = torch.load(file, weights_only=True)
        return found["features"], found["labels"]
    images = read_folder(folder, 112, progress=lambda paths: track(list(paths), "Reading images"), in_memory=True)
    network: Any = efficientnet_lite0().to(device)
    network.reset_classifier(0)
    parts = [
        network((part.to(device).float() - 127) / 128).cpu()
        for part in track(images.tensor().split(64), "Computing features")
    ]
    kept.mkdir(parents=True, exist_ok=True)
    torch.save({"features": torch.cat(parts), "labels": images.labels}, file)
    return torch.cat(parts), images.labels


def means_in(features: Tensor, labels: Tensor, classes: int) -> ClassSums:
    return every_class(means_of(rows_of(features, labels, classes), EPS), classes)


@torch.no_grad()
def estimate(features: Tensor, labels: Tensor, size: int, memory: float, generator: torch.Generator) -> Tensor:
    """`P` as a batch drawn at random gives it; with memory, as it stands after an epoch of such batches."""
    classes = int(labels.max()) + 1
    order = torch.randperm(len(labels), generator=generator)
    if not memory:
        return distribution_of_means(
            means_in(features[order[:size]], labels[order[:size]], classes).sums.double()
        )
    running = ClassMemory(classes, features.shape[1], memory).train()
    for at in order[: len(order) // size * size].split(size):
        running.blend(means_in(features[at], labels[at], classes))
    return distribution_of_means(running.means.double())


def measure(features: Tensor, labels: Tensor, size: int, memory: float, seed: int) -> dict[str, float]:
    """Bias, deviation and mean Renyi impurity of what independent draws give."""
    truth = distribution_of_means(means_in(features, labels, int(labels.max()) + 1).sums.double())
    generator = torch.Generator().manual_seed(seed)
    found = torch.stack([estimate(features, labels, size, memory, generator) for _ in range(DRAWS)])
    variance = found.var(0)
    bias = ((found.mean(0) - truth).square() - variance / DRAWS).sum(0).mean().clamp_min(0).sqrt()
    impurity = torch.stack([renyi(P).mean() for P in found]).mean()
    deviation = variance.sum(0).mean().sqrt()
    return {"bias": bias.item(), "deviation": deviation.item(), "impurity": impurity.item()}


def main() -> None:
    plot = {"type": Path, "default": Path("runs/bench/batches.svg"), "help": "file to draw into"}
    options = arguments(__doc__, 5, plot=plot)
    folder = Path(os.environ.get("TORCHDISCERN_DATA", "")) / "caltech101" / "101_ObjectCategories"
    if "TORCHDISCERN_DATA" not in os.environ or not folder.is_dir():
        print("batches.py is left out: TORCHDISCERN_DATA names no folder with caltech101/101_ObjectCategories.")
        return
    features, labels = features_of(folder.resolve(), Path("runs/bench"), options.device)
    classes = int(labels.max()) + 1
    truth = renyi(distribution_of_means(means_in(features, labels, classes).sums.double())).mean().item()
    results: list[dict[str, Any]] = []
    rows = []
    for size in track(SIZES, "Measuring"):
        for memory in MEMORIES:
            found = [measure(features, labels, size, memory, seed) for seed in range(options.rounds)]
            spreads = {name: spread([one[name] for one in found]) for name in found[0]}
            results.append({"batch": size, "memory": memory, "seeds": found} | spreads)
            rows.append(
                [f"{size:,}", f"{memory:g}" if memory else "none", *(str(one) for one in spreads.values())]
            )
    draw(results, truth, options.plot)
    title = f"Class distributions from batches against all {len(labels):,} images (impurity of all: {truth:.3g})"
    header = ["batch", "memory", "bias", "deviation", "mean Renyi impurity"]
    report("batches", title, header, rows, results, options)


def draw(results: list[dict[str, Any]], truth: float, path: Path) -> None:
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "batches"
    from matplotlib import pyplot

    titles = {"bias": "bias", "deviation": "standard deviation", "impurity": "mean Renyi impurity"}
    colours = dict(zip(MEMORIES, ("#b06a1b", "#1f5fa8", "#4a8f5c"), strict=True))
    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        for memory in MEMORIES:
            found = [one for one in results if one["memory"] == memory]
            sizes, seeds = [one["batch"] for one in found], [[s[name] for s in one["seeds"]] for one in found]
            label = f"memory {memory:g}" if memory else "no memory"
            axis.plot(sizes, [one[name].middle for one in found], "o-", color=colours[memory], label=label, ms=4)
            axis.fill_between(
                sizes, [min(s) for s in seeds], [max(s) for s in seeds], color=colours[memory], alpha=0.25
            )
        if name == "impurity":
            axis.axhline(truth, color="black", linestyle=":", label="all images")
        axis.set_xscale("log", base=2)
        axis.set_xticks(SIZES, [str(size) for size in SIZES], fontsize=8)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("batch size (101 classes)")
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3)
    axes[2].legend(fontsize=9, frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
