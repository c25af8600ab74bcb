"""Images of a folder: one pass reads every file, and that is the check."""

from collections.abc import Callable, Collection, Iterable
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from torchdiscern import checks
from torchdiscern.lab.data.contents import Row, note_classes, note_copies, without_leaks, without_strangers
from torchdiscern.lab.data.decode import NoImageError, decode, digest, in_threads, quiet
from torchdiscern.lab.data.findings import Findings, readable, unique
from torchdiscern.lab.data.images import Images, StoredPixels, fits_in_memory
from torchdiscern.lab.data.tree import File, walk

Progress = Callable[[Iterable[Path]], Iterable[Path]]


def read_folder(folder: Path, size: int, *, progress: Progress = iter, in_memory: bool | None = None) -> Images:
    """Images of a folder, cropped to squares in the middle and scaled; what is wrong with it is in `findings`.

    The folder holds one folder a class, or `train` and `test` or `val` with one folder a class in each. Hidden
    files and files of other kinds are passed over.

    Args:
        folder: where to read.
        size: S, pixels a side.
        progress: wraps the files as they are read, to show how far it is.
        in_memory: whether to keep the pixels; None keeps them where they take at most half of the free memory.

    Raises:
        ValueError: with one sentence, where there is nothing to learn from: no such folder, fewer than two
            classes with images, no training images, none that can be read.
    """
    return read_tree(folder, size, progress=progress, in_memory=in_memory)


def read_tree(
    folder: Path,
    size: int,
    *,
    progress: Progress = iter,
    in_memory: bool | None = None,
    passed_over: Collection[str] = (),
    published: bool = False,
) -> Images:
    """As `read_folder`, and for published sets: without folders that are no classes, and with every image."""
    checks.check_whole(size, "size", low=1, hint="pass the pixels a side")
    if not folder.is_dir():
        raise ValueError(
            f"data: {str(folder)!r} is no folder, expected one that holds a folder of images a class; "
            "mend the path."
        )
    root, findings = folder.resolve(), Findings()
    tree = walk(root, findings, passed_over)
    _check_classes(folder, {file.label for file in tree.files}, findings)
    if in_memory is None:
        in_memory = fits_in_memory(len(tree.files) * 3 * size * size)
    rows, pixels, digests = _read(tree.files, root, size, in_memory, progress, findings)
    if not rows:
        raise ValueError(
            f"data: none of the {len(tree.files):,} image file(s) in {str(folder)!r} can be used"
            f"{findings.left_out()}, expected images; mend them or point to another folder."
        )
    if not any(row.part in ("", "train") for row in rows):
        raise ValueError(
            f"data: the train folder of {str(folder)!r} holds no image that can be used{findings.left_out()}, "
            "expected some to learn from; add images to it."
        )
    rows = without_strangers(rows, findings)
    if not published:
        rows = without_strangers(without_leaks(rows, findings), findings)
    _check_classes(folder, {row.label for row in rows}, findings)
    note_copies(rows, findings, across_parts=not published)
    note_classes(rows, tree.classes, findings)
    labels = sorted({row.label for row in rows})
    number = {label: index for index, label in enumerate(labels)}
    kept = torch.tensor([row.index for row in rows])
    parts = {part: torch.tensor([i for i, row in enumerate(rows) if row.part == part]) for part in tree.classes}
    return Images(
        name=readable(str(folder)),
        pixels=_chosen(pixels, kept)
        if in_memory
        else StoredPixels([tree.files[i].path for i in kept], size, [digests[i] for i in kept]),
        labels=torch.tensor([number[row.label] for row in rows]),
        classes=unique(labels),
        files=unique(tree.files[row.index].path.relative_to(root).as_posix() for row in rows),
        parts={part: found for part, found in parts.items() if part and len(found)},
        findings=findings.found(),
    )


def _read(
    files: list[File], root: Path, size: int, in_memory: bool, progress: Progress, findings: Findings
) -> tuple[list[Row], Tensor, list[bytes]]:
    """A row for each image that can be used; the pixels of all files, or their digests."""
    pixels = torch.empty(len(files) if in_memory else 0, 3, size, size, dtype=torch.uint8)
    array, digests = pixels.numpy(), [b""] * len(files)

    def read(index: int) -> tuple[bytes, tuple[str, ...]] | str:
        try:
            found = decode(files[index].path, size)
        except NoImageError as error:
            return str(error)
        if in_memory:
            array[index] = found.pixels
        else:
            digests[index] = digest(found.pixels.tobytes())
        return found.content, found.converted

    rows: list[Row] = []
    with quiet(), closing(in_threads(read, range(len(files)))) as results:
        paths = progress([file.path for file in files])
        for index, (path, result) in enumerate(zip(paths, results, strict=True)):
            name = readable(path.relative_to(root).as_posix())
            if isinstance(result, str):
                findings.add(result, name)
                continue
            content, converted = result
            for kind in converted:
                findings.add(kind, name)
            rows.append(Row(index, name, files[index].part, files[index].label, content))
    return rows, pixels, digests


def _chosen(pixels: Tensor, rows: Tensor) -> Tensor:
    return pixels if len(rows) == len(pixels) else pixels[rows]


def _check_classes(folder: Path, labels: Collection[str], findings: Findings) -> None:
    if len(labels) < 2:
        raise ValueError(
            f"data: {str(folder)!r} holds {len(labels)} folder(s) with images{findings.left_out()}, expected one "
            "for each of at least two classes; point to the folder above the classes."
        )
