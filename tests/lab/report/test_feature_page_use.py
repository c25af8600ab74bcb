"""The page of a feature report in use: history, keys, search, phones, hostile names, folders."""

import functools
import http.server
import io
import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from feature_pages import (
    DASH,
    NO_NUMBER,
    Opened,
    downloaded,
    go,
    lines,
    needs_browser,
    open_all,
    shown,
    until,
    with_and_without_maps,
)
from PIL import Image
from playwright.sync_api import Browser
from report_cases import HOSTILE, VIEWS, example

from torchdiscern.lab.report.page import write_page

pytestmark = needs_browser
CONTENTS = example(layers=2, broken=(5,), gone=(2,), empty=(6,))


def test_back_and_forward(opened: Opened) -> None:
    page = opened("#/features")
    grid = page.get_by_role("grid", name="Features of layer2")
    grid.get_by_role("columnheader", name="share").get_by_role("button").click()
    before = lines(grid)
    grid.locator(".rows a").first.click()
    page.wait_for_selector("h1:has-text('Feature ')")
    assert page.evaluate("document.activeElement.tagName") == "H1"
    page.get_by_role("link", name=re.compile("→")).click()
    page.go_back()
    page.go_back()
    page.wait_for_selector(".grid")
    assert lines(grid) == before
    page.go_back()
    until(page, "document.querySelector('[aria-sort=ascending]')")
    assert grid.get_by_role("columnheader", name="impurity").get_attribute("aria-sort") == "ascending"
    page.go_forward()
    until(page, "document.querySelector('[aria-sort=descending]')")
    page.go_forward()
    page.wait_for_selector("h1:has-text('Feature ')")


def test_maps_are_drawn_and_can_be_switched_off(opened: Opened) -> None:
    page = opened("#/feature/1/0")
    sums = """() => [...document.querySelectorAll('canvas.thumb')].map(canvas =>
      canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.reduce((a, b) => a + b, 0))"""
    veiled, plain = with_and_without_maps(page, sums, "sums => sums().every(sum => sum > 1e6)")
    assert len(plain) > 15
    assert sum(after > before for before, after in zip(veiled, plain, strict=True)) > 0.8 * len(plain)
    # the pixels are those given
    found = page.evaluate(
        """() => { const link = document.querySelector('.gallery a'); const canvas = link.firstChild;
          const pixel = canvas.getContext('2d').getImageData(48, 80, 1, 1).data;
          return [Number(link.hash.split('/')[2]), ...pixel]; }"""
    )
    pixel = CONTENTS.thumbnails(np.array([found[0]], dtype=np.int32))[0][0, 26, 16]
    np.testing.assert_allclose(found[1:4], pixel, atol=24)


def test_layers(opened: Opened) -> None:
    page = opened("#/features")
    page.get_by_label("Layer", exact=True).select_option("layer1")
    page.wait_for_selector("h1:has-text('Features of layer1')")
    first = CONTENTS.networks[0].layers[0]
    rows = lines(page.get_by_role("grid", name="Features of layer1"))
    assert [row[3] for row in rows[:9]] == [shown(first.impurity[int(row[0])], 3) for row in rows[:9]]
    assert page.get_by_role("columnheader", name="if removed").count() == 0
    page.get_by_role("link", name="Classes").click()
    page.wait_for_selector("h1:has-text('Classes')")
    assert "layer=0" in page.url
    assert page.get_by_label("Layer", exact=True).input_value() == "0"


