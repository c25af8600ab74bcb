"""The image files of a folder: which class each belongs to, in which part."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from torchvision.datasets.folder import IMG_EXTENSIONS

from torchdiscern.lab.data.findings import Findings, readable

PARTS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class File:
    """An image file; `part` is empty where the folder has none, `label` is the class folder's own name."""

    path: Path
    part: str
    label: str


@dataclass
class Tree:
    """The files, by part, class and name; and the class folders of each part, empty ones too."""

    files: list[File] = field(default_factory=list)
    classes: dict[str, list[str]] = field(default_factory=dict)


def walk(root: Path, findings: Findings, passed_over: Collection[str] = ()) -> Tree:
    """Looks for images in one folder a class, or in such folders within `train`, `val` and `test`.

    Args:
        root: the folder, without links in its path.
        findings: is told what is passed over.
        passed_over: names of class folders that are no classes.
    """
    walker = _Walker(str(root), findings)
    tree = Tree()
    top = walker.entries(str(root))
    folders = {entry.name for entry in top if entry.is_dir()}
    others = any(PARTS.get(name, "train") != "train" for name in folders)
    has_parts = "train" in folders and (others or len(folders) == 1)
    groups: dict[str, list[os.DirEntry[str]]] = {}
    if has_parts:
        for name in PARTS:  # so that train comes first
            for entry in top:
                if entry.name == name and entry.is_dir():
                    groups.setdefault(PARTS[name], []).extend(walker.entries(entry.path))
        for entry in top:
            if entry.name not in PARTS and entry.is_dir():
                findings.add("folder beside the parts", walker.name(entry.path))
        groups["no class"] = [entry for entry in top if not entry.is_dir()]
    else:
        groups[""] = top
    for part, entries in groups.items():
        for entry in sorted(entries, key=lambda one: one.name):
            if not entry.is_dir():
                walker.is_image(entry, "image outside of the classes")
            elif entry.name not in passed_over:
                labels = tree.classes.setdefault(part, [])
                if entry.name not in labels:  # val and valid may both have it
                    labels.append(entry.name)
                tree.files += [File(Path(path), part, entry.name) for path in walker.images(entry.path)]
    return tree


class _Walker:
    def __init__(self, root: str, findings: Findings) -> None:
        self.root, self.findings = root, findings

    def name(self, path: str) -> str:
        return readable(Path(path).relative_to(self.root).as_posix())

    def entries(self, folder: str) -> list[os.DirEntry[str]]:
        """What is in a folder, by name, without hidden things and links that lead out of the root."""
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            self.findings.add("unreadable or damaged", self.name(folder))
            return []
        kept = []
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and not self._stays_inside(entry.path):
                self.findings.add("link out of the folder", self.name(entry.path))
            else:
                kept.append(entry)
        return kept

    def images(self, folder: str) -> list[str]:
        """The image files of a class folder, however deep; each real folder once, so that no link goes round."""
        found, seen, stack = [], {os.path.realpath(folder)}, self.entries(folder)[::-1]
        while stack:
            entry = stack.pop()
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if real not in seen:
                    seen.add(real)
                    stack += self.entries(entry.path)[::-1]
            elif self.is_image(entry):
                found.append(entry.path)
        return found

    def is_image(self, entry: os.DirEntry[str], misplaced: str = "") -> bool:
        """Whether a file is to be read as an image; says what it is otherwise."""
        if Path(entry.name).suffix.lower() not in IMG_EXTENSIONS:
            self.findings.add("other files", self.name(entry.path))
        elif not entry.is_file():  # a pipe would be waited on for ever
            self.findings.add("unreadable or damaged", self.name(entry.path))
        elif misplaced:
            self.findings.add(misplaced, self.name(entry.path))
        else:
            return True
        return False

    def _stays_inside(self, path: str) -> bool:
        try:
            return Path(os.path.realpath(path, strict=True)).is_relative_to(self.root)
        except OSError:
            return False
