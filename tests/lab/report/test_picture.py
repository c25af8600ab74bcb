"""The class distributions as a picture that stands alone."""

import xml.etree.ElementTree as ElementTree

import numpy as np
from report_cases import HOSTILE, example

from torchdiscern.lab.report.picture import picture

SVG = "{http://www.w3.org/2000/svg}"


def test_the_picture_shows_the_shares() -> None:
    contents = example(networks=["cross-entropy", "paper's terms"])
    text = picture(contents.networks, contents.classes)
    assert text.startswith("<svg xmlns=")
    svg = ElementTree.fromstring(text)
    layers = [network.layers[-1] for network in contents.networks]
    peak = max(layer.distribution.max() for layer in layers)
    for drawing, layer in zip(svg.iter(f"{SVG}g"), layers, strict=True):
        P = layer.distribution
        ground = next(cell for cell in drawing.iter(f"{SVG}rect") if cell.get("class") == "ground")
        shown = np.zeros_like(P)
        for cell in drawing.iter(f"{SVG}rect"):
            if cell.get("class") == "share":
                left = float(cell.attrib["x"]) - float(ground.attrib["x"])
                shown[round(float(cell.attrib["y"]) / 14), round(left / 5)] = float(cell.attrib["fill-opacity"])
        order = np.lexsort((-P.max(0), P.argmax(0), P.sum(0) == 0))  # by owner, then by share; dead ones last
        np.testing.assert_allclose(shown, P[:, order] / peak, atol=0.0051)
    titles = [one.text for one in svg.iter(f"{SVG}text") if one.get("class") == "title"]
    assert titles == ["cross-entropy", "paper's terms"]


def test_dead_features_are_marked_and_come_last() -> None:
    contents = example(features=6, dead=(0, 3))
    svg = ElementTree.fromstring(picture(contents.networks, contents.classes))
    (drawing,) = svg.iter(f"{SVG}g")
    ground = next(cell for cell in drawing.iter(f"{SVG}rect") if cell.get("class") == "ground")
    dead = [cell for cell in drawing.iter(f"{SVG}rect") if cell.get("class") == "dead"]
    lefts = [(float(cell.attrib["x"]) - float(ground.attrib["x"])) / 5 for cell in dead]
    assert lefts == [4, 5]
    assert [cell[0].text for cell in dead] == ["feature 0: dead", "feature 3: dead"]


def test_names_cannot_break_the_picture() -> None:
    names = [name for name in HOSTILE if name]
    contents = example(classes=names, networks=["<b>&", "</svg>"])
    svg = ElementTree.fromstring(picture(contents.networks, contents.classes))
    assert {one.tag.removeprefix(SVG) for one in svg.iter()} == {"svg", "style", "rect", "text", "g", "title"}
