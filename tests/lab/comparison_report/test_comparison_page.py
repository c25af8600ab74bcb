"""The page of a comparison: its numbers are the input's; a browser shows it in two widths, light and dark."""

import math
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from comparison_example import MEASURES, example
from playwright.sync_api import Browser, sync_playwright

from torchdiscern.lab.comparison_report import write_comparison

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
FEW = ["accuracy", "k_feature_accuracy_5", "accuracy_without_90", "robust_l2_1", "robust_l2_2", "memory_mb"]
HOSTILE = [
    "ce",
    "<script>alert(1)</script>",
    "\"quoted\" & 'so' --> ]]> {{ 7 * 7 }}",
    'id="x" href="#y" url(#z): #ffffff',
    "🐢 $x^2$ \\frac \x00\n| [a](b)",
    "x" * 80,
]


class Tables(HTMLParser):
    """The cells of every table, row by row, and the headers without a scope."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.unscoped = 0
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")
            self._inside = True
            self.unscoped += tag == "th" and "scope" not in dict(attrs)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("th", "td"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.tables[-1][-1][-1] += data


def page_of(results: dict[str, Any], out: Path) -> str:
    return write_comparison(results, out).read_text(encoding="utf-8")


def tables_of(html: str) -> list[list[list[str]]]:
    parser = Tables()
    parser.feed(html)
    assert parser.unscoped == 0
    return [[[" ".join(cell.split()) for cell in row] for row in table] for table in parser.tables]


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def ten(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_comparison(example(10), tmp_path_factory.mktemp("ten"))


def test_loads_nothing(ten: Path) -> None:
    html = ten.read_text(encoding="utf-8")
    assert "http" not in re.sub(r'xmlns(:xlink)?="http://www\.w3\.org/[^"]+"', "", html)
    assert "<script" not in html
    assert "src=" not in html
    assert "@import" not in html


def test_ids_are_there_once(ten: Path) -> None:
    html = ten.read_text(encoding="utf-8")
    ids = re.findall(r'\bid="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    asked = set(re.findall(r'href="#([^"]+)"', html)) | set(re.findall(r"url\(#([^)]+)\)", html))
    assert asked <= set(ids)


def test_means_are_the_input(ten: Path) -> None:
    results = example(10)
    cells: dict[tuple[str, str], str] = {}
    for table in tables_of(ten.read_text(encoding="utf-8")):
        for row in table[1:]:
            cells |= {(row[0], heading): cell for heading, cell in zip(table[0], row, strict=False)}
    for arm, means in results["means"].items():
        title = results["arms"][arm]["title"]
        shown_arm = title if title == arm else f"{title} {arm}"
        for metric, mean in means.items():
            about = MEASURES[metric]
            heading = f"{about['label']}, {about['unit']}" if about["unit"] else about["label"]
            numbers = (mean["mean"], mean["deviation"], mean["low"], mean["high"])
            scaled = [f"{about['scale'] * number:,.{about['digits']}f}" for number in numbers]
            expected = f"{scaled[0]} ±{scaled[1]} [{scaled[2]}, {scaled[3]}]"
            assert cells[shown_arm, heading] == expected


def test_every_contrast_is_shown(ten: Path) -> None:
    results = example(10)
    shown: dict[tuple[str, str], list[str]] = {}
    for table in tables_of(ten.read_text(encoding="utf-8")):
        if table[0][:2] == ["arm", "verdict"]:
            measure = ""
            for row in table[1:]:
                if len(row) == 1:
                    measure = row[0]
                else:
                    shown[re.sub(r" \((in \w+, )?[a-z ]+ is better\)$", "", measure), row[0]] = row[1:]
    assert len(shown) == len(results["contrasts"])
    for one in results["contrasts"]:
        about, title = MEASURES[one["metric"]], results["arms"][one["arm"]]["title"]
        arm = title if title == one["arm"] else f"{title} {one['arm']}"
        if [one["arm"], one["metric"]] == results["named"]:
            arm += " named before the runs"
        row = shown[about["label"], arm]
        scaled = {
            name: f"{about['scale'] * one[name]:+,.{about['digits']}f}"
            for name in ("difference", "low", "high", "boot_low", "boot_high")
        }
        assert row[0] == one["verdict"]
        assert row[1] == scaled["difference"]
        assert row[2] == f"[{scaled['low']}, {scaled['high']}]"
        assert row[3] == f"[{scaled['boot_low']}, {scaled['boot_high']}]"
        assert row[4] == ("<0.001" if one["p"] < 0.001 else f"{one['p']:.3f}")
        assert row[7] == "0.80 [0.55, 0.97]"
        assert row[8] == "10"


def test_every_run_is_shown(ten: Path) -> None:
    results = example(10)
    table = tables_of(ten.read_text(encoding="utf-8"))[-1]
    assert len(table) == 1 + len(results["runs"])
    place = table[0].index("accuracy, %")
    assert [row[place] for row in table[1:]] == [
        f"{100 * run['metrics']['accuracy']:.2f}" for run in results["runs"]
    ]
    assert [row[0] for row in table[1:]] == [f"{run['arm']}, {run['seed']}" for run in results["runs"]]


def test_says_what_was_done(ten: Path) -> None:
    text = text_of(ten.read_text(encoding="utf-8"))
    for said in (
        "had 20 trials of tuning, chosen by accuracy on validation images of seed 10000",
        "Holm&#39;s correction is over 206 contrasts, all but the one named before the runs",
        "torchdiscern compare caltech101-head --arms ce,gini",
        "AMD EPYC 7763",
        "torch 2.9.0",
        "1.20 hours",
        "±0.20 points",
    ):
        assert said in text, said


def test_one_seed_says_so(tmp_path: Path) -> None:
    text = text_of(page_of(example(["ce", "renyi"], seeds=1, tune=0), tmp_path))
    assert "Scale-free Renyi: too few seeds to say (5-feature accuracy +" in text
    assert "One seed: below 5 there is no verdict" in text
    assert "Nothing was tuned" in text
    assert "with its interval" not in text
    assert re.search(r"\d\d\.\d\d \(one seed\)", text)
    assert "±0.00" not in text.replace("±0.20", "")


def test_only_the_baseline_and_nothing_at_all(tmp_path: Path) -> None:
    assert "Nothing to compare yet: only the baseline ran." in page_of(example(1, seeds=3, tune=0), tmp_path)
    empty = {**example(3), "runs": [], "means": {}, "contrasts": [], "tuning": {}}
    assert "Nothing to compare yet: no run has ended." in page_of(empty, tmp_path)
    assert "Nothing to compare yet" in page_of({"baseline": "ce"}, tmp_path)


def test_checks_say_what_an_attack_turned_and_how_weak_it_was(tmp_path: Path) -> None:
    results = example(["ce", "renyi"], tune=0)
    ordinary = {"images": 50, "ordinary": 0.3, "robust": 0.3, "beyond": 0.0}
    attacks = {
        "more_steps": ordinary,
        "decision": ordinary | {"robust": 0.68},
        "transfer_ce": ordinary | {"robust": 0.9},
        "transfer_gini": ordinary | {"robust": 0.5, "beyond": 0.04},
    }
    check = {"norm": "l2", "radius": 2.0, "robust": 0.3, "tolerance": 0.02, "attacks": attacks}
    text = page_of(results | {"checks": {"renyi": check}}, tmp_path)
    cells = ["30.0%", "0.0% (30.0%)", "0.0% (68.0%)", "-", "4.0% (50.0%)"]
    assert "".join(f"<td>{cell}</td>" for cell in cells) in text


def test_budgets_commits_and_added_seeds_are_told(tmp_path: Path) -> None:
    results = example(["ce", "long"], seeds=5, tune=0)
    plain = text_of(page_of(results, tmp_path))
    assert "another budget" not in plain
    assert "Seeds were added" not in plain
    results["arms"]["long"]["settings"]["epochs"] = 80
    killed = {"seeds": 2, "runs_before": 0}  # before it had a run
    results["sessions"] = [killed, {"seeds": 3, "runs_before": 0}, {"seeds": 5, "runs_before": 6, "git": "cccc"}]
    for run in results["runs"]:
        run["code"] = "aaaa" if run["seed"] < 3 else "bbbb"
    text = text_of(page_of(results, tmp_path))
    assert "long had another budget of training: epochs=80, where the recipe has 40." in text.replace(
        "Long", "long"
    )
    assert "Seeds were added when runs were there (3, then 5)" in text
    assert "commit aaaa and bbbb" in text
    del results["runs"][0]["code"]
    assert "commit an unknown one and cccc<" in page_of(results, tmp_path)


def test_failed_runs_are_named(tmp_path: Path) -> None:
    results = example(3, seeds=3)
    results["failed"] = [{"arm": "renyi", "seed": 2, "why": "loss became NaN <b>"}]
    results["runs"] = [run for run in results["runs"] if (run["arm"], run["seed"]) != ("renyi", 2)]
    results["means"]["renyi"]["accuracy"]["seeds"] = 2
    html = page_of(results, tmp_path)
    assert "loss became NaN &lt;b&gt;" in html
    assert "seed 2" in html
    assert "1 run failed" in html
    assert "2 to 3 seeds" in html
    assert "<span>2 seeds</span>" in html


def test_null_and_absent_numbers_become_no_numbers(tmp_path: Path) -> None:
    results = example(3, seeds=6)
    for index, run in enumerate(results["runs"]):
        del run["metrics"]["robust_l2_2"]
        run["metrics"]["accuracy"] = [None, math.nan, math.inf, 0.8][index % 4]
    for one in results["contrasts"]:
        one |= {name: None for name, value in one.items() if isinstance(value, float)}
    for means in results["means"].values():
        means["few_shot_accuracy"] = None
        means["accuracy"] |= {"deviation": None, "low": None, "high": None}
    results["machines"], results["versions"], results["recipe"], results["hours"] = [None], None, None, None
    results["tuning"] = {"ce": [{"trial": 0, "value": None, "settings": {}}]}
    text = text_of(page_of(results, tmp_path))
    assert not re.search(r"\b(None|nan|inf)\b", text)
    assert "(no spread known)" in text


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1440, 390])
def test_is_readable(ten: Path, browser: Browser, width: int, scheme: Any) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(ten.as_uri())
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert said == []
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # text of plots and page stands out from the ground, in either scheme
    dark = scheme == "dark"
    for selector, style in (("body", "color"), ("figure text", "fill")):
        found = page.locator(selector).first.evaluate(f"one => getComputedStyle(one).{style}")
        assert (sum(map(int, re.findall(r"\d+", found)[:3])) > 380) == dark
    # names stay inside their plot
    outside = page.evaluate(
        """[...document.querySelectorAll('figure svg')].flatMap(svg => {
             const box = svg.getBoundingClientRect();
             return [...svg.querySelectorAll('text')].filter(one => {
               const own = one.getBoundingClientRect();
               return own.right > box.right + 1 || own.left < box.left - 1;
             }).map(one => one.textContent);
           })"""
    )
    assert outside == []
    # every region that scrolls can be reached and moved by keys alone
    region = page.locator(".scroll[aria-label='Every run']")
    region.focus()
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Every run"
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.activeElement.scrollLeft > 0")
    unreachable = "[...document.querySelectorAll('.scroll')].filter(one => one.tabIndex !== 0).length"
    assert page.evaluate(unreachable) == 0
    page.close()


@needs_browser
def test_prints_within_the_paper(ten: Path, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 760, "height": 900}, color_scheme="dark")
    page.goto(ten.as_uri())
    page.emulate_media(media="print")
    assert page.evaluate("document.documentElement.scrollWidth") <= 760
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.close()


@needs_browser
@pytest.mark.parametrize("names", [HOSTILE, None], ids=["hostile", "25 arms"])
def test_stays_whole(names: list[str] | None, tmp_path: Path, browser: Browser) -> None:
    results = example(names or 25, seeds=3, tune=4, metrics=FEW)
    results["name"] = results["about"] = results["command"] = '</style><script>alert("2")</script>' + "y" * 200
    file = write_comparison(results, tmp_path)
    assert "<script" not in file.read_text(encoding="utf-8")
    page = browser.new_page(viewport={"width": 390, "height": 844})
    said: list[str] = []
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("console", lambda message: said.append(message.text))
    page.goto(file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert said == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    shown = page.evaluate("document.body.textContent")
    for name in names or results["arms"]:
        assert " ".join(name.replace("\0", " ").split()) in " ".join(shown.split())
    if names:
        drawn = page.locator("figure text").all_text_contents()
        assert 'id="x" href…): #ffffff' in drawn
    page.close()
