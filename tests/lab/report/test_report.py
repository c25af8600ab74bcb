"""The page in a real browser, at the width of a desktop and of a phone."""

import io
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console

from torchdiscern.lab.demo import ARMS, Settings, run_demo
from torchdiscern.lab.pictures import Pictures
from torchdiscern.lab.report import _arm

SVG = "{http://www.w3.org/2000/svg}"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report")
    return run_demo(Settings(seeds=2, epochs=2), out, console=Console(quiet=True))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def test_loads_nothing(page_file: Path) -> None:
    html = page_file.read_text()
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "")
    assert "<script" not in html
    assert "src=" not in html.replace('src="data:image/png;base64,', "")


def test_the_picture_stands_alone(page_file: Path) -> None:
    svg = (page_file.parent / "features.svg").read_text()
    assert svg.startswith("<svg xmlns=")
    for arm in ARMS:
        assert arm.replace("'", "&#39;") in svg


def test_the_picture_shows_the_shares(page_file: Path) -> None:
    pictures = Pictures.load(page_file.parent / "pictures.npz")
    svg = ElementTree.fromstring((page_file.parent / "features.svg").read_text())
    peak = max(parts["distribution"].max() for parts in pictures.arms.values())
    drawings = list(svg.iter(f"{SVG}g"))
    for drawing, parts in zip(drawings, pictures.arms.values(), strict=True):
        P = parts["distribution"]
        shown = np.zeros_like(P)
        for cell in drawing.iter(f"{SVG}rect"):
            if cell.get("class") == "share":
                row, column = float(cell.attrib["y"]) / 14, (float(cell.attrib["x"]) - 16) / 5
                shown[round(row), round(column)] = float(cell.attrib["fill-opacity"])
        expected = P[:, np.lexsort((-P.max(0), P.argmax(0)))]  # by owner, then by the owner's share
        np.testing.assert_allclose(shown, expected / peak, atol=0.0051)


def test_dead_features_own_no_class(tmp_path: Path) -> None:
    found = Pictures(["zero", "one"])
    features = torch.tensor([[0.0, 1.0, 0.0], [0.0, 2.0, 0.0]])
    found.add("an arm", features, torch.tensor([0, 1]), torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
    arm = _arm("an arm", found, found.arms["an arm"], peak=1.0)
    assert arm["owned"] == 1
    assert [feature["dead"] for feature in arm["features"]] == [False, True, True]


@needs_browser
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["desktop", "phone"])
def test_is_readable(page_file: Path, browser: Browser, width: int, height: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.goto(page_file.as_uri())
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for arm in ARMS:
        assert page.get_by_text(arm, exact=True).first.is_visible()
    assert page.locator("img").count() == len(ARMS) * 5 * 8
    assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0 && i.clientWidth >= 24)")
    heats = page.locator("figure svg")
    assert heats.count() == len(ARMS)
    lefts = {round(box["x"]) for i in range(len(ARMS)) if (box := heats.nth(i).bounding_box())}
    assert len(lefts) == (len(ARMS) if width > 1000 else 1)  # side by side, or below each other
    for index in range(len(ARMS)):
        pixels = np.asarray(Image.open(io.BytesIO(heats.nth(index).screenshot())).convert("RGB")).astype(int)
        blue = (pixels[..., 2] - pixels[..., 0]) > 40
        assert blue.mean() > 0.02  # shares were drawn
    page.close()


@needs_browser
def test_names_cannot_break_the_page(tmp_path: Path, browser: Browser) -> None:
    random = np.random.default_rng(0)
    for name in ("<img src=x onerror=alert(1)>", 'Ünï & "co"', "x" * 80):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(4):
            pixels = random.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{index}.png")
    settings = Settings(data=str(tmp_path / "data"), seeds=1, epochs=1)
    file = run_demo(settings, tmp_path / "out", console=Console(quiet=True))
    page = browser.new_page(viewport={"width": 390, "height": 844})
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.goto(file.as_uri())
    assert dialogs == []
    assert page.get_by_text("Ünï").first.is_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
