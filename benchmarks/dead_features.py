"""How many features of a small ReLU network die under each impurity, with and without damping.

Handwritten digits, 32 hidden units without batch norm, weights 1 and 0.5, 300 steps of SGD; counted are the
features that fired for some image before training and fire for none after it.
"""

import torch
from rich import print as show
from rich.progress import track
from rich.table import Table
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from torchdiscern import DiscriminabilityLoss
from torchdiscern.functional import Impurity

UNITS = 32


def train(
    impurity: Impurity | None, damping: float, seed: int, learning_rate: float = 0.03, steps: int = 300
) -> tuple[int, float]:
    """Features that died, and accuracy on the training images."""
    images, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(images / 16, dtype=torch.float32), torch.tensor(labels)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        body, head = nn.Sequential(nn.Linear(64, UNITS), nn.ReLU()), nn.Linear(UNITS, 10)
    criterion = impurity and DiscriminabilityLoss(10, 1.0, 0.5, impurity, damping=damping)
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], lr=learning_rate, momentum=0.9)
    generator = torch.Generator().manual_seed(seed)
    fired = body(x).amax(0) > 0
    for _ in range(steps):
        rows = torch.randint(len(x), (100,), generator=generator)
        features = body(x[rows])
        loss = cross_entropy(head(features), y[rows])
        if criterion:
            loss = loss + criterion(features, y[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    features = body(x)
    died = int((fired & (features.amax(0) == 0)).sum())
    return died, float((head(features).argmax(1) == y).float().mean())


def main(seeds: int = 5) -> None:
    torch.set_num_threads(1)
    table = Table(
        "learning rate",
        "impurity",
        "damping",
        f"died, of {UNITS}, seed by seed",
        "accuracy, mean",
        title="features that die",
    )
    arms: list[tuple[Impurity | None, float]] = [(None, 0.0)]
    arms += [(impurity, damping) for impurity in ("gini", "renyi", "shannon") for damping in (0.0, 0.1)]
    plan = [(rate, *arm) for rate in (0.03, 0.1) for arm in arms]
    for rate, impurity, damping in track(plan, "Training"):
        runs = [train(impurity, damping, seed, rate) for seed in range(seeds)]
        died = " ".join(str(count) for count, _ in runs)
        accuracy = sum(share for _, share in runs) / seeds
        table.add_row(str(rate), impurity or "none", str(damping), died, f"{100 * accuracy:.1f}")
    show(table)


if __name__ == "__main__":
    main()
