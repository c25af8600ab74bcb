"""Pixels of every kind of file become RGB of one size."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from folder_cases import add_classes, found, kinds, noise, save
from torchdiscern.lab.data import read_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes without anything to find."""
    return add_classes(tmp_path / "photos", "a", "b")


class TestPixels:
    def test_cropped_and_not_squeezed(self, folder: Path) -> None:
        pixels = np.zeros((20, 60, 3), np.uint8)
        pixels[:, 20:40] = 255  # the middle third
        save(folder / "a" / "0.png", pixels)
        assert read_folder(folder, 10).tensor()[0].min() > 200

    def test_turned_upright(self, folder: Path) -> None:
        pixels = np.zeros((40, 20, 3), np.uint8)
        pixels[:20] = (255, 0, 0)  # red above, black below
        turned = Image.fromarray(pixels).rotate(90, expand=True)
        exif = turned.getexif()
        exif[0x0112] = 6  # "turn me by 90 degrees"
        turned.save(folder / "a" / "0.png", exif=exif)
        first = read_folder(folder, 8).tensor()[0]
        assert first[0, 1].min() > 200
        assert first[0, 6].max() < 50

    def test_a_damaged_note_beside_the_pixels_spoils_nothing(self, folder: Path) -> None:
        pixels = noise()
        Image.fromarray(pixels).save(folder / "a" / "0.png", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\xff")
        images = read_folder(folder, 20)
        assert len(images.labels) == 4
        assert np.array_equal(images.tensor()[0].permute(1, 2, 0).numpy(), pixels[:, 5:25])

    @pytest.mark.parametrize(
        ("mode", "kind", "colour", "expected"),
        [
            ("1", "one channel", 255, (255, 255, 255)),
            ("L", "one channel", 90, (90, 90, 90)),
            ("LA", "transparent", (90, 0), (255, 255, 255)),
            ("LA", "one channel", (90, 255), (90, 90, 90)),
            ("P", "palette", (10, 20, 30), (10, 20, 30)),
            ("RGBA", "transparent", (0, 0, 0, 0), (255, 255, 255)),
            ("RGBA", "transparent", (0, 0, 0, 127), (128, 128, 128)),
            ("CMYK", "CMYK", (0, 255, 255, 0), (255, 0, 0)),
        ],
    )
    def test_other_modes_become_rgb_and_are_counted(
        self, folder: Path, mode: str, kind: str, colour: int | tuple[int, ...], expected: tuple[int, ...]
    ) -> None:
        for name in ("0", "1"):
            (folder / "a" / f"{name}.png").unlink()
            shape = (9, 9 + int(name))  # else they were the same image twice
            image = Image.new("RGB" if mode == "P" else mode, shape, colour)
            image = image.quantize(2) if mode == "P" else image
            image.save(folder / "a" / f"{name}.tif")
        images = read_folder(folder, 8)
        assert (found(images, kind).count, found(images, kind).first) == (2, "a/0.tif")
        assert images.tensor()[:2].permute(0, 2, 3, 1).flatten(0, 2).unique(dim=0).tolist() == [list(expected)]

    def test_an_opaque_alpha_channel_is_nothing_to_tell(self, folder: Path) -> None:
        Image.fromarray(noise()).convert("RGBA").save(folder / "a" / "0.png")
        assert read_folder(folder, 8).findings == ()

    def test_a_transparent_colour_of_a_palette_is_laid_on_white(self, folder: Path) -> None:
        Image.new("RGB", (9, 9), "red").quantize(2).save(folder / "a" / "0.png", transparency=0)
        images = read_folder(folder, 8)
        assert {"palette", "transparent"} == set(kinds(images))
        assert images.tensor()[0].min() == 255

    @pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
    def test_16_bits_are_scaled_and_not_clipped(self, folder: Path, suffix: str) -> None:
        values = np.array([[0, 128, 129, 257], [514, 40000, 65406, 65535]] * 2, np.uint16)
        (folder / "a" / "0.png").unlink()
        Image.fromarray(values).save(folder / "a" / f"0.{suffix}")
        images = read_folder(folder, 4)
        assert images.tensor()[0, 0, :2].tolist() == [[0, 0, 1, 1], [2, 156, 254, 255]]
        assert found(images, "16 bits a channel").count == 1

    def test_16_bits_in_colour_are_counted(self, folder: Path) -> None:
        rows = b"".join(b"\0" + struct.pack(">3H", 65535, 40000, 0) * 9 for _ in range(9))
        chunks = [(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows))]
        data = b"".join(
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in [*chunks, (b"IEND", b"")]
        )
        (folder / "a" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
        images = read_folder(folder, 8)
        assert found(images, "16 bits a channel").count == 1
        assert images.tensor()[0, :, 0, 0].tolist() == [255, 156, 0]

    @pytest.mark.parametrize("dtype", [np.float32, np.int32])
    def test_deeper_images_are_left_out(self, folder: Path, dtype: type) -> None:
        Image.fromarray(np.ones((9, 9), dtype)).save(folder / "a" / "deep.tif")
        images = read_folder(folder, 8)
        assert found(images, "more than 16 bits a channel").first == "a/deep.tif"
        assert len(images.labels) == 4

    def test_the_first_of_several_frames_is_taken(self, folder: Path) -> None:
        red, blue = Image.new("RGB", (9, 9), "red"), Image.new("RGB", (9, 9), "blue")
        red.save(folder / "a" / "0.tif", save_all=True, append_images=[blue])
        images = read_folder(folder, 8)
        assert found(images, "several frames").count == 1
        assert images.tensor()[images.files.index("a/0.tif"), :, 0, 0].tolist() == [255, 0, 0]

    def test_one_pixel_is_an_image(self, folder: Path) -> None:
        save(folder / "a" / "0.png", np.full((1, 1, 3), 7, np.uint8))
        assert read_folder(folder, 8).tensor()[0].unique().tolist() == [7]
