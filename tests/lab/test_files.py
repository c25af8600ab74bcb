from pathlib import Path

import pytest

from torchdiscern.lab.files import make_folder, write_atomically


def test_what_is_written_is_there_and_nothing_else(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a.json", "old")
    write_atomically(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_write_keeps_the_old_content(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "kept").touch()
    with pytest.raises(OSError, match="directory"):
        write_atomically(tmp_path / "results", "cannot replace a folder")
    assert [path.name for path in tmp_path.rglob("*")] == ["results", "kept"]


def test_a_reader_never_sees_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_atomically(tmp_path / "a.json", "old")

    def full(_: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(tmp_path / "a.json", "new")
    assert (tmp_path / "a.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"out: cannot write to .*file/here.*choose another with --out"):
        make_folder(tmp_path / "file" / "here", "out")
