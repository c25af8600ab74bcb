"""The page of a report on several networks: what changed between two."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from feature_pages import (
    NO_NUMBER,
    Opened,
    cells,
    downloaded,
    figures,
    go,
    lines,
    needs_browser,
    open_all,
    opening,
    percent,
    shown,
)
from playwright.sync_api import Browser
from report_cases import ACCURACY, changes_of, example

from torchdiscern.lab.report.contents import Changes
from torchdiscern.lab.report.page import write_page

pytestmark = needs_browser
CONTENTS = example(layers=2, networks=2, broken=(5,), gone=(2,), empty=(6,), tables=[ACCURACY], changes=True)
FIRST, SECOND = CONTENTS.networks
A, B = FIRST.layers[-1], SECOND.layers[-1]
THREE = example(networks=3, changes=True, usual=False)
VIEWS = [
    "#/",
    "#/?layer=2",
    "#/features?layer=3",
    "#/feature/3/0",
    "#/feature/2/3",
    "#/classes?layer=3",
    "#/class/1?layer=3",
    "#/images?network=1",
    "#/image/2?network=1",
    "#/labels?network=1",
    "#/changes",
    "#/changes?owner=1",
]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(THREE, tmp_path_factory.mktemp("three") / "report.html")


def test_what_changed(opened: Opened) -> None:
    made = changes_of(CONTENTS)
    assert made.usual is not None
    page = opened()
    page.get_by_role("link", name="What changed").click()
    page.wait_for_selector("h1:has-text('What changed')")
    assert page.locator("nav [aria-current]").inner_text() == "What changed"
    said = figures(page)
    assert said["pairs"] == str(len(made.distance))
    assert said["median distance"] == shown(float(np.median(made.distance)), 3)
    assert said["usual median"] == shown(float(np.median(made.usual)), 3)
    same = (A.owner[made.first] == B.owner[made.second]).mean()
    assert said["pairs with the same owner"] == percent(same)
    text = page.locator("main").inner_text()
    bound = np.sort(made.usual)[int(np.ceil(0.95 * len(made.usual))) - 1]
    far = int(sum((made.usual < one).mean() >= 0.95 for one in made.distance))
    assert f"{far} of {len(made.distance)} pairs ({percent(far / len(made.distance))}) are farther apart" in text
    assert f"than {shown(float(bound), 3)};" in text
    assert made.usual_name in text
    assert page.locator(".chart polyline.outline").count() == 1
    page.get_by_text("The same numbers as a table").click()
    rows = cells(page, "How far apart the pairs are")
    for column in (2, 3):
        assert sum(float(row[column].rstrip("%")) for row in rows) == pytest.approx(100, abs=2)


def pair_cells(k: int) -> list[str]:
    made = changes_of(CONTENTS)
    i, j, usual = made.first[k], made.second[k], made.usual
    assert usual is not None
    return [
        str(i),
        CONTENTS.classes[A.owner[i]],
        shown(A.impurity[i], 3),
        str(j),
        CONTENTS.classes[B.owner[j]],
        shown(B.impurity[j], 3),
        shown(made.distance[k], 3),
        percent((usual >= made.distance[k]).mean()),
    ]


def test_all_pairs_are_shown_sorted_and_filtered(opened: Opened) -> None:
    made = changes_of(CONTENTS)
    page = opened("#/changes")
    grid = page.get_by_role("grid", name="Pairs of features")
    many = len(made.distance)
    assert grid.get_attribute("aria-rowcount") == str(many + 1)
    rows = lines(grid)
    assert rows == [pair_cells(k) for k in np.argsort(-made.distance, kind="stable")[: len(rows)]]
    links = grid.locator(".rows .row").first.locator("a").evaluate_all("all => all.map(one => one.hash)")
    assert links[0] == f"#/feature/1/{rows[0][0]}"
    assert links[2] == f"#/feature/3/{rows[0][3]}"
    grid.get_by_role("columnheader", name="scale-free impurity").get_by_role("button").click()
    assert lines(grid)[0] == pair_cells(int(np.argmin(B.impurity[made.second])))
    page.get_by_role("combobox", name="owner of either").select_option("1")
    mine = np.flatnonzero((A.owner[made.first] == 1) | (B.owner[made.second] == 1))
    assert page.locator(".count").inner_text() == f"{len(mine)} of {many} pairs"
    page.get_by_role("combobox", name="owner of both").select_option("no")
    other = [k for k in mine if A.owner[made.first[k]] != B.owner[made.second[k]]]
    assert sorted(row[0] for row in lines(grid)) == sorted(str(made.first[k]) for k in other)
    page.get_by_label("distance, from").fill("0.3")
    far = [k for k in other if made.distance[k] >= 0.3]
    assert page.locator(".count").inner_text() == f"{len(far)} of {many} pairs"
    assert "distance-from=0.3" in page.url
    again = opened("#" + page.url.split("#")[1])
    assert lines(again.get_by_role("grid", name="Pairs of features")) == lines(grid)
    page.get_by_role("button", name="clear filters").click()
    grid.get_by_role("columnheader", name="distance").get_by_role("button").click()
    table = downloaded(page, "Pairs of features")
    assert len(table) == many + 1
    found = sorted((float(line[6]), int(line[0]), int(line[3])) for line in table[1:])
    expected = sorted(zip(made.distance.tolist(), made.first.tolist(), made.second.tolist(), strict=True))
    assert found == expected


def test_a_feature_leads_to_its_like(opened: Opened) -> None:
    made = changes_of(CONTENTS)
    k = 4
    page = opened(f"#/feature/1/{made.first[k]}")
    like = page.locator("dl div", has_text="its like")
    assert like.locator("a").get_attribute("href") == f"#/feature/3/{made.second[k]}"
    assert f"distance {shown(made.distance[k], 3)}" in like.inner_text()
    like.locator("a").click()
    page.wait_for_selector("h1:has-text('scale-free')")
    assert page.locator("dl div", has_text="its like").locator("a").inner_text() == str(made.first[k])
    go(page, f"#/feature/0/{made.first[k]}")
    assert page.locator("dl div", has_text="its like").count() == 0


def test_changes_without_the_usual_ones(opened: Opened, three: Path) -> None:
    page = opened("#/changes", file=three)
    text = page.locator("main").inner_text()
    assert "Nothing here shows what two seeds of the same network would differ by" in text
    assert "usual" not in text
    assert "usual median" not in figures(page)
    assert page.locator(".chart polyline").count() == 0
    assert len(lines(page.get_by_role("grid", name="Pairs of features"))[0]) == 7


def test_no_pair_at_all(browser: Browser, tmp_path: Path) -> None:
    none = Changes(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0), np.zeros(0))
    made = replace(example(30, 3, 2, networks=2, dead=(0, 1), decisions=False, suspicions=False), changes=none)
    with opening(browser, write_page(made, tmp_path / "report.html")) as opened:
        page = opened()
        for address in ("#/", "#/?layer=1", "#/changes", "#/image/1", "#/labels?network=1", "#/class/1?layer=1"):
            go(page, address)
            open_all(page)
            assert not NO_NUMBER.search(page.locator("body").inner_text()), address
        go(page, "#/changes")
        assert "There is no pair." in page.locator("main").inner_text()
