"""The loss against losses that a user would otherwise add: forward and backward, same features, same process.

    python benchmarks/rivals.py [--threads 2] [--rounds 5]

SupCon, ArcFace, CosFace, triplet and contrastive are pytorch-metric-learning's with its settings; those that
have parameters of their own take their gradient too, as training would. Centre loss is written out.
"""

from functools import partial
from typing import Any

import torch
from pytorch_metric_learning import losses
from torch import Tensor, nn

from formula import CentreLoss
from timing import arguments, example, hold_allocator, in_turn, ratio, report, spread
from torchdiscern import DiscriminabilityLoss

SHAPES = [((200, 2048), 100), ((128, 512), 100), ((1024, 1024), 1000)]  # features, classes


def rivals(num_classes: int, num_features: int) -> dict[str, nn.Module]:
    return {
        "SupCon": losses.SupConLoss(),
        "ArcFace": losses.ArcFaceLoss(num_classes, num_features),
        "CosFace": losses.CosFaceLoss(num_classes, num_features),
        "triplet": losses.TripletMarginLoss(),
        "contrastive": losses.ContrastiveLoss(),
        "centre": CentreLoss(num_classes, num_features),
    }


def once(loss: nn.Module, features: Tensor, target: Tensor) -> object:
    x = features.detach().requires_grad_()
    return torch.autograd.grad(loss(x, target), [x, *loss.parameters()])


def main() -> None:
    options = arguments(__doc__, 5)
    hold_allocator("kept")
    results: list[dict[str, Any]] = []
    rows = []
    for shape, classes in SHAPES:
        features, target = example(shape, classes, options.device)
        arms: dict[str, nn.Module] = {
            "ours": DiscriminabilityLoss(classes),
            "ours, recommended": DiscriminabilityLoss.recommended(classes),
        }
        arms |= rivals(classes, shape[1])

        calls = {name: partial(once, loss.to(options.device), features, target) for name, loss in arms.items()}
        times = in_turn(calls, options.rounds, options.device, 2, 3)
        ours = times["ours"]
        result: dict[str, Any] = {"shape": list(shape), "classes": classes, "ms": {}, "ratios": {}}
        for name, found in times.items():
            result["ms"][name] = spread(found).middle
            result["ratios"][f"{name}/ours"] = ratio(found, ours)
            rows.append(
                [str(list(shape)), f"{classes:,}", name, f"{spread(found).middle:.2f}", str(ratio(found, ours))]
            )
        results.append(result)
    title = f"Losses beside cross-entropy, forward and backward: {options.device}, threads {options.threads}"
    header = ["features", "classes", "loss", "ms", "times ours"]
    report(f"rivals-{options.threads}", title, header, rows, results, options)


if __name__ == "__main__":
    main()
