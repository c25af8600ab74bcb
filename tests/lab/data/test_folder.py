"""Folders as people have them, and as nobody should."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from torchdiscern.lab.data import Finding, Images, read_folder

SEED = iter(range(10_000))


def noise(height: int = 20, width: int = 30, channels: int = 3) -> NDArray[np.uint8]:
    """Pixels that no other call gives."""
    return np.random.default_rng(next(SEED)).integers(0, 256, (height, width, channels), dtype=np.uint8)


def save(path: Path, pixels: NDArray[np.uint8] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(noise() if pixels is None else pixels).save(path)
    return path


def found(images: Images, kind: str) -> Finding:
    return next(one for one in images.findings if one.kind == kind)


def kinds(images: Images) -> list[str]:
    return [one.kind for one in images.findings]


def add_classes(folder: Path, *names: str, images: int = 2) -> Path:
    for name in names:
        for index in range(images):
            save(folder / name / f"{index}.png")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes without anything to find."""
    return add_classes(tmp_path / "photos", "a", "b")


@pytest.fixture
def parted(tmp_path: Path) -> Path:
    """The same in parts."""
    for part in ("train", "val", "test"):
        add_classes(tmp_path / "parted" / part, "a", "b")
    return tmp_path / "parted"


def bomb(path: Path, side: int) -> None:
    """A small PNG that says it is a large one."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 1000)), (b"IEND", b"")]
    data = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


class TestLayout:
    def test_a_folder_a_class(self, tmp_path: Path) -> None:
        for number, name in enumerate(["red", "green", "blue"]):
            for index in range(3):
                pixels = noise() // 3
                pixels[..., number] += 150
                save(tmp_path / name / f"{index}.png", pixels)
        save(tmp_path / "red" / "deep" / "down" / "0.png", noise() // 3 + np.array([150, 0, 0], np.uint8))
        images = read_folder(tmp_path, size=16)
        assert images.classes == ["blue", "green", "red"]
        assert images.pixels.shape == (10, 3, 16, 16)
        assert images.labels.tolist() == [0] * 3 + [1] * 3 + [2] * 4
        assert images.files[-2:] == ["red/2.png", "red/deep/down/0.png"]
        assert images.parts == {}
        assert images.findings == ()
        for label, channel in enumerate([2, 1, 0]):
            colours = images.tensor()[images.labels == label].float().mean((2, 3))
            assert (colours.argmax(1) == channel).all()

    @pytest.mark.parametrize("val", ["val", "valid", "validation"])
    def test_parts(self, parted: Path, val: str) -> None:
        (parted / "val").rename(parted / val)
        images = read_folder(parted, 8)
        assert images.classes == ["a", "b"]
        assert {part: rows.tolist() for part, rows in images.parts.items()} == {
            "train": [0, 1, 2, 3],
            "val": [4, 5, 6, 7],
            "test": [8, 9, 10, 11],
        }
        assert images.labels.tolist() == [0, 0, 1, 1] * 3
        assert [images.files[i] for i in (0, 5, 11)] == ["train/a/0.png", f"{val}/a/1.png", "test/b/1.png"]
        assert images.findings == ()

    def test_classes_called_train_and_car_are_classes(self, tmp_path: Path) -> None:
        images = read_folder(add_classes(tmp_path, "car", "train"), 8)
        assert images.classes == ["car", "train"]
        assert images.parts == {}

    def test_hidden_things_are_passed_over(self, folder: Path) -> None:
        save(folder / ".hidden" / "0.png")
        save(folder / "a" / ".thumbs" / "0.png")
        (folder / "a" / "._0.png").write_bytes(b"a file system's own notes")
        images = read_folder(folder, 8)
        assert len(images.labels) == 4
        assert images.findings == ()

    def test_other_files_are_counted(self, folder: Path) -> None:
        for place in ("notes.txt", "a/notes.txt", "b/deep/film.mp4"):
            (folder / place).parent.mkdir(exist_ok=True)
            (folder / place).write_text("no image")
        save(folder / "stray.png")
        images = read_folder(folder, 8)
        assert len(images.labels) == 4
        assert (found(images, "other files").count, found(images, "other files").first) == (3, "a/notes.txt")
        assert found(images, "image outside of the classes").first == "stray.png"

    def test_folders_beside_the_parts_are_named(self, parted: Path) -> None:
        add_classes(parted / "extra", "a")
        images = read_folder(parted, 8)
        assert len(images.labels) == 12
        assert found(images, "folder beside the parts").first == "extra"

    def test_progress_sees_every_file(self, folder: Path) -> None:
        seen: list[Path] = []

        def progress(paths: "list[Path] | object") -> list[Path]:
            assert isinstance(paths, list)
            seen.extend(paths)
            return paths

        read_folder(folder, 8, progress=progress)
        assert [path.name for path in seen] == ["0.png", "1.png"] * 2


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


class TestLeftOut:
    def test_files_that_are_no_whole_images(self, folder: Path) -> None:
        (folder / "a" / "text.jpg").write_text("I am no image")
        (folder / "a" / "empty.png").touch()
        Image.fromarray(noise(200, 200)).save(folder / "b" / "cut.jpg")
        (folder / "b" / "cut.jpg").write_bytes((folder / "b" / "cut.jpg").read_bytes()[:9000])
        Image.fromarray(noise()).save(folder / "b" / "other.jpg", format="PCX")  # few decoders, fewer holes
        os.mkfifo(folder / "b" / "pipe.jpg")
        images = read_folder(folder, 8)
        assert images.files == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
        # the walk meets the pipe before any file is read
        assert found(images, "unreadable or damaged") == Finding(
            "unreadable or damaged", 5, "b/pipe.jpg", "left out", "mend or remove them"
        )

    @pytest.mark.parametrize("side", [10_000, 60_000])  # Pillow only warns of the first
    def test_decompression_bombs(self, folder: Path, side: int, recwarn: pytest.WarningsRecorder) -> None:
        bomb(folder / "a" / "bomb.png", side)
        images = read_folder(folder, 8)
        assert found(images, "decompression bomb").first == "a/bomb.png"
        assert len(images.labels) == 4
        assert not recwarn.list

    def test_links_out_of_the_folder(self, folder: Path, tmp_path: Path) -> None:
        outside = add_classes(tmp_path / "outside", "c")
        (folder / "c").symlink_to(outside / "c")
        (folder / "a" / "secret.png").symlink_to(outside / "c" / "0.png")
        (folder / "a" / "more").symlink_to(outside)
        (folder / "a" / "broken.png").symlink_to(folder / "nowhere.png")
        (folder / "b" / "round.png").symlink_to("round.png")
        images = read_folder(folder, 8)
        assert images.classes == ["a", "b"]
        assert len(images.labels) == 4
        assert (found(images, "link out of the folder").count, images.findings[0].first) == (5, "c")

    def test_links_within_the_folder_are_followed_and_never_round(self, folder: Path) -> None:
        (folder / "a" / "again").symlink_to(folder / "a")
        (folder / "b" / "copy.png").symlink_to(folder / "b" / "0.png")
        images = read_folder(folder, 8)
        assert images.files == ["a/0.png", "a/1.png", "b/0.png", "b/1.png", "b/copy.png"]
        assert kinds(images) == ["same image twice"]

    def test_the_folder_itself_may_be_a_link(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(folder)
        assert len(read_folder(tmp_path / "link", 8).labels) == 4

    def test_training_images_that_test_or_val_hold_too(self, parted: Path) -> None:
        pixels = {name: noise() for name in ("tested", "validated")}
        save(parted / "train" / "a" / "seen.png", pixels["tested"])
        save(parted / "test" / "b" / "shown.bmp", pixels["tested"])  # another format and class, the same image
        save(parted / "train" / "b" / "known.png", pixels["validated"])
        save(parted / "val" / "b" / "known.png", pixels["validated"])
        images = read_folder(parted, 8)
        leak = found(images, "same image in train and val or test")
        assert (leak.count, leak.first) == (2, "train/a/seen.png is test/b/shown.bmp")
        assert not {"train/a/seen.png", "train/b/known.png"} & set(images.files)
        assert {"test/b/shown.bmp", "val/b/known.png"} < set(images.files)
        assert [len(rows) for rows in images.parts.values()] == [4, 5, 5]
        assert all(images.files[row].startswith(part) for part, rows in images.parts.items() for row in rows)

    def test_pixels_and_labels_stay_together_where_images_are_left_out(self, folder: Path) -> None:
        (folder / "a" / "0.png").write_text("damaged")
        white = save(folder / "b" / "white.png", np.full((9, 9, 3), 255, np.uint8))
        for in_memory in (True, False):
            images = read_folder(folder, 8, in_memory=in_memory)
            assert images.files == ["a/1.png", "b/0.png", "b/1.png", "b/white.png"]
            assert images.labels.tolist() == [0, 1, 1, 1]
            assert images.pixels[torch.tensor([3])].min() == 255, white


class TestNoted:
    def test_empty_and_single_classes(self, folder: Path) -> None:
        (folder / "empty").mkdir()
        (folder / "damaged").mkdir()
        (folder / "damaged" / "0.png").write_text("no image")
        add_classes(folder, "single", images=1)
        images = read_folder(folder, 8)
        assert images.classes == ["a", "b", "single"]
        assert images.labels.tolist() == [0, 0, 1, 1, 2]
        assert found(images, "class without images").count == 2
        assert found(images, "class without images").first == "damaged"
        assert found(images, "class of one image").first == "single"

    def test_classes_that_differ_between_parts(self, parted: Path) -> None:
        add_classes(parted / "train", "untested")
        add_classes(parted / "val", "untested", "unknown")
        add_classes(parted / "test", "unknown")
        images = read_folder(parted, 8)
        assert images.classes == ["a", "b", "untested"]
        assert not any("unknown" in name for name in images.files)
        assert len(images.labels) == 12 + 4
        assert (found(images, "class that train lacks").count, images.findings[0].first) == (1, "unknown")
        assert found(images, "class that val or test lacks").first == "untested in test"

    def test_a_class_whose_training_images_all_leaked(self, parted: Path) -> None:
        pixels = noise()
        save(parted / "train" / "c" / "0.png", pixels)
        save(parted / "test" / "c" / "0.png", pixels)
        images = read_folder(parted, 8)
        assert images.classes == ["a", "b"]
        assert {"same image in train and val or test", "class that train lacks"} < set(kinds(images))
        assert not any("/c/" in name for name in images.files)

    def test_a_part_without_images(self, parted: Path) -> None:
        for path in (parted / "val").rglob("*.png"):
            path.unlink()
        images = read_folder(parted, 8)
        assert list(images.parts) == ["train", "test"]
        assert found(images, "part without images").first == "val"

    def test_the_same_image_again(self, folder: Path) -> None:
        pixels = noise()
        for name in ("x.png", "y.bmp", "z.png"):
            save(folder / "a" / name, pixels)
        other = noise()
        save(folder / "a" / "mine.png", other)
        save(folder / "b" / "mine.png", other)
        save(folder / "b" / "flat.png", noise(10, 60))
        save(folder / "b" / "high.png", noise(60, 10))
        images = read_folder(folder, 8)
        assert len(images.labels) == 4 + 3 + 2 + 2
        twice, both = found(images, "same image twice"), found(images, "same image in two classes")
        assert (twice.count, twice.first) == (2, "a/x.png is a/y.bmp")
        assert (both.count, both.first) == (1, "a/mine.png is b/mine.png")

    def test_the_same_colour_in_other_sizes_is_another_image(self, folder: Path) -> None:
        for index, shape in enumerate([(4, 9, 3), (9, 4, 3), (6, 6, 3)]):
            save(folder / "a" / f"red{index}.png", np.full(shape, 9, np.uint8))
        assert read_folder(folder, 8).findings == ()

    @pytest.mark.parametrize(("images", "noted"), [(19, False), (20, True)])
    def test_imbalance(self, folder: Path, images: int, noted: bool) -> None:
        add_classes(folder, "large", images=images)
        kind = "class a tenth of the largest or smaller"
        read = read_folder(folder, 8)
        assert (kind in kinds(read)) == noted
        if noted:
            assert (found(read, kind).count, found(read, kind).first) == (2, "a has 2, large 20")


class TestNames:
    @pytest.mark.parametrize(
        "name", ["two words", 'it\'s "so"', "🦊 fox", "<b onclick=x>", "[red]a[red]", "a\nb"]
    )
    def test_any_name_is_a_class(self, folder: Path, name: str) -> None:
        save(folder / name / f"{name}.png")
        save(folder / name / "damaged.png").write_text("no image")
        images = read_folder(folder, 8)
        assert name in images.classes
        assert f"{name}/{name}.png" in images.files
        assert found(images, "unreadable or damaged").first == f"{name}/damaged.png"

    def test_undecodable_names_are_shown_and_kept_apart(self, folder: Path) -> None:
        for name in (b"caf\xe9", b"caf\xe8"):
            place = os.fsencode(folder) + b"/" + name
            save(Path(os.fsdecode(place + b"/\xff.png")))
            Path(os.fsdecode(place + b"/\xfe.png")).write_text("no image")
        images = read_folder(folder, 8)
        assert images.classes == ["a", "b", "caf�", "caf� (2)"]
        assert images.files[4:] == ["caf�/�.png", "caf�/�.png (2)"]
        for text in (*images.classes, *images.files, *(one.first for one in images.findings)):
            text.encode()


class TestFatal:
    def test_no_such_folder(self, folder: Path) -> None:
        with pytest.raises(ValueError, match=r"data: .*nowhere' is no folder"):
            read_folder(folder / "nowhere", 16)
        with pytest.raises(ValueError, match=r"data: .*0\.png' is no folder"):
            read_folder(folder / "a" / "0.png", 16)

    def test_fewer_than_two_classes(self, folder: Path) -> None:
        with pytest.raises(ValueError, match=r"holds 0 folder\(s\).*above the classes"):
            read_folder(folder / "a", 16)
        for path in (folder / "b").iterdir():
            path.write_text("no image")
        with pytest.raises(
            ValueError, match=r"1 folder\(s\) with images \(left out: 2 unreadable.*first 'b/0\.png'"
        ):
            read_folder(folder, 16)

    def test_nothing_to_learn_from(self, parted: Path) -> None:
        for path in (parted / "train").rglob("*.png"):
            path.write_text("no image")
        with pytest.raises(
            ValueError, match=r"train folder of .* holds no image that can be used \(left out: 4 "
        ):
            read_folder(parted, 16)

    def test_nothing_readable(self, folder: Path) -> None:
        for path in folder.rglob("*.png"):
            path.write_text("no image")
        with pytest.raises(
            ValueError, match=r"none of the 4 image file\(s\).*4 unreadable or damaged, first 'a/0"
        ):
            read_folder(folder, 16)

    def test_sizes_that_are_none(self, folder: Path) -> None:
        with pytest.raises(ValueError, match="size: got 0"):
            read_folder(folder, 0)
