"""What a feature report costs beyond the network's forward pass, and how fast its page answers in Chromium.

    python benchmarks/report.py [--images 10000] [--features 2048] [--classes 100] [--keep FILE]

The activations are random: statistics, page and browser cost the same whatever they are. Times of the browser are
medians and worst of several, from the click to the frame that shows the answer.
"""

import argparse
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page, sync_playwright

from torchdiscern.lab.inspecting.decisions import decisions_of
from torchdiscern.lab.inspecting.layer_numbers import numbers_of
from torchdiscern.lab.inspecting.seen import Seen, SeenLayer
from torchdiscern.lab.inspecting.suspicions import suspicions_of
from torchdiscern.lab.report.contents import Contents, Inspected
from torchdiscern.lab.report.page import write_page

POOL, TOP, GRID, SIDE = 512, 12, 7, 64
Made = TypeVar("Made")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# resolves after the frame that shows what the click has changed
ANSWER = """([selector, happening]) => new Promise(resolve => {
  const start = performance.now();
  const one = document.querySelector(selector);
  if (happening === "click") one.click();
  else { one.value = happening; one.dispatchEvent(new Event("input", { bubbles: true })); }
  requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - start)));
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=2_048)
    parser.add_argument("--classes", type=int, default=100)
    parser.add_argument("--keep", type=Path, help="keep the page here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen = random_seen(options.images, options.features, options.classes, Path(folder))
        print(f"{options.images:,} images, {options.features:,} features, {options.classes:,} classes")
        layer = timed("statistics of the features", lambda: numbers_of(seen, 0))
        decisions = timed("decisions", lambda: decisions_of(seen, layer))
        suspicions = timed("doubtful labels", lambda: suspicions_of(seen, layer))
        contents = Contents(
            title="random activations",
            facts={},
            classes=[f"class {index}" for index in range(options.classes)],
            files=[f"{index:06d}.png" for index in range(options.images)],
            labels=seen.labels.astype(np.int32),
            networks=[Inspected("random", [layer], decisions, suspicions)],
            thumbnails=thumbnails,
        )
        out = options.keep or Path(folder) / "report.html"
        page = timed("page, with thumbnails of noise", lambda: write_page(contents, out))
        form = "one file" if page == out else "a folder"
        size = sum(file.stat().st_size for file in (page.parent.rglob("*") if page != out else [page]))
        print(f"  {form} of {size / 2**20:.1f} MiB; peak memory {_peak():,.0f} MiB")
        if CHROMIUM is None:
            sys.exit("no chromium here: apt-get install chromium")
        in_browser(page)


def timed(what: str, make: Callable[[], Made]) -> Made:
    start, busy = time.perf_counter(), time.process_time()
    made = make()
    print(
        f"  {what:32} {time.perf_counter() - start:6.1f} s, {time.process_time() - busy:6.1f} s of processor time"
    )
    return made


def random_seen(images: int, features: int, classes: int, folder: Path) -> Seen:
    """Sparse activations with some class in them, on disk as a pass over images leaves them."""
    random = np.random.default_rng(0)
    labels = random.integers(classes, size=images)
    activation = np.memmap(folder / "activation", np.float32, "w+", shape=(images, features))
    liked = random.integers(classes, size=features)
    for start in range(0, images, 1_000):
        part = slice(start, start + 1_000)
        own = labels[part, None] == liked
        noise = random.standard_normal((len(own), features), np.float32)
        activation[part] = np.maximum(noise + np.float32(2) * own, 0)
    order = np.argsort(-activation, axis=0, kind="stable")[:TOP].T
    maps = random.integers(256, size=(features, TOP, GRID, GRID), dtype=np.uint8)
    pool = np.sort(random.choice(images, min(POOL, images), replace=False))
    pool_maps = random.integers(256, size=(len(pool), features, GRID, GRID), dtype=np.uint8)
    top = (order.astype(np.int32), np.take_along_axis(activation.T, order, 1), maps)
    layer = SeenLayer("pooled", activation, np.zeros(features, bool), top, pool_maps)
    weight = random.standard_normal((classes, features), np.float32)
    return Seen(np.arange(images), labels, classes, [layer], activation, weight, None, False, True, pool)


def thumbnails(places: NDArray[np.int32]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Noise that is smooth enough to weigh what photographs do."""
    random = np.random.default_rng(int(places[0]))
    coarse = random.integers(256, size=(len(places), SIDE // 8, SIDE // 8, 3), dtype=np.uint8)
    return coarse.repeat(8, 1).repeat(8, 2), np.ones(len(places), bool)


def in_browser(page: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = []
        for _ in range(5):
            tab = browser.new_page(viewport={"width": 1440, "height": 900})
            start = time.perf_counter()
            tab.goto(page.as_uri())
            tab.wait_for_selector("h1")
            tab.evaluate("() => new Promise(requestAnimationFrame)")
            opened.append(1000 * (time.perf_counter() - start))
            tab.close()
        say("opens", opened)
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        tab.goto(page.as_uri() + "#/features")
        tab.wait_for_selector("[role=columnheader] button")
        say("sorts the features", [answer(tab, "[role=columnheader]:nth-child(4) button") for _ in range(9)])
        bounds = [0.9 + 0.01 * step for step in range(9)]
        say("filters them", [answer(tab, "input[name=impurity-from]", f"{bound:.2f}") for bound in bounds])
        browser.close()


def answer(tab: Page, selector: str, happening: str = "click") -> float:
    return float(tab.evaluate(ANSWER, [selector, happening]))


def say(what: str, milliseconds: list[float]) -> None:
    print(f"  {what:32} {statistics.median(milliseconds):6.0f} ms, at worst {max(milliseconds):.0f}")


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
