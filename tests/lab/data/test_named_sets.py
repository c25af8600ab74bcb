"""Data sets by name: found where the setting says, or a sentence."""

import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from torchdiscern.lab.data import digits, load_images, own_size
from torchdiscern.lab.data.cifar100 import COARSE, coarse_of

FINE = sorted(name for names in COARSE.values() for name in names)
HAS_DATA = pytest.mark.skipif(
    "TORCHDISCERN_DATA" not in os.environ, reason="TORCHDISCERN_DATA names no folder with cifar100 and caltech101"
)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for data, and one for what is downloaded."""
    monkeypatch.setenv("TORCHDISCERN_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("TORCHDISCERN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data"


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", fail)


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, lossless=True) if path.suffix == ".webp" else Image.fromarray(pixels).save(
        path
    )


def idx(array: NDArray[np.uint8]) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def fashion(folder: Path, suffix: str = "", labels: int = 10) -> dict[str, NDArray[np.uint8]]:
    """A tiny Fashion-MNIST, ten training images and three to test on."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    images = {half: random.integers(0, 256, (count, 28, 28), dtype=np.uint8) for half, count in HALVES.items()}
    for half, pixels in images.items():
        classes = np.arange(len(pixels), dtype=np.uint8) % labels
        for kind, array in (("images-idx3", pixels), ("labels-idx1", classes)):
            data = idx(array)
            (folder / f"{half}-{kind}-ubyte{suffix}").write_bytes(gzip.compress(data) if suffix else data)
    return images


HALVES = {"train": 10, "t10k": 3}


class TestCifar100:
    @pytest.fixture
    def tiny(self, root: Path) -> Path:
        """One image a class and part; the training image of the class `apple` is its test image, too."""
        random = np.random.default_rng(0)
        for name in FINE:
            pixels = random.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
            save(root / "cifar100" / "train" / name / "x.webp", pixels[0])
            save(root / "cifar100" / "test" / name / "y.webp", pixels[0 if name == "apple" else 1])
        return root / "cifar100"

    def test_is_read_from_the_folder_of_the_setting(self, tiny: Path) -> None:
        images = load_images("cifar100")
        assert images.name == "CIFAR-100"
        assert images.pixels.shape == (200, 3, 32, 32)
        assert images.classes == FINE
        assert {part: len(rows) for part, rows in images.parts.items()} == {"train": 100, "test": 100}
        assert images.files[0] == "train/apple/x.webp"
        expected = np.asarray(Image.open(tiny / "train" / "bear" / "x.webp"))
        assert np.array_equal(images.tensor()[images.files.index("train/bear/x.webp")].permute(1, 2, 0), expected)

    @pytest.mark.usefixtures("tiny")
    def test_keeps_what_is_in_both_parts_and_says_so(self) -> None:
        findings = {one.kind: one for one in load_images("cifar100").findings}
        assert findings["same image in both parts"].count == 1
        assert findings["same image in both parts"].first == "train/apple/x.webp is test/apple/y.webp"
        assert "kept" in findings["same image in both parts"].effect
        assert "same image twice" not in findings

    @pytest.mark.usefixtures("tiny")
    def test_says_that_images_are_missing(self) -> None:
        first = load_images("cifar100").findings[0]
        assert (first.kind, first.count) == ("images missing from the set", 60_000 - 200)
        assert first.first == "train has 100 of 50,000"

    @pytest.mark.usefixtures("tiny")
    def test_knows_its_coarse_classes(self) -> None:
        images = load_images("cifar100", 8)
        assert images.pixels.shape[-1] == 8
        assert images.coarse is not None
        assert images.coarse.bincount().tolist() == [5] * 20
        of = {fine: images.coarse_classes[k] for fine, k in zip(images.classes, images.coarse, strict=True)}
        assert of["apple"] == "fruit_and_vegetables"
        assert of["maple_tree"] == "trees"
        assert of["tractor"] == "vehicles_2"
        assert of["porcupine"] == "medium_mammals"
        assert images.coarse_classes == sorted(images.coarse_classes)

    def test_classes_of_another_set_are_refused(self, tiny: Path) -> None:
        (tiny / "train" / "apple").rename(tiny / "train" / "banana")
        (tiny / "test" / "apple").rename(tiny / "test" / "banana")
        with pytest.raises(ValueError, match=r"100 classes for cifar100 \('apple' is lacking or unknown\)"):
            load_images("cifar100")
        with pytest.raises(ValueError, match="got 1 classes"):
            coarse_of(["apple"])


