"""What a page shows of features: their class distributions, and the images that make some of them fire most."""

import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from torch import Tensor

from torchdiscern import functional
from torchdiscern.lab import files

QUANTILES = {
    "least impure": 0.0,
    "lower quartile": 0.25,
    "median": 0.5,
    "upper quartile": 0.75,
    "most impure": 1.0,
}
TOP = 8


@dataclass
class Pictures:
    """The features of several arms, ready to be drawn.

    Args:
        classes: the classes' names.
        arms: of each arm `distribution` `[C, D]`, `chosen` (indices of features, by the rule of `QUANTILES`
            among those that are not dead), `images` `[chosen, TOP, channels, S, S]` of the images that make them
            fire most, and `labels` `[chosen, TOP]` of these.
    """

    classes: list[str]
    arms: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, arm: str, features: Tensor, labels: Tensor, pixels: Tensor) -> None:
        """Adds an arm from its pooled features `[N, D]` on the test images."""
        P = functional.class_distribution(features, labels, len(self.classes))
        impurity = functional.gini(P)
        alive = (features > 0).any(0).nonzero().flatten()
        order = alive[impurity[alive].argsort()]
        places = [round(share * (len(order) - 1)) for share in QUANTILES.values()] if len(order) else []
        chosen = order[places]
        top = features[:, chosen].topk(min(TOP, len(features)), dim=0).indices.T
        self.arms[arm] = {
            "distribution": P.numpy(),
            "chosen": chosen.numpy(),
            "images": pixels[top].numpy(),
            "labels": labels[top].numpy(),
        }

    def save(self, path: Path) -> None:
        content = io.BytesIO()
        arrays = {f"{arm}/{name}": array for arm, parts in self.arms.items() for name, array in parts.items()}
        np.savez_compressed(content, classes=np.array(json.dumps(self.classes)), **arrays)
        files.write_atomically(path, content.getvalue())

    @classmethod
    def load(cls, path: Path) -> Self:
        with np.load(path, allow_pickle=False) as file:
            found = cls(json.loads(str(file["classes"])))
            for key in file.files:
                if key != "classes":
                    arm, name = key.rsplit("/", 1)
                    found.arms.setdefault(arm, {})[name] = file[key]
        return found
