"""The page of a feature report, read by someone new to it: what it counts, explains, and hides behind an edge."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from feature_pages import (
    Opened,
    figures,
    go,
    needs_browser,
    open_all,
    shown,
)
from PIL import Image
from playwright.sync_api import Page
from report_cases import example

from torchdiscern.lab.inspecting.seeing import POOL
from torchdiscern.lab.report.page import write_page

pytestmark = needs_browser
CONTENTS = example(empty=(1, 2, 4, 6, 7))
LAST = CONTENTS.networks[0].layers[-1]


def test_classes_without_images_are_compared_with_nothing(opened: Opened) -> None:
    page = opened()
    text = page.locator("main").inner_text()
    assert page.locator(".notice").first.inner_text().startswith("3 of 8 classes have images;")
    assert "of 3 classes" in page.locator(".figures div", has_text="images").first.inner_text()
    assert figures(page)["classes that own a feature"] == f"{len(set(LAST.owner[LAST.owner >= 0]))} of 3"
    assert f"{shown(1 - 1 / 3, 2)} where it fires alike for all 3." in text
    least = min(1 / 3, float(np.nanmax(LAST.share)) / 4)
    assert page.evaluate("scaleOf(firstShown).least") == pytest.approx(least)
    assert page.evaluate("impurityBins([firstShown]).edges.at(-1)") == pytest.approx(1 - 1 / 3)
    least_covered = page.locator(".note", has_text="Most covered").inner_text()
    assert not [c for c in (1, 2, 4, 6, 7) if CONTENTS.classes[c] in least_covered]


def test_nothing_is_said_where_all_classes_have_images(opened: Opened, tmp_path: Path) -> None:
    page = opened(file=write_page(example(), tmp_path / "report.html"))
    assert "have images" not in page.locator("main").inner_text()
    assert "where it fires alike for all 8." in page.locator("main").inner_text()


def test_images_that_stand_for_more_are_said_to(opened: Opened, tmp_path: Path) -> None:
    drawn = f"of {POOL} images drawn at random"
    page = opened("#/feature/0/0")
    assert drawn not in page.locator("main").inner_text()
    go_on = opened("#/feature/0/0", file=write_page(example(POOL + 1, features=4), tmp_path / "report.html"))
    notes = go_on.locator(".examples .note").all_inner_texts()
    assert [drawn in note for note in notes if "mapped" not in note][-3:] == [False, True, True]


def test_a_logit_that_others_take_from(opened: Opened, tmp_path: Path) -> None:
    (network,) = CONTENTS.networks
    assert network.decisions is not None
    made = replace(network.decisions, owned_part=1.09 * network.decisions.whole_part)
    page = opened(
        "#/class/0",
        file=write_page(replace(CONTENTS, networks=[replace(network, decisions=made)]), tmp_path / "r.html"),
    )
    part = page.locator(".figures div", has_text="logit by own features").inner_text()
    assert "109%" in part
    assert "other features speak against it" in part
    go(page, "#/classes")
    hint = page.get_by_role("columnheader", name="logit by own features").get_by_role("button")
    assert "above 100% where other features speak against" in (hint.get_attribute("title") or "")


def test_states_and_impurities_are_explained(opened: Opened) -> None:
    page = opened("#/features")
    title = page.locator(".field", has_text="state").get_attribute("title") or ""
    assert title.startswith("live: fires on some image; dead: zero on every image; broken: gave NaN")
    go(page, "#/feature/0/0")
    assert "with C = 8 classes" in page.locator(".figures div", has_text="Renyi").inner_text()


def test_no_two_columns_have_one_name(opened: Opened, tmp_path: Path) -> None:
    page = opened(file=write_page(example(features=12), tmp_path / "report.html"))
    seen: set[str] = set()
    for address in ("#/", "#/feature/0/0", *(f"#/class/{c}" for c in range(8)), "#/image/0", "#/labels"):
        go(page, address)
        open_all(page)
        tables = page.evaluate(
            """() => [...document.querySelectorAll('thead tr, .heads .row')].map(row =>
              [...row.children].map(one => one.textContent))"""
        )
        for heads in tables:
            assert len(heads) == len(set(heads)), (address, heads)
            seen.update(heads)
    assert seen >= {"how many", "for or against"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_an_edge_shows_that_there_is_more_behind_it(opened: Opened, scheme: str) -> None:
    page = opened("#/classes", width=390, color_scheme=scheme)

    def edge(of: Page) -> list[int]:
        """Colour of the right edge, below a row's text."""
        grid = of.get_by_role("grid", name="Classes")
        picture = Image.open(io.BytesIO(grid.screenshot())).convert("RGB")
        return list(picture.getpixel((picture.width - 2, picture.height - 8)))  # type: ignore[arg-type]

    before = edge(page)
    page.evaluate("document.querySelector('.grid').scrollLeft = 9999")
    assert max(abs(a - b) for a, b in zip(before, edge(page), strict=True)) > 30
