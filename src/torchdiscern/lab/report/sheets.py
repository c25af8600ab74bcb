"""Thumbnails of all images in shared sheets, each image once; made in parts, so that memory stays bounded."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from torchdiscern.lab.report.contents import Bytes, Flags, Rows

ACROSS = 16
QUALITY = 70
WIDEST = 16383  # pixels, of a WebP


@dataclass(frozen=True, eq=False)
class Sheets:
    """Sheets that were written, `across * across` thumbnails each but the last, row by row.

    Args:
        files: one a sheet, in the order of the images.
        size: of a thumbnail's side, in pixels.
        across: thumbnails side by side.
        there: `[N]`, False where there is no thumbnail, as the image has gone; its place is empty.
    """

    files: list[Path]
    size: int
    across: int
    there: Flags

    def weight(self) -> int:
        """Bytes of all sheets."""
        return sum(file.stat().st_size for file in self.files)


def write_sheets(thumbnails: Callable[[Rows], tuple[Bytes, Flags]], many: int, folder: Path) -> Sheets:
    """Writes `0000.webp` and so on into `folder`, which is there and empty.

    Args:
        thumbnails: as in `Contents`.
        many: images there are.
        folder: to write into.
    """
    files: list[Path] = []
    there = np.zeros(many, dtype=bool)
    size, across, start = 1, ACROSS, 0
    while start < many:
        rows = np.arange(start, min(start + across * across, many), dtype=np.int32)
        pixels, found = thumbnails(rows)
        if not start and across * (size := pixels.shape[1]) > WIDEST:
            across = max(1, WIDEST // size)
            rows = rows[: across * across]
        there[rows] = found[: len(rows)]
        sheet = _sheet(pixels[: len(rows)], found[: len(rows)], across)
        files.append(folder / f"{len(files):04d}.webp")
        Image.fromarray(sheet).save(files[-1], "WEBP", quality=QUALITY, method=4)
        start += len(rows)
    return Sheets(files, size, across, there)


def _sheet(pixels: Bytes, found: Flags, across: int) -> Bytes:
    """`[n, S, S, 3]` side by side, from the left above on."""
    many, size = pixels.shape[:2]
    down = -(-many // across)
    cells = np.full((down * across, size, size, 3), 128, dtype=np.uint8)
    cells[:many][found] = pixels[found]
    parts = cells.reshape(down, across, size, size, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(parts.reshape(down * size, across * size, 3))
