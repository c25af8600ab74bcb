"""Folders of images as tests make them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from torchdiscern.lab.data import Finding, Images

SEED = iter(range(10_000))


def noise(height: int = 20, width: int = 30, channels: int = 3) -> NDArray[np.uint8]:
    """Pixels that no other call gives."""
    return np.random.default_rng(next(SEED)).integers(0, 256, (height, width, channels), dtype=np.uint8)


def save(path: Path, pixels: NDArray[np.uint8] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise() if pixels is None else pixels).save(path)
    return path


def found(images: Images, kind: str) -> Finding:
    return next(one for one in images.findings if one.kind == kind)


def kinds(images: Images) -> list[str]:
    return [one.kind for one in images.findings]


def add_classes(folder: Path, *names: str, images: int = 2) -> Path:
    for name in names:
        for index in range(images):
            save(folder / name / f"{index}.png")
    return folder
