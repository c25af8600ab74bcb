"""The page of a report on several networks: each one's numbers, side by side."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from feature_pages import (
    DASH,
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
    until,
)
from playwright.sync_api import Browser, Page
from report_cases import ACCURACY, HOSTILE, changes_of, example

from torchdiscern.lab.report.contents import Contents, Table
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


def options(page: Page) -> list[tuple[str, str]]:
    """Values and texts of the choice in the header."""
    found = page.locator("#layer option").evaluate_all("all => all.map(one => [one.value, one.textContent])")
    return [(value, text.translate({0x2068: None, 0x2069: None})) for value, text in found]


def test_one_network_says_nothing_of_networks(browser: Browser, tmp_path: Path) -> None:
    with opening(browser, write_page(example(), tmp_path / "report.html")) as opened:
        page = opened()
        links = page.evaluate("[to.classes(), to.class(1), to.images(), to.image(2), to.labels(), to.overview()]")
        assert links == ["#/classes", "#/class/1", "#/images", "#/image/2", "#/labels", "#/"]
        assert page.get_by_role("heading", name="The networks side by side").count() == 0
        assert page.get_by_role("link", name="What changed").count() == 0
        assert page.locator("#layer-choice").is_hidden()
        go(page, "#/changes")
        assert page.locator("h1").inner_text() == "There is no such view"
        go(page, "#/image/2")
        assert page.get_by_role("heading", name="What each network predicts").count() == 0


def test_every_view_opens(opened: Opened, three: Path) -> None:
    for page, addresses in ((opened(), VIEWS), (opened(file=three), ["#/", "#/image/2?network=2", "#/changes"])):
        for address in addresses:
            go(page, address)
            open_all(page)
            assert page.locator("h1").count() == 1, address
            assert not NO_NUMBER.search(page.locator("body").inner_text()), address


def test_a_choice_of_network_and_layer_stays(opened: Opened, three: Path) -> None:
    page = opened("#/features")
    choice = page.get_by_label("Network and layer")
    assert options(page) == [
        (str(index), f"{name} · layer{number}")
        for index, (name, number) in enumerate((n.name, k) for n in CONTENTS.networks for k in (1, 2))
    ]
    groups = page.locator("#layer optgroup").evaluate_all("all => all.map(one => one.label)")
    assert groups == ["cross-entropy", "scale-free"]
    assert choice.input_value() == "1"
    choice.select_option("3")
    page.wait_for_selector("h1:has-text('scale-free')")
    assert page.url.endswith("#/features?layer=3")
    rows = lines(page.get_by_role("grid"))
    assert [row[3] for row in rows] == [
        DASH if B.dead[int(row[0])] else shown(B.impurity[int(row[0])], 3) for row in rows
    ]
    page.get_by_role("link", name="Images", exact=True).click()
    page.wait_for_selector("h1:has-text('Images')")
    assert page.url.endswith("#/images?network=1")
    only = page.get_by_label("Network", exact=True)
    assert options(page) == [("1", "cross-entropy"), ("3", "scale-free")]
    assert only.input_value() == "3"
    page.get_by_role("columnheader", name="file").get_by_role("button").click()
    assert "network=1" in page.url
    page.locator(".rows a").first.click()
    page.wait_for_selector("h1.file")
    only.select_option("1")
    until(page, "shown.address === '#/image/0?network=0'")
    page.go_back()
    until(page, "shown.address === '#/image/0?network=1'")
    assert only.input_value() == "3"
    page.get_by_role("link", name="Overview").click()
    page.wait_for_selector("h1:has-text('scale-free')")
    page.go_back()
    page.go_back()
    page.go_back()
    page.go_back()
    until(page, "shown.address === '#/features?layer=3'")
    assert page.get_by_label("Network and layer").input_value() == "3"

    page = opened(file=three)
    assert [text for _, text in options(page)] == [f"{one.name} · layer1" for one in THREE.networks]
    assert page.locator("#layer optgroup").count() == 0
    page.get_by_label("Network", exact=True).select_option("2")
    until(page, "shown.address === '#/?layer=2'")
    assert figures(page)["mean impurity"] == shown(mean(THREE.networks[2].layers[-1]), 3)


def mean(layer: Any) -> float:
    return float(layer.impurity[~layer.broken].mean())


def test_deep_links_show_the_network_that_they_name(opened: Opened) -> None:
    made, doubts = SECOND.decisions, SECOND.suspicions
    assert made is not None
    assert doubts is not None
    page = opened("#/feature/3/0")
    assert page.locator("h1").inner_text() == "Feature 0 of scale-free · layer2"
    assert figures(page)["impurity"] == shown(B.impurity[0], 3)
    assert page.locator(".way a").first.get_attribute("href") == "#/features?layer=3"
    page = opened("#/class/1?layer=3")
    said = figures(page)
    assert said["coverage"] == percent(B.coverage[1], 2)
    assert said["accuracy"] == percent(made.confusion[1, 1] / made.confusion[1].sum())
    assert page.locator("dd a").first.get_attribute("href") == "#/images?network=1&label=1"
    page = opened("#/images?network=1&right=no")
    wrong = np.flatnonzero(made.predicted != CONTENTS.labels)
    assert page.locator(".count").inner_text().startswith(f"{len(wrong)} of")
    page = opened("#/labels?network=1")
    rows = lines(page.get_by_role("grid", name="Suspicious labels"))
    assert [row[5] for row in rows] == [shown(float(value), 4) for value in doubts.margin[: len(rows)]]
    assert page.locator(".rows .several a").first.evaluate("one => one.hash").startswith("#/feature/3/")


def test_what_each_network_predicts(opened: Opened, three: Path) -> None:
    page = opened("#/image/0?network=2", file=three)
    for place in (0, 100):
        go(page, f"#/image/{place}?network=2")
        expected = []
        for one in THREE.networks:
            made = one.decisions
            assert made is not None
            right = "right" if made.predicted[place] == THREE.labels[place] else "wrong"
            name = THREE.classes[made.predicted[place]]
            expected.append([one.name, name, percent(made.probability[place]), right])
        assert cells(page, "What each network predicts") == expected
        assert figures(page)["predicted"] == expected[2][1]
        assert page.locator("th [aria-current=true]").inner_text() == THREE.networks[2].name
    table = downloaded(page, "What each network predicts")
    assert [line[0] for line in table] == ["network", *(one.name for one in THREE.networks)]
    page.locator(".beside").get_by_role("link", name=THREE.networks[0].name).click()
    until(page, "shown.address === '#/image/100?network=0'")


def test_networks_side_by_side(opened: Opened) -> None:
    page = opened()
    rows = cells(page, "The networks side by side")
    for row, one in zip(rows, CONTENTS.networks, strict=True):
        last, made = one.layers[-1], one.decisions
        assert made is not None
        assert row == [
            one.name,
            "layer2",
            "48",
            shown(mean(last), 3),
            shown(last.divergence, 3),
            str(len(set(last.owner[last.owner >= 0]))),
            str(last.dead.sum()),
            percent(made.accuracy),
        ]
    assert [float(line[3]) for line in downloaded(page, "the networks side by side")[1:]] == pytest.approx(
        [mean(A), mean(B)], rel=1e-6
    )
    until(page, "document.querySelectorAll('.multiple svg').length === 4")
    ticks = """all => all.map(one => [...one.querySelectorAll('.tick')].map(tick =>
      [tick.textContent, tick.getAttribute('x'), tick.getAttribute('y')].join()).join(' '))"""
    axes = page.locator(".multiple svg").evaluate_all(ticks)
    assert axes[0] == axes[2]
    assert axes[1] == axes[3]
    assert page.locator(".multiple .marked").all_text_contents() == [
        f"mean {shown(mean(one), 3)}" for one in (A, B)
    ]
    open_all(page)
    bins = cells(page, "Features of each network by impurity")
    for column, last in ((2, A), (3, B)):
        assert sum(int(row[column]) for row in bins) == (~last.dead & ~last.broken).sum()
    order = np.argsort(-A.coverage, kind="stable")
    assert cells(page, "Coverage of the classes by each network") == [
        [CONTENTS.classes[c], *(percent(values[c], 2) for values in (A.prior, A.coverage, B.coverage))]
        for c in order
    ]


def test_given_tables(opened: Opened) -> None:
    page = opened()
    part = page.locator("section", has=page.get_by_role("heading", name=ACCURACY.title))
    assert part.locator("thead th").all_inner_texts() == ACCURACY.columns
    assert cells(page, ACCURACY.title) == [[cell or DASH for cell in row] for row in ACCURACY.rows]
    assert part.locator("th[scope=row]").all_inner_texts() == [row[0] for row in ACCURACY.rows]
    assert part.locator("li").all_inner_texts() == ACCURACY.sentences
    table = downloaded(page, ACCURACY.title)
    assert table[0] == ACCURACY.columns
    assert table[2][1:3] == [ACCURACY.rows[1][1], "'" + ACCURACY.rows[1][2]]
    above = page.locator("h1, h2").all_inner_texts()
    assert above[1] == ACCURACY.title

    page = opened(width=390)
    assert page.locator(".given tr:nth-child(2)").evaluate("one => getComputedStyle(one).display") == "block"
    label = "one => getComputedStyle(one, '::before').content"
    assert page.locator(".given tr:nth-child(2) td").first.evaluate(label) == '"accuracy, %"'
    assert page.get_by_role("rowheader", name="scale-free").count() >= 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Opened, scheme: str) -> None:
    for width in (1440, 390):
        page = opened(color_scheme=scheme, bypass_csp=True, width=width)
        for address in ["#/", "#/features?layer=3", "#/image/2?network=1", "#/changes"]:
            go(page, address)
            open_all(page)
            bad = [
                (one["id"], one["nodes"][0]["html"][:200])
                for one in Axe().run(page).response["violations"]
                if one["impact"] in ("serious", "critical")
            ]
            assert bad == [], address


def test_fits_a_phone_and_paper(opened: Opened, three: Path) -> None:
    for file, addresses in ((None, VIEWS), (three, ["#/", "#/image/2?network=2", "#/changes"])):
        page = opened(width=390, **({"file": file} if file else {}))
        for address in addresses:
            go(page, address)
            open_all(page)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
    page = opened("#/changes", width=760)
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    pairs = page.get_by_role("grid", name="Pairs of features")
    assert pairs.locator(".rows .row").count() == len(changes_of(CONTENTS).distance)
    assert page.evaluate("document.documentElement.scrollWidth") <= 760
    go(page, "#/images?network=1")
    assert page.locator("#layer").is_visible()  # else nothing on the paper names the network


def test_keys_alone(opened: Opened) -> None:
    page = opened("#/changes")

    def focus() -> str:
        return str(page.evaluate("document.activeElement.textContent"))

    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("!!document.activeElement.closest('[aria-label=\"Pairs of features\"]')"):
            break
    assert focus() == "cross-entropy feature"
    page.keyboard.press("ArrowDown")
    row = lines(page.get_by_role("grid", name="Pairs of features"))[0]
    assert focus() == row[0]
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert focus() == row[3]
    page.keyboard.press("Enter")
    until(page, "address => shown.address === address", f"#/feature/3/{row[3]}")


def hostile() -> Contents:
    names = [HOSTILE[0], HOSTILE[2] + HOSTILE[8], HOSTILE[3], ""]
    evil = "</script><script>alert(3)</script><img src=x onerror=alert(4)>"
    table = Table(evil, HOSTILE[:4], [HOSTILE[4:8], HOSTILE[6:10]], [evil, HOSTILE[8]])
    made = example(60, 4, 12, networks=names, tables=[table], changes=True, title=evil)
    return replace(made, changes=replace(changes_of(made), usual_name=evil + HOSTILE[8]))


def test_nothing_from_the_data_is_run(opened: Opened, tmp_path: Path) -> None:
    page = opened(file=write_page(hostile(), tmp_path / "report.html"), width=390)
    for address in [
        "#/",
        "#/features?layer=1",
        "#/feature/2/0",
        "#/classes?layer=1",
        "#/class/1?layer=3",
        "#/images?network=1",
        "#/image/1?network=2",
        "#/labels?network=3",
        "#/changes",
    ]:
        go(page, address)
        open_all(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
        assert page.locator("main img, main script, main iframe").count() == 0
    go(page, "#/changes")
    heads = page.get_by_role("grid", name="Pairs of features").get_by_role("columnheader").all_inner_texts()
    assert heads[0] == "first feature"  # as one of the names is too long for a heading
    go(page, "#/")
    table = downloaded(page, "</script>")
    assert [cell[:2] for line in table[1:] for cell in line if cell[:1] == "'"] == [
        "'=",
        "'@",
        "'-",
        "'@",
        "'-",
    ]


def test_a_folder_holds_several_networks(opened: Opened, tmp_path: Path) -> None:
    page = opened("#/image/7?network=1", file=write_page(CONTENTS, tmp_path / "report.html", limit=100_000))
    until(page, "sheets.size === 1")
    assert len(cells(page, "What each network predicts")) == 2


def test_strips_of_all_networks_have_one_scale(opened: Opened) -> None:
    page = opened()
    peak = max(np.nanmax(A.share), np.nanmax(B.share))
    least = min(1 / 7, peak / 4)  # of 8 classes one has no images
    marks = [shown(least * (peak / least) ** (k / 4), 1, 100) + "%" for k in range(5)]
    for address in ("#/", "#/?layer=3"):
        go(page, address)
        assert page.locator(".scale div span").all_inner_texts() == [f"≤ {marks[0]}", *marks[1:]]
    assert f"no more than {percent(least)}" in page.locator("main").inner_text()
    # no colour up to the least, all of it at the peak
    assert page.evaluate("x => scaleOf(networks[1].last).part(x)", least) == 0
    assert page.evaluate("x => scaleOf(networks[1].last).part(x)", float(peak)) == pytest.approx(1)
