"""Labelled images in memory: what ships with a dependency, or a folder of the user's."""

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from sklearn.datasets import load_digits
from torch import Tensor
from torchvision.datasets.folder import IMG_EXTENSIONS

DEEP_MODES = ("I", "F")


@dataclass(frozen=True)
class Images:
    """Labelled images.

    Args:
        name: where they come from, for people.
        pixels: `[N, channels, S, S]`, uint8.
        labels: `[N]`, indices into `classes`.
        classes: the classes' names.
    """

    name: str
    pixels: Tensor
    labels: Tensor
    classes: list[str]

    @property
    def fingerprint(self) -> str:
        """The same for the same pixels, labels and class names."""
        digest = hashlib.sha256("\n".join(self.classes).encode())
        digest.update(self.pixels.numpy().tobytes())
        digest.update(self.labels.numpy().tobytes())
        return digest.hexdigest()[:16]


def digits() -> Images:
    """The 1,797 handwritten digits of scikit-learn, 8x8, gray."""
    found = load_digits()
    pixels = torch.tensor(found.images * (255 / 16)).round().to(torch.uint8).unsqueeze(1)
    return Images("scikit-learn's handwritten digits", pixels, torch.tensor(found.target), list("0123456789"))


def image_folder(folder: Path, size: int, progress: Callable[[Iterable[Path]], Iterable[Path]] = iter) -> Images:
    """Images of a folder with one folder a class, cropped to squares in the middle and scaled.

    Args:
        folder: holds one folder a class; hidden ones and other files are passed over.
        size: S, pixels a side.
        progress: wraps the files as they are read, to show how far it is.

    Raises:
        ValueError, OSError: with one sentence, where the folder is none, has fewer than two classes, a class
            has fewer than two images, or a file is no image.
    """
    if not folder.is_dir():
        raise ValueError(
            f"data: {str(folder)!r} is no folder, expected one that holds a folder of images a class; "
            "mend the path."
        )
    folders = sorted(entry for entry in folder.iterdir() if entry.is_dir() and entry.name[0] != ".")
    classes = [os.fsencode(entry.name).decode(errors="replace") for entry in folders]
    files = [(path, index) for index, entry in enumerate(folders) for path in _images_in(entry)]
    if len(classes) < 2:
        raise ValueError(
            f"data: {str(folder)!r} holds {len(classes)} folder(s), expected one for each of at least two "
            "classes; point to the folder above the classes."
        )
    counts = Counter(index for _, index in files)
    small = [name for index, name in enumerate(classes) if counts[index] < 2]
    if small:
        raise ValueError(
            f"data: class {small[0]!r} has {counts[classes.index(small[0])]} image(s), expected at least two, "
            f"one to train and one to test on ({len(small)} such class(es)); add images or remove the folder."
        )
    pixels = [_read(path, size) for path in progress([path for path, _ in files])]
    labels = torch.tensor([index for _, index in files])
    return Images(str(folder), torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), labels, classes)


def _images_in(folder: Path) -> list[Path]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in IMG_EXTENSIONS)
    return sorted(path for path in found if path.name[0] != ".")


def _read(path: Path, size: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    try:
        with Image.open(path) as image:
            if image.mode in DEEP_MODES or image.mode.startswith("I;16"):
                raise ValueError(
                    f"data: {str(path)!r} has more than 8 bits a channel (mode {image.mode}), expected 8; "
                    "convert it, since cutting it to 8 bits by itself would lose what it shows."
                )
            upright = ImageOps.exif_transpose(image).convert("RGBA")
            on_white = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
            return np.asarray(ImageOps.fit(on_white.convert("RGB"), (size, size)), dtype=np.uint8)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError) as error:
        raise ValueError(
            f"data: {str(path)!r} could not be read as an image ({error.__class__.__name__}), expected only "
            "images; mend or remove the file."
        ) from error
