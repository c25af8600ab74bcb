"""A feature report as one HTML file that loads nothing; where that would be too large, as a folder."""

import base64
import hashlib
import math
import shutil
import tempfile
from collections.abc import Iterator
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from torchdiscern.lab.files import make_folder, write_atomically
from torchdiscern.lab.report.contents import Changes, Contents, Decisions, Inspected, Layer, Suspicions, Table
from torchdiscern.lab.report.packing import Packed, arrays_in, as_json, pack
from torchdiscern.lab.report.sheets import Sheets, write_sheets

LIMIT = 50 * 2**20
DOUBTFUL = 500  # images with doubtful labels on the page
SCRIPTS = (
    "dom.js",
    "data.js",
    "images.js",
    "csv.js",
    "grid.js",
    "table.js",
    "charts.js",
    "strip.js",
    "compared.js",
    "views_overview.js",
    "views_features.js",
    "views_feature.js",
    "views_classes.js",
    "views_images.js",
    "views_networks.js",
    "views_changes.js",
    "search.js",
    "main.js",
)
# what the first view draws of each network's last layer, and of the first one's; it stands before the script
_FIRST = ("owner", "share", "impurity", "dead", "broken", "coverage", "prior")
_LARGE = "distribution"
_templates = Environment(
    loader=PackageLoader(__package__, "front"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_page(contents: Contents, out: Path, *, limit: int = LIMIT) -> Path:
    """Writes `out`; where it would pass `limit` bytes, a folder of that name without its ending instead.

    The folder holds `index.html` and `images/`. File or folder, it takes the place of what an earlier report left
    there in either form, and is there whole or not at all.

    Args:
        contents: all that the page shows.
        out: of the HTML file, such as `report.html`; its folder is made where it is missing.
        limit: bytes of the one file.

    Returns:
        The page: `out` itself, or `index.html` in the folder.

    Raises:
        OSError: with one sentence, where nothing can be written there, or the folder's name is taken.
    """
    make_folder(out.parent, "out")
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as beside:
        folder = Path(beside) / "report"
        (folder / "images").mkdir(parents=True)
        sheets = write_sheets(contents.thumbnails, len(contents.files), folder / "images")
        if sheets.weight() * 4 // 3 < limit:
            page = _render(contents, sheets, whole=True)
            if len(page) <= limit:
                write_atomically(out, page)
                if _is_report(_folder_of(out)):
                    shutil.rmtree(_folder_of(out))
                return out
        write_atomically(folder / "index.html", _render(contents, sheets, whole=False))
        for part in (folder, folder / "images", *sheets.files):
            part.chmod(0o755 if part.is_dir() else 0o644)
        _put(folder, _folder_of(out), Path(beside) / "old")
    out.unlink(missing_ok=True)
    return _folder_of(out) / "index.html"


def _folder_of(out: Path) -> Path:
    return out.with_suffix("") if out.suffix else out.with_name(f"{out.name}-report")


def _put(folder: Path, target: Path, old: Path) -> None:
    """Renames `folder` to `target`; an earlier report there goes to `old`, anything else stays."""
    if target.exists() or target.is_symlink():
        if not _is_report(target):
            raise FileExistsError(
                f"out: {str(target)!r} is there already and is no report's folder, expected a free name or an "
                "earlier report, as this one is too large for one file; choose another with --out."
            )
        target.rename(old)
    folder.rename(target)


def _is_report(target: Path) -> bool:
    if target.is_symlink() or not target.is_dir():
        return False
    inside = {part.name for part in target.iterdir()} - {".DS_Store"}
    sheets = {part.suffix for part in (target / "images").glob("*")}
    return inside <= {"index.html", "images"} and sheets <= {".webp"}


def _render(contents: Contents, sheets: Sheets, *, whole: bool) -> bytes:
    """The page, with all images in it or (not `whole`) beside it."""
    front = resources(__package__) / "front"
    style = (front / "style.css").read_text(encoding="utf-8")
    script = "\n".join((front / name).read_text(encoding="utf-8") for name in SCRIPTS)
    arrays = list(_arrays(contents, sheets))
    first = _first(contents.networks)
    pictures = [base64.b64encode(file.read_bytes()).decode() for file in sheets.files] if whole else []
    text = _templates.get_template("page.html.j2").render(
        title=contents.title,
        policy="; ".join(
            (
                "default-src 'none'",
                f"script-src '{_hash(script)}'",
                f"style-src '{_hash(style)}'",
                "img-src " + ("data: blob:" if whole else "'self' file: data: blob:"),
                "base-uri 'none'",
                "form-action 'none'",
            )
        ),
        style=Markup(style),
        script=Markup(script),
        facts=Markup(as_json(_facts(contents, sheets, arrays, whole=whole))),
        first=[(one.name, Markup(one.text)) for one in arrays if one.name in first],
        rest=[(one.name, Markup(one.text)) for one in arrays if one.name not in first],
        pictures=[Markup(one) for one in pictures],
    )
    return text.encode("utf-8", "replace")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _first(networks: list[Inspected]) -> set[str]:
    last = [sum(len(one.layers) for one in networks[: index + 1]) - 1 for index in range(len(networks))]
    return {f"{index}.{name}" for index in last for name in _FIRST} | {f"{last[0]}.{_LARGE}", "labels", "there"}


def _arrays(contents: Contents, sheets: Sheets) -> Iterator[Packed]:
    """Layers are counted over all networks: `0.share`; the rest by network: `decisions.0.predicted`."""
    yield pack("labels", contents.labels)
    yield pack("there", sheets.there)
    layers = [layer for network in contents.networks for layer in network.layers]
    for index, layer in enumerate(layers):
        yield from (pack(f"{index}.{name}", array) for name, array in arrays_in(layer))
    for index, network in enumerate(contents.networks):
        if network.decisions is not None:
            inside = arrays_in(network.decisions)
            yield from (pack(f"decisions.{index}.{name}", array) for name, array in inside)
            few = [by_class for _, by_class in network.decisions.few.values()]
            yield pack(f"decisions.{index}.few", np.array(few).reshape(len(few), len(contents.classes)))
        if network.suspicions is not None:
            inside = arrays_in(network.suspicions)
            yield from (pack(f"suspicions.{index}.{name}", array[:DOUBTFUL]) for name, array in inside)
    if contents.changes is not None:
        yield from (pack(f"changes.{name}", array) for name, array in arrays_in(contents.changes))


def _facts(contents: Contents, sheets: Sheets, arrays: list[Packed], *, whole: bool) -> dict[str, Any]:
    """Names and single numbers, and where each array is to be found."""
    return {
        "title": contents.title,
        "facts": list(contents.facts.items()),
        "notes": contents.notes,
        "classes": contents.classes,
        "files": contents.files,
        "networks": [_network(network) for network in contents.networks],
        "tables": [_table(table) for table in contents.tables],
        "changes": _changes(contents.changes),
        "images": {"size": sheets.size, "across": sheets.across, "whole": whole},
        "arrays": {one.name: [one.kind, one.shape] for one in arrays},
    }


def _network(network: Inspected) -> dict[str, Any]:
    doubts = network.suspicions
    return {
        "name": network.name,
        "layers": [_layer(layer) for layer in network.layers],
        "decisions": _decisions(network.decisions),
        "suspicions": None if doubts is None else _suspicions(doubts),
    }


def _suspicions(doubts: Suspicions) -> dict[str, Any]:
    return {"rule": doubts.rule, "worth": doubts.worth, "doubtful": len(doubts.rows)}


def _table(table: Table) -> dict[str, Any]:
    return {
        "title": table.title,
        "columns": table.columns,
        "rows": table.rows,
        "sentences": table.sentences,
    }


def _changes(changes: Changes | None) -> dict[str, Any] | None:
    return None if changes is None else {"usual_name": changes.usual_name}


def _layer(layer: Layer) -> dict[str, Any]:
    return {
        "name": layer.name,
        "features": layer.distribution.shape[1],
        "divergence": _number(layer.divergence),
    }


def _decisions(decisions: Decisions | None) -> dict[str, Any] | None:
    if decisions is None:
        return None
    few = [[int(k), _number(accuracy)] for k, (accuracy, _) in decisions.few.items()]
    return {"source": decisions.source, "accuracy": _number(decisions.accuracy), "few": few}


def _number(value: float) -> float | None:
    """JSON knows no NaN."""
    return float(value) if math.isfinite(value) else None
