"""One image file to one square of pixels, or the reason why not."""

import os
import re
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

# Not all that Pillow knows: a PostScript file called .jpg would be handed to Ghostscript.
FORMATS = ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"]
WIDE = re.compile(r"\b(LA|RGB|RGBA|RGBX);16[LBN]")
COLOURS = {
    "1": "one channel",
    "L": "one channel",
    "LA": "one channel",
    "La": "one channel",
    "P": "palette",
    "PA": "palette",
    "CMYK": "CMYK",
}

Given = TypeVar("Given")
Made = TypeVar("Made")


class NoImageError(ValueError):
    """Says of which kind of finding a file is that gives no image."""


@dataclass(frozen=True)
class Decoded:
    """An image as it is used, and what it was.

    Args:
        pixels: `[3, S, S]`, uint8.
        content: digest of all its pixels, before cropping and scaling.
        converted: the findings on it.
    """

    pixels: NDArray[np.uint8]
    content: bytes
    converted: tuple[str, ...]


def decode(path: Path, size: int) -> Decoded:
    """Reads an image, turns it upright, lays it on white, crops a square in the middle and scales it.

    Args:
        path: the file.
        size: S, pixels a side.

    Raises:
        NoImageError: with the kind of finding, where it cannot be had whole and faithful.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            most = Image.MAX_IMAGE_PIXELS
            if most is not None and image.width * image.height > most:
                raise NoImageError("decompression bomb")
            converted = ["several frames"] if _has_frames(image) else []
            wide = WIDE.search(str(image.tile)) is not None
            image.load()
            rgb, kinds = _rgb(_upright(image), image.format)
            content = digest(f"{rgb.size}".encode() + rgb.tobytes())
            square = np.asarray(ImageOps.fit(rgb, (size, size)), dtype=np.uint8)
    except (NoImageError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        raise NoImageError("decompression bomb") from error
    except Exception as error:  # decoders raise nearly anything on damaged files
        raise NoImageError("unreadable or damaged") from error
    converted += kinds + ["16 bits a channel"] * wide
    return Decoded(np.ascontiguousarray(square.transpose(2, 0, 1)), content, tuple(converted))


def digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


def in_threads(work: Callable[[Given], Made], items: Iterable[Given]) -> Generator[Made, None, None]:
    """The results in order; Pillow decodes without holding Python's lock."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ThreadPoolExecutor(min(8, cores))
    try:
        yield from pool.map(work, items)
    finally:
        pool.shutdown(cancel_futures=True)  # else an interrupt would wait for the whole folder


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps Pillow's warnings off the terminal, as the findings say it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def _has_frames(image: Image.Image) -> bool:
    # telephones save a second picture behind a photograph, which nobody misses
    return image.format != "MPO" and bool(getattr(image, "is_animated", False))


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged note on the side spoils no pixel
        return image


def _rgb(image: Image.Image, kind: str | None) -> tuple[Image.Image, list[str]]:
    kinds: list[str] = []
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        image = _eight_bits(image, kind)
        kinds.append("16 bits a channel")
    if image.mode in COLOURS:
        kinds.append(COLOURS[image.mode])
    if image.mode not in ("RGBA", "RGBa", "LA", "La", "PA") and "transparency" not in image.info:
        return image.convert("RGB"), kinds
    clear = image.convert("RGBA")
    lowest: Any = clear.getchannel("A").getextrema()[0]
    if lowest < 255:
        kinds.append("transparent")
        clear = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear)
    return clear.convert("RGB"), kinds


def _eight_bits(image: Image.Image, kind: str | None) -> Image.Image:
    # mode I holds 32 bits; in PNG and PGM these are 16, as the formats have no more
    if not image.mode.startswith("I;16") and not (image.mode == "I" and kind in ("PNG", "PPM")):
        raise NoImageError("more than 16 bits a channel")
    values = np.asarray(image).astype(np.int64)
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))
