"""Folders as people have them, and as nobody should."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from folder_cases import add_classes, found, kinds, noise, save
from torchdiscern.lab.data import Finding, read_folder


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