def test_search(opened: Opened) -> None:
    page = opened()
    box = page.get_by_role("combobox", name="Search")
    box.fill("7")
    options = page.get_by_role("option")
    assert options.first.inner_text().split() == ["feature", "7", "of", "layer2"]
    box.press("Enter")
    page.wait_for_selector("h1:has-text('Feature 7')")
    box.fill("CLASS 003")
    assert options.first.inner_text().split() == ["class", "class", "003"]
    box.press("ArrowDown")
    assert box.get_attribute("aria-activedescendant") == "found-1"
    box.press("ArrowUp")
    box.press("Enter")
    page.wait_for_selector("h1:has-text('class 003')")
    box.fill("000123.webp")
    options.first.click()
    page.wait_for_selector(f"h1:has-text('{CONTENTS.files[123]}')")
    box.fill("no such thing")
    assert options.count() == 0
    assert page.locator("#many-found").inner_text() == "nothing found"


def test_keys_alone(opened: Opened) -> None:
    page = opened("#/features")

    def focus() -> str:
        return str(page.evaluate("document.activeElement.textContent"))

    page.keyboard.press("Tab")
    assert focus() == "Skip to the content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("!!document.activeElement.closest('.grid')"):
            break
    assert focus() == "feature"
    page.keyboard.press("ArrowDown")
    grid = page.get_by_role("grid", name="Features of layer2")
    rows = lines(grid)
    assert focus() == rows[0][0]
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("ArrowRight")
    assert focus() == rows[0][1]
    page.keyboard.press("Control+End")
    assert focus() == "broken"  # its impurity is no number, so it stands last
    assert page.evaluate("document.activeElement.closest('[role=row]').ariaRowIndex") == "49"
    page.keyboard.press("Control+Home")
    assert focus() == rows[0][0]
    page.keyboard.press("PageDown")
    assert page.evaluate("Number(document.activeElement.closest('[role=row]').ariaRowIndex)") > 10
    page.keyboard.press("Control+Home")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert grid.get_by_role("columnheader", name="feature").get_attribute("aria-sort") == "ascending"
    page.keyboard.press("ArrowDown")
    assert focus() == "0"
    assert page.locator(".grid [tabindex='0']").count() == 1
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('Feature 0')")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Opened, scheme: str) -> None:
    page = opened(color_scheme=scheme, bypass_csp=True)
    for address in VIEWS:
        go(page, address)
        open_all(page)
        found = Axe().run(page).response["violations"]
        bad = [
            (one["id"], one["nodes"][0]["html"][:200])
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert bad == [], address


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone(opened: Opened, scheme: str) -> None:
    page = opened(width=390, color_scheme=scheme)
    for address in VIEWS:
        go(page, address)
        open_all(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address


def hostile() -> Any:
    names = HOSTILE
    files = [f"{HOSTILE[i % len(HOSTILE)]}{i}" for i in range(120)]
    made = example(120, names, 20, files=files, broken=(), title=HOSTILE[0] + HOSTILE[2])
    evil = "</script><script>alert(3)</script><img src=x onerror=alert(4)>"
    made.facts[evil] = evil
    made.notes.append(evil)
    made.networks[0].suspicions.worth.append(evil)  # type: ignore[union-attr]
    return made


def test_nothing_from_the_data_is_run(opened: Opened, tmp_path: Path) -> None:
    file = write_page(hostile(), tmp_path / "report.html")
    page = opened(file=file, width=390)
    assert page.title() == f"Overview {DASH} {HOSTILE[0]}{HOSTILE[2]}"
    for address in [
        *VIEWS[:2],
        "#/feature/0/0",
        *(f"#/class/{c}" for c in range(10)),
        "#/classes",
        "#/images",
        "#/image/1",
        "#/image/8",
        "#/labels",
    ]:
        go(page, address)
        open_all(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
        assert page.locator("main img, main script, main iframe").count() == 0
    page.get_by_role("combobox").fill("<")
    assert page.get_by_role("option").first.locator(".name").inner_text() == HOSTILE[0]
    go(page, "#/classes?sort=class&down=0")
    table = downloaded(page, "Classes")
    names = {line[0] for line in table[1:]}
    assert names == {f"'{name}" if name[:1] in ("=", "+", "-", "@") else name for name in HOSTILE}


def test_a_policy_stands_in_the_page(report: Path) -> None:
    html = report.read_text(encoding="utf-8")
    policy = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', html)[0].replace("&#39;", "'")
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert len(re.findall(r"<script(?! type=\"(?:text/plain|application/json)\")", html)) == 1
    assert not re.search(r"<[^>]+\son\w+=", re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL))


def test_a_folder_where_one_file_would_be_too_large(opened: Opened, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    page_of = write_page(CONTENTS, out, limit=100_000)
    assert page_of == tmp_path / "report" / "index.html"
    assert not out.exists()
    assert [part.name for part in (tmp_path / "report" / "images").iterdir()] == ["0000.webp"]
    assert sorted(part.name for part in tmp_path.iterdir()) == ["report"]
    page = opened("#/image/7", file=page_of)
    until(page, "sheets.size === 1")
    assert page.evaluate("sheet(0).then(image => image.naturalWidth)") == 16 * 32
    go(page, "#/images")
    page.wait_for_timeout(300)
    picture = Image.open(io.BytesIO(page.locator(".rows canvas").nth(4).screenshot())).convert("RGB")
    tone = int(CONTENTS.thumbnails(np.array([4], dtype=np.int32))[0][0, -1, 0, 0])
    assert abs(picture.getpixel((22, 40))[0] - tone) < 24  # type: ignore[index]
    # a second report takes the place of the first; a folder of something else is left alone
    assert write_page(CONTENTS, out, limit=100_000) == page_of
    (tmp_path / "report" / "precious.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="no report's folder"):
        write_page(CONTENTS, out, limit=100_000)
    assert (tmp_path / "report" / "precious.txt").exists()


def test_a_folder_on_a_server(browser: Browser, tmp_path: Path) -> None:
    write_page(CONTENTS, tmp_path / "report.html", limit=100_000)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(f"http://127.0.0.1:{server.server_port}/report/index.html#/image/7")
        assert page.evaluate("sheet(0).then(image => image.naturalWidth)") == 16 * 32
        assert said == []
        page.close()
        server.shutdown()


@pytest.mark.parametrize(
    "made",
    [
        example(30, 1, 6, suspicions=False),
        example(30, 3, 1, dead=(), shown=4),
        example(30, 3, 2, dead=(0, 1)),
        example(30, 3, 4, broken=(0, 1, 2, 3)),
        example(30, 3, 4, decisions=False, suspicions=False, maps=0),
        example(3, 5, 4, empty=(0, 3), gone=(0, 1, 2)),
    ],
    ids=["one class", "one feature", "all dead", "all broken", "no decisions", "few images, all gone"],
)
def test_odd_reports_stay_whole(opened: Opened, tmp_path: Path, made: Any) -> None:
    page = opened(file=write_page(made, tmp_path / "report.html"))
    last = len(made.networks[0].layers[-1].share) - 1
    for address in [
        "#/",
        "#/features",
        "#/feature/0/0",
        f"#/feature/0/{last}",
        "#/classes",
        "#/class/0",
        "#/images",
        "#/image/0",
        "#/labels",
    ]:
        go(page, address)
        open_all(page)
        text = page.locator("body").inner_text()
        assert not NO_NUMBER.search(text), address


def test_prints_within_the_paper(opened: Opened) -> None:
    page = opened("#/features", width=760, color_scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 760
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator(".rows .row").count() == 48
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    page.emulate_media(media="screen")
    until(page, "document.querySelectorAll('.rows .row').length < 48")


def test_nothing_moves(opened: Opened) -> None:
    page = opened("#/feature/1/0", reduced_motion="reduce")
    moving = """[...document.querySelectorAll('*')].filter(one => {
      const style = getComputedStyle(one);
      return style.animationName !== 'none' || parseFloat(style.transitionDuration) > 0
        || style.scrollBehavior === 'smooth';
    }).length"""
    assert page.evaluate(moving) == 0
