"""Labels and matrices of wrong labels out of CSV files, or one sentence on what is wrong with them."""

import csv
from pathlib import Path

import torch
from torch import Tensor

from torchdiscern import checks


def read_matrix(path: str, num_classes: int) -> Tensor:
    """The shares of a CSV file without header, `[C, C]` float64, a row for each true class.

    Raises:
        ValueError: no such file, or no such shares.
    """
    cells = _rows(path, "label_noise", "a share, as 0.4, or a CSV file")
    shape = sorted({len(row) for row in cells})
    if len(cells) != num_classes or shape != [num_classes]:
        raise ValueError(
            f"label_noise: {path!r} has {len(cells)} row(s) of {' or '.join(map(str, shape)) or 0} share(s), "
            f"expected {num_classes} of {num_classes}, one for each class of the target; leave out any header."
        )
    try:
        matrix = torch.tensor([[float(cell) for cell in row] for row in cells], dtype=torch.float64)
    except ValueError as error:
        raise ValueError(
            f"label_noise: {path!r} holds something else than numbers ({error}), expected shares; mend it."
        ) from error
    wrong = ~((matrix >= 0).all(1) & ((matrix.sum(1) - 1).abs() <= 1e-3))
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        raise ValueError(
            f"label_noise: row {row + 1} of {path!r} has shares from {matrix[row].min():.3g} that sum to "
            f"{matrix[row].sum():.6g}, expected none below 0 and a sum of 1; divide the row by its sum."
        )
    return matrix


def read_labels(path: str, column: str, files: list[str], setting: str) -> tuple[Tensor, list[str]]:
    """Labels of a CSV file with a column `file`: `[N]`, -1 where an image has none, and the sorted names.

    Raises:
        ValueError: no such file or column, an image that is unknown, or one with two labels.
    """
    header, *rows = _rows(path, setting, "a CSV file") or [[]]
    for name in ("file", column):
        if name not in header:
            raise ValueError(
                f"{setting}: {path!r} has no column {name!r}, expected one of its columns to be called so; "
                f"{checks.nearest(name, header) if header else 'write a first line like file,label'}"
            )
    at, to = header.index("file"), header.index(column)
    known = set(files)
    cells = [(row[at], row[to].strip()) for row in rows if len(row) > max(at, to)]
    given = [(file if file in known else file.replace("\\", "/"), value) for file, value in cells]
    values: dict[str, str] = {}
    for file, value in given:
        if value and values.setdefault(file, value) != value:
            raise ValueError(
                f"{setting}: {path!r} gives {file!r} both {values[file]!r} and {value!r}, expected one label an "
                "image; keep one."
            )
    unknown = sorted({file for file, _ in given} - known)
    if unknown:
        raise ValueError(
            f"{setting}: {path!r} names {len(unknown)} file(s) that are no image of the data, the first is "
            f"{unknown[0]!r}, expected names like {files[0]!r}; {checks.nearest(unknown[0], files)}"
        )
    names = sorted(set(values.values()))
    index = {name: number for number, name in enumerate(names)} | {"": -1}
    return torch.tensor([index[values.get(file, "")] for file in files]), names


def _rows(path: str, setting: str, expected: str) -> list[list[str]]:
    try:
        with Path(path).expanduser().open(newline="", encoding="utf-8-sig") as file:
            return [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(
            f"{setting}: {path!r} cannot be read ({reason}), expected {expected}; mend the path or the file."
        ) from error
