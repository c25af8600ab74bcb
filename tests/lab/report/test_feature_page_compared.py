"""The page of a feature report on two networks: which classes and images changed."""

from pathlib import Path

import numpy as np
import pytest
from feature_pages import (
    DASH,
    Opened,
    downloaded,
    go,
    lines,
    needs_browser,
    opening,
    percent,
    shown,
    until,
)
from playwright.sync_api import Browser
from report_cases import example

from torchdiscern.lab.report.page import write_page

pytestmark = needs_browser
CONTENTS = example(networks=2, empty=(6,), changes=True, features=12)
MADE = [one.decisions for one in CONTENTS.networks]
assert MADE[0] is not None
assert MADE[1] is not None
A, B, LABELS = MADE[0].predicted, MADE[1].predicted, CONTENTS.labels
ASKED = {
    "first": (A == LABELS) & (B != LABELS),
    "second": (A != LABELS) & (B == LABELS),
    "wrong": (A == B) & (A != LABELS),
    "differ": A != B,
}
WORDS = ["any", "only cross-entropy is right", "only scale-free is right", "both wrong alike", "they differ"]


def test_which_classes_changed(opened: Opened) -> None:
    page = opened("#/changes")
    grid = page.get_by_role("grid", name="Classes in both networks")
    many = np.bincount(LABELS, minlength=8)
    right = [np.bincount(LABELS[made == LABELS], minlength=8) for made in (A, B)]
    with np.errstate(invalid="ignore"):
        first, second = (one / many for one in right)
    difference = second - first
    rows = lines(grid)
    assert rows == [
        [
            CONTENTS.classes[c],
            str(many[c]),
            percent(first[c]),
            percent(second[c]),
            ("+" if difference[c] > 0 else "") + shown(difference[c], 2, 100),
        ]
        for c in np.argsort(difference, kind="stable")
    ]
    assert rows[-1] == ["class 006", "0", DASH, DASH, DASH]
    assert any(difference[:6] != 0)
    table = downloaded(page, "accuracy of each class in both networks")
    assert table[0][2:4] == ["cross-entropy: accuracy", "scale-free: accuracy"]
    assert [float(line[4]) for line in table[1:-1]] == pytest.approx(np.sort(difference)[:-1].tolist())
    grid.get_by_role("columnheader", name="scale-free accuracy").get_by_role("button").click()
    assert lines(grid)[0][3] == percent(np.nanmax(second))
    grid.get_by_role("link", name="class 004").click()
    page.wait_for_selector("h1:has-text('class 004')")


def test_which_images_changed(opened: Opened) -> None:
    assert all(0 < one.sum() < len(LABELS) for one in ASKED.values())
    page = opened("#/changes")
    part = page.locator("section", has=page.get_by_role("heading", name="Which classes and images changed"))
    links = part.locator("p a")
    assert links.all_inner_texts() == [f"{ASKED[name].sum()} images" for name in ("first", "second")]
    for n, name in enumerate(("first", "second")):
        links.nth(n).click()
        until(page, "address => shown.address === address", f"#/images?network=0&networks={name}")
        assert page.locator(".count").inner_text() == f"{ASKED[name].sum()} of {len(LABELS)} images"
        page.go_back()
        until(page, "shown.address === '#/changes' && !!document.querySelector('.prose a')")


def test_images_by_what_both_networks_make_of_them(opened: Opened) -> None:
    page = opened("#/images?network=1")
    choice = page.get_by_role("combobox", name="networks", exact=True)
    texts = [text.translate({0x2068: None, 0x2069: None}) for text in choice.locator("option").all_inner_texts()]
    assert texts == WORDS
    grid = page.get_by_role("grid", name="Images")
    for name, found in ASKED.items():
        choice.select_option(name)
        assert f"networks={name}" in page.url
        assert "network=1" in page.url
        rows = lines(grid)
        assert [row[1] for row in rows] == [CONTENTS.files[i] for i in np.flatnonzero(found)[: len(rows)]]
        again = opened("#" + page.url.split("#")[1])
        assert lines(again.get_by_role("grid", name="Images")) == rows
    page.get_by_role("button", name="clear filters").click()
    assert page.locator(".count").inner_text() == f"{len(LABELS)} images"
    go(page, "#/images?networks=toString")
    assert page.locator(".count").inner_text() == f"{len(LABELS)} images"


@pytest.mark.parametrize("networks", [1, 2])
def test_nothing_is_compared_without_two_decisions(browser: Browser, tmp_path: Path, networks: int) -> None:
    made = example(60, networks=networks, changes=networks > 1, decisions=networks < 2)
    with opening(browser, write_page(made, tmp_path / "report.html")) as opened:
        page = opened("#/images?networks=first")
        assert page.get_by_role("combobox", name="networks", exact=True).count() == 0
        assert page.locator(".count").inner_text() == "60 images"
        if networks > 1:
            go(page, "#/changes")
            assert page.get_by_role("grid").count() == 1
