"""Keeps comparisons in `results/compare`, and makes every number and plot of the evidence page from them.

    python benchmarks/evidence.py --keep runs/caltech101-head-30 ...
    python benchmarks/evidence.py [--check]

With `--keep`, what a comparison goes on from (its design, the numbers of its runs, its trials) is copied. Without
it, each kept comparison is judged again from the numbers of its runs, and the tables, plots and sentences of
`docs/evidence.md`, and the sentences of the README and `docs/use.md`, are written: `<!-- begin NAME COLUMNS -->`
to `<!-- end NAME -->` holds a table of `results/compare/NAME`; of sentences `sentences.py` speaks. With `--check`
nothing is written, and the exit status is 1 if a page differs.
"""

import argparse
import json
import re
import shlex
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import overview
import sentences
from torchdiscern.lab.comparing.folder import Folder
from torchdiscern.lab.comparing.results import gather
from torchdiscern.lab.comparison_report import as_markdown, csv_text, draw, save
from torchdiscern.lab.comparison_report.reading import Comparison
from torchdiscern.lab.environment import trained_on
from torchdiscern.lab.files import write_atomically

KEPT = Path("results/compare")
PAGE = Path("docs/evidence.md")
PAGES = (PAGE, Path("README.md"), Path("docs/use.md"))
IMAGES = Path("docs/images")
PARTS = ("comparison.json", "records", "checks", "tuning.db")
MARKS = re.compile(r"(<!-- begin (\S+)((?: \S+)*) -->).*?(<!-- end \2 -->)", re.DOTALL)
SHOWN = re.compile(r"images/(?P<name>[\w.-]+?)--(?P<plot>[\w.-]+)\.svg")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, nargs="+", default=[])
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    for folder in options.keep:
        keep(folder)
    if not options.check:
        for folder in sorted(KEPT.glob("*/comparison.json")):
            judge(folder.parent)
    stale = []
    for page in PAGES:
        before = page.read_text(encoding="utf-8")
        after = written(before) if page == PAGE else sentences.rewritten(before, everything())
        if after != before:
            stale.append(str(page))
            if not options.check:
                page.write_text(after, encoding="utf-8")
    if options.check:
        if stale:
            print(f"{', '.join(stale)}: not what the results say; run python benchmarks/evidence.py.")
        return int(bool(stale))
    for shown in SHOWN.finditer(PAGE.read_text(encoding="utf-8")):
        picture(shown["name"], shown["plot"])
    return 0


def written(page: str) -> str:
    """The evidence page with its tables, and the numbers in its sentences, as the kept runs have them."""
    tables = MARKS.sub(lambda found: found[1] + content(found[2], found[3].split()) + found[4], page)
    return sentences.rewritten(tables, everything())


def keep(folder: Path) -> None:
    """Copies what a comparison goes on from."""
    kept = KEPT / folder.name
    kept.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        source = folder / part
        if source.is_dir():
            shutil.copytree(source, kept / part, dirs_exist_ok=True)
        elif source.exists():
            shutil.copyfile(source, kept / part)
    design = json.loads((kept / "comparison.json").read_text(encoding="utf-8"))
    design["command"] = repeated(design["command"], folder.name)
    write_atomically(kept / "comparison.json", json.dumps(design, indent=1) + "\n")


def repeated(command: str, name: str) -> str:
    """The command as anyone would call it, into a folder of the same name.

    >>> repeated("__main__.py compare digits --out /somewhere/digits", "digits")
    'torchdiscern compare digits --out runs/digits'
    """
    return "; ".join(_repeated(one, name) for one in command.split("; "))


def _repeated(command: str, name: str) -> str:
    words = shlex.split(command)
    words[0] = "torchdiscern"
    if "--out" in words:
        words[words.index("--out") + 1] = f"runs/{name}"
    return shlex.join(words)


def judge(folder: Path) -> None:
    """Writes `results.json` and `results.csv` from the numbers of the runs."""
    found = gather(Folder(folder)).as_dict()
    write_atomically(folder / "results.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
    write_atomically(folder / "results.csv", csv_text(found))


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((KEPT / name / "results.json").read_text(encoding="utf-8"))
    return found


def everything() -> dict[str, Comparison]:
    """Every kept comparison by its name."""
    return {path.parent.name: Comparison(read(path.parent.name)) for path in KEPT.glob("*/results.json")}


def content(name: str, columns: list[str]) -> str:
    """A comparison's table with what was computed, where and when."""
    found = read(name)
    accelerator = found["recipe"]["accelerator"]
    machines = "; ".join(sorted({trained_on(machine, accelerator) for machine in found["machines"]}))
    tuned = f"{found['tune']} trials an arm" if found["tune"] else "nothing tuned"
    commits = dict.fromkeys(session.get("git") or "unknown" for session in found["sessions"])
    return (
        f"\n\n{as_markdown(found, columns or None)}\n\n*{len(found['seeds'])} seeds, {tuned}; "
        f"{found['hours']:.1f} hours of runs beside the trials; torch {found['versions']['torch']}, {machines}; "
        f"commit {' and '.join(commits)}; "
        f"`{found['command']}`; numbers in `{KEPT / name}`*\n\n"
    )


@cache
def drawn(name: str) -> dict[str, Figure]:
    return overview.draw(everything()) if name == "all" else draw(read(name))


def picture(name: str, plot: str) -> None:
    """Draws one plot of a comparison for the page; under the name `all` one of the overviews."""
    figures = drawn(name)
    if plot not in figures:
        raise ValueError(f"plot: got {plot!r} of {name}, expected one of {', '.join(figures)}; mend the page.")
    for path in save({plot: figures[plot]}, IMAGES / ".drawn"):
        if path.suffix == ".svg":
            path.replace(IMAGES / f"{name}--{plot}.svg")
    shutil.rmtree(IMAGES / ".drawn")


if __name__ == "__main__":
    raise SystemExit(main())
