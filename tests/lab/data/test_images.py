"""Images in memory, and images that stay in their files."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from torchdiscern.lab import files
from torchdiscern.lab.data import Images, StoredPixels, digits, read_folder
from torchdiscern.lab.data.images import fits_in_memory
from torchdiscern.lab.files import available_memory, cache_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for index in range(4):
            pixels = random.integers(0, 256, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / name / f"{index}.png")
    return tmp_path


def both(folder: Path, size: int = 16) -> tuple[torch.Tensor, StoredPixels, Images, Images]:
    inside, outside = (read_folder(folder, size, in_memory=choice) for choice in (True, False))
    assert isinstance(inside.pixels, torch.Tensor)
    assert isinstance(outside.pixels, StoredPixels)
    return inside.pixels, outside.pixels, inside, outside


def test_digits_are_real_and_whole() -> None:
    images = digits()
    assert images.pixels.shape == (1797, 1, 8, 8)
    assert images.tensor().max() == 255
    assert images.labels.bincount().min() == 174
    assert images.files[:2] == ["0", "1"]
    assert len(set(images.files)) == 1797
    assert images.fingerprint == digits().fingerprint


@pytest.mark.parametrize(
    "rows",
    [
        torch.tensor([3, 0, 0, -1]),
        torch.tensor([[1, 2], [5, 4]]),
        torch.tensor(6),
        torch.tensor([], dtype=torch.int64),
        torch.arange(8) % 3 == 1,
    ],
    ids=["list", "grid", "one", "none", "mask"],
)
def test_stored_pixels_are_those_in_memory(folder: Path, rows: torch.Tensor) -> None:
    inside, outside, _, images = both(folder)
    assert outside.shape == inside.shape
    assert len(outside) == len(inside) == 8
    assert outside[rows].dtype == torch.uint8
    assert torch.equal(outside[rows], inside[rows])
    assert torch.equal(images.tensor(), inside)
    assert torch.equal(pickle.loads(pickle.dumps(outside))[rows], inside[rows])
    with pytest.raises(IndexError):
        outside[torch.tensor([8])]


def test_the_fingerprint_is_one_for_memory_and_files(folder: Path) -> None:
    _, _, inside, outside = both(folder)
    assert inside.fingerprint == outside.fingerprint
    for path in folder.rglob("*.png"):
        path.unlink()
    assert dataclasses.replace(outside).fingerprint == inside.fingerprint  # reads no file again


def test_the_fingerprint_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    images = digits()
    first = images.fingerprint
    monkeypatch.setattr("torchdiscern.lab.data.images.digest", None)
    assert images.fingerprint == first


def test_the_fingerprint_sees_every_pixel_label_name_and_part(folder: Path) -> None:
    images = read_folder(folder, size=16)
    prints = {
        images.fingerprint,
        read_folder(folder, size=17).fingerprint,
        dataclasses.replace(images, labels=images.labels.flip(0)).fingerprint,
        dataclasses.replace(images, pixels=images.tensor().flip(0)).fingerprint,
        dataclasses.replace(images, classes=["cat\ndog", ""]).fingerprint,
        dataclasses.replace(images, classes=["cat", "\ndog"]).fingerprint,
        dataclasses.replace(images, parts={"train": torch.arange(4)}).fingerprint,
    }
    changed = images.tensor().clone()
    changed[7, 2, 15, 15] ^= 1
    prints.add(dataclasses.replace(images, pixels=changed).fingerprint)
    (folder / "dog").rename(folder / "hound")
    prints.add(read_folder(folder, size=16).fingerprint)
    assert len(prints) == 9


@pytest.mark.parametrize("change", ["gone", "other"])
def test_files_that_change_while_they_are_used_are_named(folder: Path, change: str) -> None:
    _, stored, _, _ = both(folder)
    (folder / "dog" / "1.png").unlink()
    if change == "other":
        Image.new("RGB", (20, 30), "red").save(folder / "dog" / "1.png")
    assert len(stored[torch.tensor([4, 6])]) == 2
    with pytest.raises(ValueError, match=r"dog/1\.png' is another than when the folder was read"):
        stored[torch.tensor([4, 5])]


def test_pixels_stay_in_files_where_half_the_memory_would_not_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = 8 * 3 * 16 * 16
    monkeypatch.setattr("torchdiscern.lab.data.images.available_memory", lambda: 2 * needed)
    assert fits_in_memory(needed)
    assert isinstance(read_folder(folder, 16).pixels, torch.Tensor)
    monkeypatch.setattr("torchdiscern.lab.data.images.available_memory", lambda: 2 * needed - 1)
    assert isinstance(read_folder(folder, 16).pixels, StoredPixels)
    assert isinstance(read_folder(folder, 16, in_memory=True).pixels, torch.Tensor)


def test_available_memory_is_what_the_system_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  9 kB\nMemFree:  8 kB\nMemAvailable:     123 kB\n")
    assert available_memory(tmp_path / "meminfo") == 123 * 1024
    monkeypatch.setattr("os.sysconf", {"SC_AVPHYS_PAGES": 10, "SC_PAGE_SIZE": 4096}.__getitem__)
    assert available_memory(tmp_path / "none") == 40960
    monkeypatch.setattr("os.sysconf", lambda name: -1)
    assert available_memory(tmp_path / "none") == files.UNKNOWN_MEMORY


def test_the_cache_is_where_the_setting_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHDISCERN_CACHE", "~/kept")
    assert cache_folder() == Path.home() / "kept"
    monkeypatch.delenv("TORCHDISCERN_CACHE")
    assert cache_folder() == Path.home() / ".cache" / "torchdiscern"
