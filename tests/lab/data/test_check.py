"""What a person sees of the check."""

import io
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from torchdiscern.lab.data import Finding, StoredPixels, check_folder, findings_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for place, images in {"train/cat": 3, "train/dog": 2, "test/cat": 1, "test/dog": 1}.items():
        (tmp_path / place).mkdir(parents=True)
        for index in range(images):
            pixels = random.integers(0, 256, (9, 9, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / place / f"{index}.png")
    return tmp_path


def printed(*things: object, width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(*things)
    return written(console)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_sound_folder_is_summed_up(folder: Path) -> None:
    console = Console(file=io.StringIO(), width=400)
    images = check_folder(folder, console)
    assert written(console) == (
        f"{folder}: 7 images (train 5, test 2) of 2 classes; the smallest is dog (3), the largest cat (4).\n"
        "Nothing is wrong with them.\n"
    )
    assert len(images.labels) == 7
    assert isinstance(images.pixels, StoredPixels)  # a check of a large folder needs no memory


def test_what_is_wrong_is_told(folder: Path) -> None:
    (folder / "train" / "cat" / "[red]bad[red] :smile:.jpg").write_text("no image")
    console = Console(file=io.StringIO(), width=200)
    check_folder(folder, console)
    text = written(console)
    assert "Nothing is wrong" not in text
    kind, first = next(
        (line, after) for line, after in pairwise(text.splitlines()) if "unreadable or damaged: left out" in line
    )
    assert "first: train/cat/[red]bad[red] :smile:.jpg" in first
    assert kind.startswith("1 ")
    assert "what you can do: mend or remove them" in text


def test_nothing_to_learn_from_is_an_error(folder: Path) -> None:
    with pytest.raises(ValueError, match="no folder"):
        check_folder(folder / "nowhere", Console(file=io.StringIO()))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("two\nlines\r", r"two\nlines\r"),
        ("a\u202egnp.exe", r"a\u202egnp.exe"),
        ("[link=https://example.org]here[/link]", "[link=https://example.org]here[/link]"),
        ("unclosed [/nothing]", "unclosed [/nothing]"),
        ("👩‍👩‍👧 <script>", "👩‍👩‍👧 <script>"),
    ],
)
def test_no_name_steers_the_terminal(name: str, shown: str) -> None:
    text = printed(findings_table([Finding("other files", 1234, name, "passed over", "nothing")]))
    assert shown in text
    assert "1,234" in text
    assert name == shown or name not in text


def test_a_narrow_terminal_shows_everything() -> None:
    long = "folder/" + "x" * 100 + ".png"
    text = printed(findings_table([Finding("other files", 1, long, "passed over", "nothing")]), width=80)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("x") == 100
