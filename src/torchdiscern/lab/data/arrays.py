"""Sets that come as arrays and not as files of images."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps
from sklearn.datasets import load_digits
from torch import Tensor

from torchdiscern.lab.data.contents import Row, note_classes, note_copies
from torchdiscern.lab.data.decode import digest
from torchdiscern.lab.data.findings import Findings
from torchdiscern.lab.data.images import Images

Pixels = NDArray[np.uint8]


def digits() -> Images:
    """The 1,797 handwritten digits of scikit-learn, 8x8, gray."""
    found = load_digits()
    pixels = torch.tensor(found.images * (255 / 16)).round().to(torch.uint8).unsqueeze(1)
    files = [str(row) for row in range(len(pixels))]
    name = "scikit-learn's handwritten digits"
    return Images(name, pixels, torch.tensor(found.target), list("0123456789"), files)


def from_arrays(name: str, parts: dict[str, tuple[Pixels, list[int]]], classes: list[str], size: int) -> Images:
    """Images of arrays.

    Args:
        name: for people.
        parts: `[N, S, S]` or `[N, S, S, 3]` and the labels of each part.
        classes: the classes' names.
        size: pixels a side to scale to.
    """
    findings = Findings()
    pixels, labels, where = [], [], {}
    rows: list[Row] = []
    for part, (images, targets) in parts.items():
        start = len(rows)
        for image, label in zip(images, targets, strict=True):
            rows.append(Row(len(rows), str(len(rows)), part, classes[label], digest(image.tobytes())))
        where[part] = torch.arange(start, len(rows))
        pixels.append(scaled(images, size))
        labels += targets
    note_copies(rows, findings, across_parts=False)
    note_classes(rows, dict.fromkeys(parts, classes), findings)
    return Images(
        name=name,
        pixels=torch.cat(pixels),
        labels=torch.tensor(labels),
        classes=classes,
        files=[row.name for row in rows],
        parts=where,
        findings=findings.found(),
    )


def scaled(images: Pixels, size: int) -> Tensor:
    """`[N, channels, S, S]` of `[N, H, W]` or `[N, H, W, 3]`."""
    if images.shape[1:3] != (size, size):
        images = np.stack([np.asarray(ImageOps.fit(Image.fromarray(one), (size, size))) for one in images])
    pixels = torch.from_numpy(np.array(images))
    return pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2).contiguous()


def read_idx(path: Path) -> Pixels:
    """An array of bytes in the format of MNIST, gzipped where the file's name says so.

    Raises:
        ValueError: with one sentence, where the file is damaged or another.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if data[:3] != b"\0\0\x08":
            raise ValueError("it does not start as an idx file of bytes does")
        axes = data[3]
        shape = [int.from_bytes(data[4 + 4 * axis : 8 + 4 * axis]) for axis in range(axes)]
        if math.prod(shape) != len(data) - 4 - 4 * axes:
            raise ValueError(f"it holds {len(data) - 4 - 4 * axes:,} bytes for the shape {shape}")
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise ValueError(
            f"data: {str(path)!r} cannot be read ({error}), expected a whole idx file; fetch it again."
        ) from error
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)
