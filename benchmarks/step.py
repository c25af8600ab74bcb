"""A whole training step with and without the loss: forward, backward, optimizer, in turn in one process.

    python benchmarks/step.py [--threads 2] [--rounds 11] [--batch 128]

ResNet-18 with the stem of the paper's CIFAR networks (3x3, no pooling) and a small vision transformer (8 blocks
of width 192 on 4x4 patches), both on images of 32x32 and 100 classes. The map tap reads the last stage's output,
the pooled tap its mean over all positions. Each arm has its tap attached during its own steps alone. The last
column is the time of the loss alone, forward and backward on such features, as a share of the step without it.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision.models import VisionTransformer, resnet18

from timing import arguments, both_ways, in_turn, ratio, report, spread
from torchdiscern import DiscriminabilityLoss, FeatureTap

CLASSES = 100
WITHOUT = "without"


def residual() -> nn.Module:
    model: nn.Module = resnet18(num_classes=CLASSES)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = nn.Identity()
    return model


def transformer() -> nn.Module:
    model: nn.Module = VisionTransformer(
        32, 4, num_layers=8, num_heads=3, hidden_dim=192, mlp_dim=384, num_classes=CLASSES
    )
    return model


class Network(NamedTuple):
    name: str
    build: Callable[[], nn.Module]
    layer: str
    feature_dim: int


NETWORKS = [Network("ResNet-18", residual, "layer4", 1), Network("small ViT", transformer, "encoder.ln", -1)]


class Term(NamedTuple):
    tap: FeatureTap
    loss: DiscriminabilityLoss


def step(
    model: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, target: Tensor, term: Term | None = None
) -> object:
    optimizer.zero_grad(set_to_none=True)
    with nullcontext() if term is None else term.tap:
        loss = nn.functional.cross_entropy(model(images), target)
        if term is not None:
            loss = loss + term.loss(term.tap.features, target)
    loss.backward()
    return optimizer.step()


def main() -> None:
    options = arguments(__doc__, 11, batch={"type": int, "default": 128, "help": "images a step"})
    device = options.device
    images = torch.rand(options.batch, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    target = torch.randint(CLASSES, (options.batch,), device=device)
    results: list[dict[str, Any]] = []
    rows = []
    for name, build, layer, axis in NETWORKS:
        model = build().to(device)
        model = model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        terms = {
            "pooled tap": Term(
                FeatureTap(model, layer, pool=True, feature_dim=axis), DiscriminabilityLoss(CLASSES).to(device)
            ),
            "map tap": Term(
                FeatureTap(model, layer, feature_dim=axis),
                DiscriminabilityLoss(CLASSES, feature_dim=axis).to(device),
            ),
        }
        arms = {WITHOUT: partial(step, model, optimizer, images, target)}
        arms |= {arm: partial(step, model, optimizer, images, target, term) for arm, term in terms.items()}
        in_turn(arms, 1, device, 0, 1)
        times = in_turn(arms, options.rounds, device, 0, 1)
        without = spread(times[WITHOUT]).middle
        rows.append([name, WITHOUT, f"{without:.0f}", "1", "-"])
        result: dict[str, Any] = {"model": name, "batch": options.batch, "ms": {WITHOUT: without}, "ratios": {}}
        for arm, term in terms.items():
            with term.tap:
                model(images)
                features = term.tap.features[layer].detach()
            alone = in_turn({arm: both_ways(partial(term.loss, target=target), features)}, 5, device)
            alone_ms = result["ms"][f"{arm}, the loss alone"] = spread(alone[arm]).middle
            middle = result["ms"][arm] = spread(times[arm]).middle
            compared = result["ratios"][f"{arm}/{WITHOUT}"] = ratio(times[arm], times[WITHOUT])
            rows.append(
                [name, arm, f"{middle:.0f}", str(compared), f"{alone_ms:.2f} ms, {alone_ms / without:.2%}"]
            )
        results.append(result)
    title = f"A training step, batch {options.batch}, 32x32: {device}, threads {options.threads}"
    header = ["network", "loss", "step, ms", "step/step without", "the loss alone"]
    report(f"step-{options.threads}", title, header, rows, results, options)


if __name__ == "__main__":
    main()
