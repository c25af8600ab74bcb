"""A browser on feature reports: opens pages, and reads from them what a person would."""

import csv
import io
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Locator, Page, sync_playwright

from torchdiscern.lab.report.page import write_page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
DASH, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
READ_BACK = "Multiple readback operations"  # of canvases, by these tests
NO_NUMBER = re.compile(r"\b(NaN(?! or)|undefined|Infinity|null|\[object)\b")
Opened = Callable[..., Page]


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def opening(browser: Browser, report: Path) -> Iterator[Opened]:
    """Opens pages; at the end none may have asked for anything outside, or complained."""
    asked: list[str] = []
    said: list[str] = []
    contexts: list[BrowserContext] = []

    def heard(message: ConsoleMessage) -> None:
        if READ_BACK not in message.text:
            said.append(message.text)

    def asks(dialog: Dialog) -> None:
        said.append(dialog.message)
        dialog.dismiss()

    def open_page(address: str = "#/", file: Path = report, width: int = 1440, **settings: Any) -> Page:
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **settings))
        page = contexts[-1].new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", heard)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", asks)
        page.goto(file.as_uri() + address)
        page.wait_for_selector("h1")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a test module's `CONTENTS`."""
    return write_page(request.module.CONTENTS, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture
def opened(browser: Browser, report: Path) -> Iterator[Opened]:
    with opening(browser, report) as opened:
        yield opened


def until(page: Page, holds: str, given: Any = None) -> None:
    """Waits; Playwright's own way needs an eval in the page, which the page's policy refuses."""
    for _ in range(250):
        if page.evaluate(holds, given):
            return
        page.wait_for_timeout(20)
    raise AssertionError(holds)


def with_and_without_maps(page: Page, measure: str, drawn: str) -> tuple[Any, Any]:
    """What a script measures of the pictures with the maps on them, once `drawn` holds of it, and without."""
    until(page, f"({drawn})({measure})")
    page.wait_for_timeout(100)
    veiled = page.evaluate(measure)
    page.get_by_label("show where in the image it fires").uncheck()
    page.wait_for_timeout(200)
    return veiled, page.evaluate(measure)


def go(page: Page, address: str) -> None:
    page.evaluate("address => { location.hash = address; }", address)
    until(page, "address => shown.address === address && !!document.querySelector('main h1')", address)


def shown(value: float, digits: int, scale: float = 1) -> str:
    """As JavaScript's toFixed: a half goes away from 0."""
    if np.isnan(value):
        return DASH
    return str(Decimal(scale * float(value)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)).replace(
        "-", MINUS
    )


def percent(value: float, digits: int = 1) -> str:
    return DASH if np.isnan(value) else shown(value, digits, 100) + "%"


def lines(grid: Locator) -> list[list[str]]:
    """Cells of the rows in view."""
    grid.wait_for()
    return [
        [cell.strip() for cell in row]
        for row in grid.locator(".rows .row").evaluate_all(
            "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
        )
    ]


def cells(page: Page, label: str) -> list[list[str]]:
    """Cells of a small table's rows."""
    page.wait_for_selector(f".scroll[aria-label={label!r}]")
    found: list[list[str]] = page.locator(f".scroll[aria-label={label!r}] tbody tr").evaluate_all(
        "rows => rows.map(row => [...row.children].map(cell => cell.textContent))"
    )
    return found


def figures(page: Page) -> dict[str, str]:
    """Terms and values at the head of a view."""
    part = "all => all.map(one => one.firstChild ? one.firstChild.textContent : '')"
    terms = page.locator(".figures dt").evaluate_all(part)
    return dict(zip(terms, page.locator(".figures dd").evaluate_all(part), strict=True))


def downloaded(page: Page, about: str) -> list[list[str]]:
    with page.expect_download() as waiting:
        page.get_by_role("button", name=f"CSV: {about}").click()
    return list(csv.reader(io.StringIO(Path(waiting.value.path()).read_text(encoding="utf-8"), newline="")))


def short(value: float) -> str:
    size = abs(value)
    if size and (size < 1e-3 or size >= 1e6):
        return re.sub(r"e([+-])0?", r"e\1", f"{value:.2e}").replace("-", MINUS)
    return shown(value, 0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3)


def open_all(page: Page) -> None:
    """Everything that is folded."""
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    page.wait_for_timeout(50)
