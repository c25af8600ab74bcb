"""One page that loads nothing: reads results and pictures, never trains."""

import base64
import io
import shlex
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from torchdiscern import functional
from torchdiscern.lab import tables
from torchdiscern.lab.files import write_atomically
from torchdiscern.lab.pictures import QUANTILES, TOP, Pictures

_templates = Environment(
    loader=PackageLoader(__package__, "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_report(results: dict[str, Any], pictures: Pictures, out: Path) -> Path:
    """Writes `report.html`, and `features.svg` with its main picture, into `out`.

    Args:
        results: as in `results.json`.
        pictures: of the first seed.
        out: a folder.

    Returns:
        The page.
    """
    # one scale for all arms; with many classes no share comes near 1
    peak = max(float(parts["distribution"].max()) for parts in pictures.arms.values()) or 1.0
    arms = [_arm(name, pictures, parts, peak) for name, parts in pictures.arms.items()]
    style = (resources(__package__) / "style.css").read_text()
    common: dict[str, Any] = {"results": results, "arms": arms, "peak": peak, "style": style}
    page = _templates.get_template("page.html.j2").render(
        **common,
        columns=tables.COLUMNS,
        rows=tables.rows(results),
        verdicts=tables.verdicts(results),
        seeds=len({run["seed"] for run in results["runs"]}),
        options=_options(results["settings"]),
        top=TOP,
    )
    write_atomically(out / "features.svg", _templates.get_template("features.svg.j2").render(**common))
    write_atomically(out / "report.html", page)
    return out / "report.html"


def _options(settings: dict[str, Any]) -> list[str]:
    """The command line's options that repeat a run, into a folder of its own."""
    options = {name: settings[name] for name in ("data", "seeds", "epochs", "label_noise") if settings[name]}
    shown = [f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in options.items()]
    return [*shown, "--out DIR"]


def _arm(name: str, pictures: Pictures, parts: dict[str, Any], peak: float) -> dict[str, Any]:
    P = parts["distribution"]
    impurity = functional.gini(torch.from_numpy(P)).numpy()
    owner, share, dead = P.argmax(0), P.max(0), P.sum(0) == 0
    order = np.lexsort((-share, owner, dead))
    features = [
        {
            "feature": int(feature),
            "dead": bool(dead[feature]),
            "cells": [
                {"row": row, "class": pictures.classes[row], "share": float(value), "depth": float(value) / peak}
                for row, value in enumerate(P[:, feature])
                if value >= 0.005 * peak
            ],
        }
        for feature in order
    ]
    chosen = [
        {
            "rule": rule,
            "feature": int(feature),
            "impurity": float(impurity[feature]),
            "owner": pictures.classes[owner[feature]],
            "shares": [
                {"class": pictures.classes[c], "share": float(P[c, feature])}
                for c in np.argsort(-P[:, feature], kind="stable")[:3]
                if P[c, feature] >= 0.01
            ],
            "images": [
                {"uri": _data_uri(pixels), "class": pictures.classes[label]}
                for pixels, label in zip(images, labels, strict=True)
            ],
        }
        for rule, feature, images, labels in zip(
            QUANTILES, parts["chosen"], parts["images"], parts["labels"], strict=False
        )
    ]
    return {
        "name": name,
        "classes": pictures.classes,
        "heat": _heat(pictures.classes, len(features)),
        "features": features,
        "impurity": float(impurity.mean()),
        "owned": len(set(owner[~dead].tolist())),
        "chosen": chosen,
    }


def _heat(classes: list[str], features: int) -> dict[str, Any]:
    """Sizes of the picture of class distributions: room for the names, rows that stay legible."""
    names = [name if len(name) <= 12 else f"{name[:5]}…{name[-6:]}" for name in classes]
    row = 14 if len(classes) <= 30 else 7
    every = 1 if len(classes) <= 30 else 3
    left = 10 + 6 * max(len(name) for name in names)
    column = 5
    return {
        "left": left,
        "row": row,
        "column": column,
        "width": left + column * features,
        "height": row * len(classes),
        "labels": [
            {"y": max(9, row * (i + 0.75)), "text": name} for i, name in enumerate(names) if i % every == 0
        ],
    }


def _data_uri(pixels: Any) -> str:
    image = np.squeeze(np.moveaxis(pixels, 0, -1))
    content = io.BytesIO()
    Image.fromarray(image).save(content, "PNG")
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