class TestCaltech101:
    def test_leaves_the_background_out(self, root: Path) -> None:
        random = np.random.default_rng(0)
        for name in ("BACKGROUND_Google", "ant", "bass"):
            for index in range(2):
                pixels = random.integers(0, 256, (30, 40, 3), dtype=np.uint8)
                save(root / "caltech101" / "101_ObjectCategories" / name / f"image_{index}.jpg", pixels)
        images = load_images("caltech101", 16)
        assert images.name == "Caltech-101"
        assert images.classes == ["ant", "bass"]
        assert images.parts == {}
        assert [one.kind for one in images.findings] == ["images missing from the set"]
        assert images.findings[0].first == "has 4 of 8,677"
        assert load_images("caltech101").pixels.shape == (4, 3, 224, 224)


class TestFashionMnist:
    @pytest.mark.parametrize(("place", "suffix"), [("FashionMNIST/raw", ""), ("fashion-mnist", ".gz")])
    def test_is_read_as_torchvision_or_the_authors_keep_it(self, root: Path, place: str, suffix: str) -> None:
        expected = fashion(root / place, suffix)
        images = load_images("fashion-mnist")
        assert images.pixels.shape == (13, 1, 28, 28)
        assert np.array_equal(images.tensor()[:10, 0], expected["train"])
        assert np.array_equal(images.tensor()[10:, 0], expected["t10k"])
        assert images.labels.tolist() == [*range(10), 0, 1, 2]
        assert {part: rows.tolist() for part, rows in images.parts.items()} == {
            "train": [*range(10)],
            "test": [10, 11, 12],
        }
        assert images.classes[-1] == "Ankle boot"
        assert images.files == [str(row) for row in range(13)]
        assert images.findings[0].first == "train has 10 of 60,000"
        assert load_images("fashion-mnist", 14).pixels.shape == (13, 1, 14, 14)

    def test_damaged_files_are_named(self, root: Path) -> None:
        fashion(root / "fashion-mnist", ".gz")
        path = root / "fashion-mnist" / "t10k-images-idx3-ubyte.gz"
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte\.gz' cannot be read"):
            load_images("fashion-mnist")
        path.write_bytes(gzip.compress(gzip.decompress(whole)[:-1]))
        with pytest.raises(ValueError, match=r"2,351 bytes for the shape \[3, 28, 28\]"):
            load_images("fashion-mnist")
        path.write_bytes(gzip.compress(b"something else"))
        with pytest.raises(ValueError, match="does not start as an idx file"):
            load_images("fashion-mnist")
        path.unlink()
        with pytest.raises(ValueError, match=r"t10k-images-idx3-ubyte\.gz' cannot be read .*No such file"):
            load_images("fashion-mnist")

    def test_images_and_labels_have_to_fit(self, root: Path) -> None:
        fashion(root / "fashion-mnist")
        path = root / "fashion-mnist" / "train-labels-idx1-ubyte"
        for labels in (np.arange(9, dtype=np.uint8), np.full(10, 10, np.uint8)):
            path.write_bytes(idx(labels))
            with pytest.raises(
                ValueError, match=r"train images \[10, 28, 28\] and labels .*up to (8|10), expected"
            ):
                load_images("fashion-mnist")


