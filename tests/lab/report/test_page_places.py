"""Where a report is written, and what becomes of an earlier one."""

from pathlib import Path

from report_cases import example

from torchdiscern.lab.report.page import write_page

CONTENTS = example(60, 3, 6)


def test_a_report_takes_the_place_of_an_earlier_one_in_either_form(tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert write_page(CONTENTS, out) == out
    folder = write_page(CONTENTS, out, limit=1_000)
    assert folder == tmp_path / "report" / "index.html"
    assert not out.exists()
    (tmp_path / "report" / ".DS_Store").touch()
    assert write_page(CONTENTS, out, limit=1_000) == folder
    assert write_page(CONTENTS, out) == out
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_what_is_no_report_stays(tmp_path: Path) -> None:
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "mine.txt").touch()
    write_page(CONTENTS, tmp_path / "report.html")
    assert (tmp_path / "report" / "mine.txt").exists()
