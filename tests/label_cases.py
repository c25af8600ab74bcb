"""Labels of made-up images, for the tests of what a run learns from."""

from collections.abc import Callable
from typing import Any

import torch

from torchdiscern.lab.labels import Labels, make_labels

CLASSES = 6
WriteCsv = Callable[[str], str]


def make(count: int = 180, num_classes: int = CLASSES, **settings: Any) -> Labels:
    """Images named `0.png` on, of classes `c0` on, two in each coarse class."""
    given: dict[str, Any] = {
        "labels": torch.arange(count) % num_classes,
        "classes": [f"c{index}" for index in range(num_classes)],
        "files": [f"{index}.png" for index in range(count)],
        "parts": {},
        "coarse": torch.arange(num_classes) // 2,
        "coarse_classes": [f"k{index}" for index in range((num_classes + 1) // 2)],
        "seed": 0,
    }
    return make_labels(**given | settings)


def per_file(label: Callable[[int], object], count: int = 180, header: str = "file,label") -> str:
    return "\n".join([header, *(f"{index}.png,{label(index)}" for index in range(count))])


def rows_of(found: Labels) -> list[list[int]]:
    return [rows.tolist() for rows in (found.train, found.val, found.test)]
