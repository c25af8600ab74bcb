import dataclasses
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from torchdiscern.lab.data import digits, image_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes of photographs, told apart by their colour; one is gray, one has an alpha channel."""
    random = np.random.default_rng(0)
    for number, name in enumerate(["red", "green", "blue"]):
        (tmp_path / name).mkdir()
        for index in range(6):
            pixels = random.integers(0, 120, (20, 30, 3), dtype=np.uint8)
            pixels[..., number] += 130
            image = Image.fromarray(pixels)
            converted = image.convert({0: "L", 1: "RGBA"}.get(index, "RGB"))
            converted.save(tmp_path / name / f"{index}.png")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "red" / "notes.txt").write_text("no image")
    return tmp_path


def test_digits_are_real_and_whole() -> None:
    images = digits()
    assert images.pixels.shape == (1797, 1, 8, 8)
    assert images.pixels.max() == 255
    assert images.labels.bincount().min() == 174
    assert images.fingerprint == digits().fingerprint


def test_a_folder_a_class(folder: Path) -> None:
    images = image_folder(folder, size=16)
    assert images.classes == ["blue", "green", "red"]
    assert images.pixels.shape == (18, 3, 16, 16)
    assert images.labels.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    colour = images.pixels[images.labels == 2].float()[2:].mean((0, 2, 3))
    assert colour.argmax() == 0


def test_photographs_as_people_have_them(folder: Path) -> None:
    pixels = np.zeros((40, 20, 3), np.uint8)
    pixels[:20] = (255, 0, 0)  # red above, black below
    turned = Image.fromarray(pixels).rotate(90, expand=True)
    exif = turned.getexif()
    exif[0x0112] = 6  # "turn me by 90 degrees"
    turned.save(folder / "red" / "0.png", exif=exif)
    clear = np.zeros((20, 20, 4), np.uint8)  # black, and wholly transparent
    Image.fromarray(clear).save(folder / "red" / "1.png")
    (folder / "red" / "._0.png").write_bytes(b"a file system's own notes")
    images = image_folder(folder, size=8)
    first, second = images.pixels[images.labels == 2][:2]
    assert first[0, 1].min() > 200
    assert first[0, 6].max() < 50
    assert second.min() == 255
    Image.fromarray(np.full((20, 20), 40000, np.uint16)).save(folder / "red" / "0.png")
    with pytest.raises(ValueError, match=r"red/0\.png' has more than 8 bits a channel"):
        image_folder(folder, size=8)


def test_images_are_cropped_and_not_squeezed(folder: Path) -> None:
    pixels = np.zeros((20, 60, 3), np.uint8)
    pixels[:, 20:40] = 255  # the middle third
    Image.fromarray(pixels).save(folder / "red" / "0.png")
    assert image_folder(folder, size=10).pixels[12].min() > 200


def test_the_fingerprint_sees_every_pixel_label_and_name(folder: Path) -> None:
    first = image_folder(folder, size=16).fingerprint
    assert image_folder(folder, size=17).fingerprint != first
    (folder / "red").rename(folder / "rouge")
    assert image_folder(folder, size=16).fingerprint != first
    images = digits()
    assert dataclasses.replace(images, labels=images.labels.flip(0)).fingerprint != images.fingerprint


def test_bad_folders_get_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data: .*nowhere' is no folder"):
        image_folder(tmp_path / "nowhere", 16)
    with pytest.raises(ValueError, match=r"holds 0 folder\(s\).*above the classes"):
        image_folder(folder / "red", 16)
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=r"class 'empty' has 0 image\(s\)"):
        image_folder(folder, 16)
    (folder / "empty").rmdir()
    (folder / "red" / "0.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"red/0\.png' could not be read as an image"):
        image_folder(folder, 16)
