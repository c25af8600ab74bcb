"""The page of a feature report keeps a person's place in tables, and tells how much a search finds."""

from pathlib import Path

import pytest
from feature_pages import (
    Opened,
    go,
    lines,
    needs_browser,
    until,
)
from playwright.sync_api import Page
from report_cases import example

from torchdiscern.lab.report.page import write_page

pytestmark = needs_browser
CONTENTS = example(images=400)
# row and column of the focus, or its tag where it is in no table
FOCUS = """(() => { const active = document.activeElement; const cell = active.closest('[aria-colindex]');
  return cell ? [cell.parentElement.ariaRowIndex, cell.ariaColIndex].map(Number) : active.tagName; })()"""
SCROLLED = "document.querySelector('.grid').scrollTop"


def into_table(page: Page, name: str) -> None:
    page.get_by_role("grid", name=name).get_by_role("button").first.focus()


def test_back_leads_to_the_cell_that_was_left(opened: Opened) -> None:
    page = opened("#/features")
    into_table(page, "Features")
    for key in ["PageDown", "PageDown", "ArrowDown", "ArrowRight", "ArrowRight"]:
        page.keyboard.press(key)
    left = page.evaluate(FOCUS)
    assert left[0] > 20
    assert left[1] == 3
    down = page.evaluate(SCROLLED)
    page.keyboard.press("Enter")
    until(page, "document.activeElement.tagName === 'H1'")
    page.go_back()
    until(page, "document.querySelector('.grid')")
    assert page.evaluate(FOCUS) == left
    assert page.evaluate(SCROLLED) == down > 0
    assert page.locator(".grid [tabindex='0']").count() == 1
    seen = """(() => { const both = [document.activeElement, document.querySelector('.grid')];
      const [cell, grid] = both.map(one => one.getBoundingClientRect());
      return cell.top >= grid.top && cell.bottom <= grid.bottom; })()"""
    assert page.evaluate(seen)
    page.keyboard.press("ArrowUp")
    assert page.evaluate(FOCUS) == [left[0] - 1, 3]
    # and forward and back again
    page.go_forward()
    until(page, "document.activeElement.tagName === 'H1'")
    page.go_back()
    until(page, "document.querySelector('.grid')")
    assert page.evaluate(FOCUS) == [left[0] - 1, 3]


def test_a_link_leads_to_the_top(opened: Opened) -> None:
    page = opened("#/features")
    into_table(page, "Features")
    page.keyboard.press("PageDown")
    page.keyboard.press("Enter")
    until(page, "document.activeElement.tagName === 'H1'")
    page.get_by_role("navigation").get_by_role("link", name="Features").click()
    until(page, "document.querySelector('.grid')")
    assert page.evaluate(FOCUS) == "H1"
    assert page.evaluate(SCROLLED) == 0


def test_back_from_a_sort_leads_to_the_heading(opened: Opened) -> None:
    page = opened("#/features")
    into_table(page, "Features")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    until(page, "location.hash.includes('sort=share')")
    page.go_back()
    until(page, "location.hash === '#/features' && shown.address === location.hash")
    assert page.evaluate(FOCUS) == [1, 3]


def test_back_opens_the_table_that_was_open(opened: Opened) -> None:
    page = opened("#/")
    page.get_by_text("The same numbers as a table").first.click()
    page.wait_for_selector(".grid")
    into_table(page, "Shares of classes in features")
    page.get_by_role("columnheader", name="share").get_by_role("button").click()
    for key in ["PageDown", "ArrowDown", "ArrowRight"]:
        page.keyboard.press(key)
    left, down = page.evaluate(FOCUS), page.evaluate("scrollY")
    rows = lines(page.get_by_role("grid"))
    page.keyboard.press("Enter")
    until(page, "document.activeElement.tagName === 'H1'")
    page.go_back()
    until(page, "document.querySelector('.grid')")
    assert page.evaluate(FOCUS) == left
    assert set(map(tuple, lines(page.get_by_role("grid")))) <= set(map(tuple, rows))
    assert page.evaluate("scrollY") == pytest.approx(down, abs=60)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 images whose names hold a word, of which the last one begins with it."""
    files = [*(f"photo turtle {i}.webp" for i in range(399)), "turtle.webp"]
    return write_page(example(400, files=files), tmp_path_factory.mktemp("search") / "report.html")


def test_search_counts_and_ranks_all_hits(opened: Opened, searched: Path) -> None:
    page = opened(file=searched)
    box, said = page.get_by_role("combobox", name="Search"), page.locator("#many-found")
    box.fill("TURTLE")
    assert said.inner_text() == "8 of 400 shown"
    assert page.get_by_role("option").first.locator(".name").inner_text() == "turtle.webp"
    assert page.get_by_role("option").nth(1).locator(".name").inner_text() == "photo turtle 0.webp"
    box.fill("turtle 39")
    assert said.inner_text() == "8 of 10 shown"  # 39, and 390 to 398
    box.fill("turtle 398")
    assert said.inner_text() == "1 found"
    box.fill("3")  # a feature, a class, and many images
    counted = 1 + 1 + sum("3" in str(i) for i in range(399))
    assert said.inner_text() == f"10 of {counted} shown"
    box.fill("no such thing")
    assert said.inner_text() == "nothing found"
    box.fill("")
    assert said.inner_text() == ""


def test_search_is_fast_among_many_names(opened: Opened) -> None:
    page = opened()
    go(page, "#/images")
    took = page.evaluate(
        """() => { for (let i = 0; i < 50000; i += 1) files.push(`a/folder/${i}/photograph-${i}.JPEG`);
          const time = words => { const from = performance.now(); find(words); return performance.now() - from; };
          return [find('photograph').many, ...['p', 'ph', 'jpeg', '49999'].map(time)]; }"""
    )
    assert took[0] == 50_000
    assert sorted(took[1:])[1] < 100  # one may have waited for another program
