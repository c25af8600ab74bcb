"""Data sets by name, read where `TORCHDISCERN_DATA` says, else downloaded once."""

import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torchvision import datasets

from torchdiscern import checks
from torchdiscern.lab.data.arrays import Pixels, digits, from_arrays, read_idx, scaled
from torchdiscern.lab.data.cifar100 import COARSE, coarse_of
from torchdiscern.lab.data.findings import KINDS, Finding
from torchdiscern.lab.data.folder import Progress, read_folder, read_tree
from torchdiscern.lab.data.images import Images
from torchdiscern.lab.files import cache_folder

SIZES = {"cifar100": 32, "caltech101": 224, "fashion-mnist": 28, "digits": 8}
FOLDER_SIZE = 224
CALTECH = Path("caltech101") / "101_ObjectCategories"
IDX_FOLDERS = (Path("FashionMNIST") / "raw", Path("fashion-mnist"))
LAYOUTS = {
    "cifar100": "cifar100/{train,test}/<class>/<image>",
    "caltech101": f"{CALTECH.as_posix()}/<class>/<image>",
    "fashion-mnist": "fashion-mnist/{train,t10k}-{images-idx3,labels-idx1}-ubyte, gzipped or not",
}
COUNTS = {
    "cifar100": {"train": 50_000, "test": 10_000},
    "caltech101": {"": 8_677},
    "fashion-mnist": {"train": 60_000, "test": 10_000},
}
MISSING = "images missing from the set"


def own_size(name: str) -> int:
    """Pixels a side that a set has by itself, or that a folder's images are scaled to."""
    return SIZES.get(name, FOLDER_SIZE)


def load_images(name: str, size: int | None = None, *, progress: Progress = iter) -> Images:
    """A data set by name, or a folder of images.

    Args:
        name: `"cifar100"`, `"caltech101"`, `"fashion-mnist"`, `"digits"`, or a path as for `read_folder`.
        size: pixels a side; None takes `own_size(name)`.
        progress: wraps the files as they are read, to show how far it is.

    Raises:
        ValueError, OSError: with one sentence, where there is no such set, it cannot be had, or there is nothing
            to learn from.

    Example:
        >>> load_images("digits").pixels.shape
        torch.Size([1797, 1, 8, 8])
    """
    pixels = own_size(name) if size is None else size
    checks.check_whole(pixels, "size", low=1, hint="pass the pixels a side, or leave it out")
    if name == "digits":
        found = digits()
        return replace(found, pixels=scaled(found.tensor()[:, 0].numpy(), pixels))
    if name == "cifar100":
        return _cifar100(pixels, progress)
    if name == "caltech101":
        return _caltech101(pixels, progress)
    if name == "fashion-mnist":
        return _fashion_mnist(pixels)
    if not Path(name).is_dir():
        known = [*SIZES, *(entry.name for entry in Path().iterdir() if entry.is_dir() and entry.name[0] != ".")]
        raise ValueError(
            f"data: {name!r} is no folder and no set that is known, expected a folder of images or one of "
            f"{', '.join(SIZES)}; {checks.nearest(name, known)}"
        )
    return read_folder(Path(name), pixels, progress=progress)


def _cifar100(size: int, progress: Progress) -> Images:
    folder = _given(Path("cifar100"))
    if folder is not None:
        images = read_tree(folder, size, progress=progress, published=True)
        found = _complete("cifar100", replace(images, name="CIFAR-100"))
    else:
        root = _downloaded("cifar100", lambda path: [datasets.CIFAR100(path, download=True)])
        halves = {"train": datasets.CIFAR100(root), "test": datasets.CIFAR100(root, train=False)}
        parts = {part: (half.data, half.targets) for part, half in halves.items()}
        found = from_arrays("CIFAR-100", parts, halves["train"].classes, size)
    return replace(found, coarse=torch.tensor(coarse_of(found.classes)), coarse_classes=list(COARSE))


def _caltech101(size: int, progress: Progress) -> Images:
    folder = _given(CALTECH)
    if folder is None:
        root = _downloaded("caltech101", lambda path: [datasets.Caltech101(path, download=True)])
        folder = root / CALTECH
    images = read_tree(folder, size, progress=progress, passed_over=["BACKGROUND_Google"], published=True)
    return _complete("caltech101", replace(images, name="Caltech-101"))


def _fashion_mnist(size: int) -> Images:
    folder = next((found for one in IDX_FOLDERS if (found := _given(one)) is not None), None)
    if folder is None:
        root = _downloaded("fashion-mnist", lambda path: [datasets.FashionMNIST(path, download=True)])
        folder = root / IDX_FOLDERS[0]
    parts = {"train": _idx_pair(folder, "train"), "test": _idx_pair(folder, "t10k")}
    classes = list(datasets.FashionMNIST.classes)
    return _complete("fashion-mnist", from_arrays("Fashion-MNIST", parts, classes, size))


def _idx_pair(folder: Path, half: str) -> tuple[Pixels, list[int]]:
    images, labels = (_idx(folder, f"{half}-{kind}-ubyte") for kind in ("images-idx3", "labels-idx1"))
    known = len(datasets.FashionMNIST.classes)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or labels.max(initial=0) >= known:
        raise ValueError(
            f"data: {str(folder)!r} holds {half} images {list(images.shape)} and labels {list(labels.shape)} "
            f"up to {labels.max(initial=0)}, expected [N, H, W] and [N] below {known}; fetch the set again."
        )
    return images, labels.astype(np.int64).tolist()


def _idx(folder: Path, name: str) -> Pixels:
    path = folder / name
    return read_idx(path if path.exists() else folder / f"{name}.gz")


def _complete(name: str, images: Images) -> Images:
    """Says so where images of a published set are missing."""
    there = {part: len(rows) for part, rows in images.parts.items()} or {"": len(images.labels)}
    lacking = {part: count - there.get(part, 0) for part, count in COUNTS[name].items()}
    missing = {part: count for part, count in lacking.items() if count > 0}
    if not missing:
        return images
    first = next(f"{part} has {there.get(part, 0):,} of {COUNTS[name][part]:,}".strip() for part in missing)
    finding = Finding(MISSING, sum(missing.values()), first, *KINDS[MISSING])
    return replace(images, findings=(finding, *images.findings))


def _given(place: Path) -> Path | None:
    root = os.environ.get("TORCHDISCERN_DATA", "")
    folder = Path(root).expanduser() / place
    return folder if root and folder.is_dir() else None


def _downloaded(name: str, fetch: Callable[[Path], object]) -> Path:
    """The folder with what torchvision downloaded and verified; a stopped download leaves none."""
    target = cache_folder() / "data" / name
    try:
        if target.is_dir():
            fetch(target)  # finds it whole, or mends it
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}.") as beside:
            fetched = Path(beside) / name
            fetch(fetched)
            if not target.is_dir():  # another process may have been faster
                fetched.rename(target)
    except (OSError, RuntimeError) as error:
        root = os.environ.get("TORCHDISCERN_DATA")
        reason = " ".join(str(error).split())[:200]
        raise OSError(
            f"data: {name} is not in the folder that TORCHDISCERN_DATA names ({root!r}) and could not be "
            f"downloaded ({reason}), expected one of the two; set TORCHDISCERN_DATA to a folder with "
            f"{LAYOUTS[name]}."
        ) from error
    return target