class TestNames:
    def test_digits(self) -> None:
        assert torch.equal(load_images("digits").tensor(), digits().tensor())
        assert load_images("digits", 16).pixels.shape == (1797, 1, 16, 16)

    def test_a_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for index, name in enumerate(("a", "b")):
            save(tmp_path / "digits" / name / "0.png", np.full((9, 9, 3), index, np.uint8))
        assert load_images(str(tmp_path / "digits")).pixels.shape == (2, 3, 224, 224)
        monkeypatch.chdir(tmp_path)
        assert load_images("./digits", 4).pixels.shape == (2, 3, 4, 4)
        assert load_images("digits").pixels.shape == (1797, 1, 8, 8)  # a set's name comes first

    def test_unknown_names_get_the_nearest(self) -> None:
        with pytest.raises(ValueError, match=r"'cifar10' is no folder and no set .*did you mean 'cifar100'\?"):
            load_images("cifar10")

    def test_sizes(self) -> None:
        assert [own_size(name) for name in ("cifar100", "caltech101", "fashion-mnist", "digits", "photos")] == [
            32,
            224,
            28,
            8,
            224,
        ]
        with pytest.raises(ValueError, match="size: got 0"):
            load_images("digits", 0)


class TestDownload:
    @pytest.mark.usefixtures("offline")
    @pytest.mark.parametrize(
        ("name", "layout"),
        [
            ("cifar100", "cifar100/{train,test}/<class>"),
            ("caltech101", "101_ObjectCategories/<class>"),
            ("fashion-mnist", "ubyte, gzipped or not"),
        ],
    )
    def test_offline_it_says_where_data_could_be(
        self, root: Path, tmp_path: Path, name: str, layout: str
    ) -> None:
        with pytest.raises(OSError, match="set TORCHDISCERN_DATA") as caught:
            load_images(name)
        text = str(caught.value)
        assert "Name or service not known" in text
        assert str(root) in text
        assert layout in text
        assert "\n" not in text
        assert list((tmp_path / "cache" / "data").iterdir()) == []  # nothing half there

    @pytest.mark.usefixtures("root")
    def test_happens_once_and_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        fetched = []

        class FashionMNIST:
            classes = tuple("0123456789")

            def __init__(self, folder: Path, download: bool) -> None:
                assert download
                if not (folder / "FashionMNIST").is_dir():
                    fetched.append(folder)
                    fashion(folder / "FashionMNIST" / "raw")

        monkeypatch.setattr("torchvision.datasets.FashionMNIST", FashionMNIST)
        first, again = load_images("fashion-mnist"), load_images("fashion-mnist")
        assert first.fingerprint == again.fingerprint
        assert len(fetched) == 1
        assert [path.name for path in (tmp_path / "cache" / "data").iterdir()] == ["fashion-mnist"]
        assert fetched[0].parent.name.startswith(".")  # a stopped download is never taken for the set

    @pytest.mark.usefixtures("root")
    def test_arrays_of_torchvision_are_the_same_set(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class CIFAR100:
            classes = FINE

            def __init__(self, folder: Path, train: bool = True, download: bool = False) -> None:
                folder.mkdir(parents=True, exist_ok=True)
                labels = list(range(100)) * 2 if train else list(range(99, -1, -1))
                self.targets = labels
                self.data = np.random.default_rng(train).integers(
                    0, 256, (len(labels), 32, 32, 3), dtype=np.uint8
                )

        monkeypatch.setattr("torchvision.datasets.CIFAR100", CIFAR100)
        images = load_images("cifar100")
        assert images.pixels.shape == (300, 3, 32, 32)
        assert images.labels[200:].tolist() == list(range(99, -1, -1))
        assert images.parts["test"].tolist() == list(range(200, 300))
        assert np.array_equal(images.tensor()[5].permute(1, 2, 0), CIFAR100(Path()).data[5])
        assert images.coarse is not None
        assert images.coarse.tolist() == coarse_of(FINE)


@HAS_DATA
@pytest.mark.long
def test_the_real_sets_are_whole() -> None:
    images = load_images("cifar100")
    assert images.labels[images.parts["train"]].bincount().unique().tolist() == [500]
    assert images.labels[images.parts["test"]].bincount().unique().tolist() == [100]
    assert not any(one.effect == "left out" for one in images.findings)
    images = load_images("caltech101", 32)
    assert len(images.labels) == 8677
    assert len(images.classes) == 101
    assert not any(one.effect == "left out" for one in images.findings)
