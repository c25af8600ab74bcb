"""A whole training step with and without the loss: forward, backward, optimizer, in turn in one process.

    python benchmarks/step.py [--threads 2] [--rounds 9] [--batch 128]

ResNet-18 with the stem of the paper's CIFAR networks (3x3, no pooling) and a small vision transformer (8 blocks
of width 192 on 4x4 patches), both on images of 32x32 and 100 classes. Tapped are ResNet-18's own pooling layer;
the last stage's output, pooled by the tap; and that output as a map. A second arm without the loss says how much
two equal arms differ. Each tap is attached during its own steps alone. The last column is what the loss adds,
measured by itself: forward and backward, with the pooling where the tap pools, on features of that shape.
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
from torchdiscern.functional import activation

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
    pooling: str | None


NETWORKS = [
    Network("ResNet-18", residual, "layer4", 1, "avgpool"),
    Network("small ViT", transformer, "encoder.ln", -1, None),
]


class Term(NamedTuple):
    tap: FeatureTap
    loss: DiscriminabilityLoss
    pools: bool = False


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


def alone(
    model: nn.Module, images: Tensor, target: Tensor, term: Term, device: str, layer: str, axis: int
) -> float:
    """Milliseconds of the loss, and of the pooling if its tap does that, forward and backward."""
    with FeatureTap(model, layer) as whole, term.tap:
        model(images)
        (tapped,) = term.tap.features.values()
        features = whole.features[layer].detach() if term.pools else tapped.detach()

    def loss(x: Tensor) -> Tensor:
        found: Tensor = term.loss(activation(x, feature_dim=axis, signed=True) if term.pools else x, target)
        return found

    return spread(in_turn({"": both_ways(loss, features)}, 5, device)[""]).middle


def main() -> None:
    options = arguments(__doc__, 9, batch={"type": int, "default": 128, "help": "images a step"})
    device = options.device
    images = torch.rand(options.batch, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    target = torch.randint(CLASSES, (options.batch,), device=device)
    results: list[dict[str, Any]] = []
    rows = []
    for network in NETWORKS:
        model = network.build().to(device)
        model = model.to(memory_format=torch.channels_last)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        layer, axis = network.layer, network.feature_dim
        of_vectors = DiscriminabilityLoss(CLASSES).to(device)
        of_maps = DiscriminabilityLoss(CLASSES, feature_dim=axis).to(device)
        pooling = FeatureTap(model, layer, pool=True, feature_dim=axis)
        terms = {
            "map": Term(FeatureTap(model, layer), of_maps),
            "pooled by the tap": Term(pooling, of_vectors, pools=True),
        }
        if network.pooling:
            terms["pooling layer"] = Term(FeatureTap(model, network.pooling), of_vectors)
        arms = {arm: partial(step, model, optimizer, images, target) for arm in (WITHOUT, f"{WITHOUT}, again")}
        arms |= {arm: partial(step, model, optimizer, images, target, term) for arm, term in terms.items()}
        in_turn(arms, 1, device, 0, 1)
        times = in_turn(arms, options.rounds, device, 0, 1)
        without = spread(times[WITHOUT]).middle
        result: dict[str, Any] = {
            "model": network.name,
            "batch": options.batch,
            "ms": {},
            "ratios": {},
            "alone": {},
        }
        for arm, found in times.items():
            result["ms"][arm] = spread(found).middle
            row = [network.name, arm, f"{spread(found).middle:.0f}", "1", "-"]
            if arm != WITHOUT:
                row[3] = str(ratio(found, times[WITHOUT]))
                result["ratios"][f"{arm}/{WITHOUT}"] = ratio(found, times[WITHOUT])
            if arm in terms:
                extra = result["alone"][arm] = alone(model, images, target, terms[arm], device, layer, axis)
                row[4] = f"{extra:.2f} ms, {extra / without:.2%}"
            rows.append(row)
        results.append(result)
    title = f"A training step, batch {options.batch}, 32x32: {device}, threads {options.threads}"
    header = ["network", "loss", "step, ms", "step/step without", "what the loss adds"]
    report(f"step-{options.threads}", title, header, rows, results, options)


if __name__ == "__main__":
    main()
