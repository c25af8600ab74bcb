"""The class distributions of several networks side by side, as an SVG file that stands alone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from torchdiscern.lab.report.contents import Inspected, Layer

_templates = Environment(
    loader=PackageLoader(__package__, "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def picture(networks: Sequence[Inspected], classes: Sequence[str]) -> str:
    """Draws each network's last layer: a row a class, a column a feature, ordered by owner.

    Args:
        networks: at least one, on the same images.
        classes: C names.
    """
    layers = [network.layers[-1] for network in networks]
    # one scale for all; with many classes no share comes near 1
    peak = max(float(layer.distribution.max()) for layer in layers) or 1.0
    arms = [
        {
            "name": network.name,
            "impurity": float(layer.impurity.mean()),
            "size": _size(classes, len(layer.owner)),
            "features": _features(layer, classes, peak),
        }
        for network, layer in zip(networks, layers, strict=True)
    ]
    return _templates.get_template("features.svg.j2").render(arms=arms)


def _features(layer: Layer, classes: Sequence[str], peak: float) -> list[dict[str, Any]]:
    P = layer.distribution
    return [
        {
            "feature": int(feature),
            "dead": bool(layer.dead[feature]),
            "cells": [
                {"row": row, "class": classes[row], "share": float(value), "depth": float(value) / peak}
                for row, value in enumerate(P[:, feature])
                if value >= 0.005 * peak
            ],
        }
        for feature in np.lexsort((-layer.share, layer.owner, layer.dead))
    ]


def _size(classes: Sequence[str], features: int) -> dict[str, Any]:
    """Room for the names, rows that stay legible."""
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
