"""The page of a feature report says no more than its numbers do: maps, probabilities, shares, counts."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from feature_pages import (
    DASH,
    MINUS,
    Opened,
    cells,
    downloaded,
    figures,
    go,
    lines,
    needs_browser,
    open_all,
    percent,
    short,
    until,
    with_and_without_maps,
)
from playwright.sync_api import Page
from report_cases import example

from torchdiscern.lab.inspecting.decisions import NEAREST_MEAN
from torchdiscern.lab.report.contents import Contents, Decisions, Suspicions
from torchdiscern.lab.report.page import write_page

pytestmark = needs_browser
CONTENTS = example(broken=(5, 7))
LAST = CONTENTS.networks[0].layers[-1]
assert LAST.random.maps is not None
LAST.random.maps[0, 0] = 0  # of an image on which feature 0 is silent
BROKEN = "gave NaN or infinity on some images"
LEFT_OUT = "left out of every number of the layer"


def decisions(contents: Contents, network: int = 0) -> Decisions:
    made = contents.networks[network].decisions
    assert made is not None
    return made


def doubts(contents: Contents) -> Suspicions:
    found = contents.networks[0].suspicions
    assert found is not None
    return found


def deciding(contents: Contents, **changed: object) -> Contents:
    """The same with other decisions of the first network."""
    first, *others = contents.networks
    made = replace(decisions(contents), **changed)  # type: ignore[arg-type]
    return replace(contents, networks=[replace(first, decisions=made), *others])


def words(page: Page) -> str:
    return page.locator("main").inner_text()


def plus(value: float) -> str:
    return ("+" if value > 0 else "") + short(float(value))


def test_an_image_on_which_a_feature_is_silent_is_veiled(opened: Opened) -> None:
    page = opened("#/feature/0/0")
    tone = """() => { const canvas = document.querySelector('[aria-label="Random images"] canvas');
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
      return data.reduce((sum, value, i) => sum + (i % 4 < 3 ? value : 0), 0) / (0.75 * data.length); }"""
    veiled, plain = with_and_without_maps(page, tone, "tone => tone() > 5")
    assert 0.25 * plain < veiled < 0.4 * plain
    assert "Dark is where the feature is silent; each image by its own largest value." in words(page)


def test_a_nearest_class_mean_shows_gaps_and_no_probabilities(opened: Opened, tmp_path: Path) -> None:
    contents = deciding(example(), source=NEAREST_MEAN)
    made, labels = decisions(contents), contents.labels
    wrong = np.flatnonzero(made.predicted != labels)
    gap = made.logits[:, 0].astype(np.float64) - made.logits[:, 1]
    file = write_page(contents, tmp_path / "report.html")
    page = opened(f"#/image/{wrong[0]}", file=file)
    assert "probabilit" not in words(page)
    assert "by the nearest class mean" in words(page)
    assert "bias of the classifier" not in words(page)
    assert "for the length of the class mean" in words(page)

    c = int(np.bincount(labels[wrong]).argmax())
    mine = wrong[labels[wrong] == c]
    ranked = mine[np.argsort(-gap[mine], kind="stable")]
    assert ranked.tolist() != mine[np.argsort(-made.probability[mine], kind="stable")].tolist()
    go(page, f"#/class/{c}")
    failed = page.get_by_role("list", name="Images it fails on")
    hrefs = failed.locator("a").evaluate_all("all => all.map(a => a.hash)")
    assert hrefs == [f"#/image/{i}" for i in ranked]
    assert failed.locator(".number").all_inner_texts() == [short(float(gap[i])) for i in ranked]
    assert "The largest gaps first" in words(page)
    assert "probabilit" not in words(page)

    go(page, "#/images?right=no&sort=gap&down=1")
    order = wrong[np.argsort(-gap[wrong], kind="stable")]
    rows = lines(page.get_by_role("grid", name="Images"))
    assert [row[5:] for row in rows] == [[short(float(gap[i]))] for i in order[: len(rows)]]
    go(page, "#/images?right=yes")
    assert {row[5] for row in lines(page.get_by_role("grid", name="Images"))} == {DASH}
    assert "probabilit" not in words(page)


def test_probabilities_of_networks_that_have_them(opened: Opened, tmp_path: Path) -> None:
    contents = deciding(example(networks=2), source=NEAREST_MEAN)
    page = opened("#/image/0?network=0", file=write_page(contents, tmp_path / "report.html"))
    given = percent(float(decisions(contents, 1).probability[0]))
    assert [row[2] for row in cells(page, "What each network predicts")] == [DASH, given]
    go(page, "#/image/0?network=1")
    assert f"probability {given}" in words(page)


def test_parts_of_small_logits_show_their_digits(opened: Opened, tmp_path: Path) -> None:
    made = decisions(CONTENTS)
    small = {name: 1e-5 * getattr(made, name) for name in ("logits", "biases", "parts", "against_parts")}
    page = opened("#/image/0", file=write_page(deciding(CONTENTS, **small), tmp_path / "report.html"))
    parts = [row[3] for row in cells(page, "What decided its class")]
    listed = made.spoke[0] >= 0
    assert parts[:-3] == [plus(part) for part in small["parts"][0][listed]]
    assert parts[-1] == plus(small["logits"][0, 0])
    assert "+0.000" not in parts


def test_rounding_is_no_part_of_a_logit(opened: Opened, tmp_path: Path) -> None:
    made = decisions(CONTENTS)
    sums = made.parts.sum(1, dtype=np.float64) + made.biases[:, 0]
    logits = np.stack([sums, made.logits[:, 1]], 1).astype(np.float32)
    off = int(np.flatnonzero(logits[:, 0] != sums)[0])
    page = opened(f"#/image/{off}", file=write_page(deciding(CONTENTS, logits=logits), tmp_path / "report.html"))
    rest = next(row for row in cells(page, "What decided its class") if row[0] == "all other features")
    assert rest[3] == "0.000"
    assert "carry 100% of what all features add" in words(page)


def test_what_the_listed_features_carry(opened: Opened, tmp_path: Path) -> None:
    made = decisions(CONTENTS)
    parts = made.parts[:, :3].copy()
    spoke = made.spoke[:, :3].copy()
    sums = parts.sum(1, dtype=np.float64)
    three = (spoke >= 0).all(1)
    # the others add to what these do on some images, and take away from it on some
    all_of = np.where(np.arange(len(sums)) % 2, 1.25, 0.5) * sums
    logits = np.stack([all_of + made.biases[:, 0], made.logits[:, 1]], 1).astype(np.float32)
    contents = deciding(CONTENTS, parts=parts, spoke=spoke, logits=logits)
    adds, takes = (int(np.flatnonzero(three & (np.arange(len(sums)) % 2 == odd))[0]) for odd in (1, 0))
    page = opened(f"#/image/{adds}", file=write_page(contents, tmp_path / "report.html"))
    part = page.locator("section", has=page.get_by_role("heading", name="What decided its class"))
    assert "The 3 listed carry 80% of what all features add." in part.locator(".note").inner_text()
    go(page, f"#/image/{takes}")
    said = f"The 3 listed add {plus(sums[takes])}, all others together {MINUS}"
    assert said in part.locator(".note").inner_text()


@pytest.mark.parametrize(("classes", "floor", "said"), [(8, 0.01, "1%"), (400, 0.005, "0.50%")])
def test_the_strips_table_goes_down_to_twice_an_even_share(
    opened: Opened, tmp_path: Path, classes: int, floor: float, said: str
) -> None:
    contents = example(2 * classes, classes, 12)
    page = opened(file=write_page(contents, tmp_path / "report.html"))
    page.get_by_text("The same numbers as a table").first.click()
    P = contents.networks[0].layers[-1].distribution.astype(np.float32)
    told = f"Shares of at least {said}, {(floor <= P).sum():,} rows; the CSV has all."
    page.get_by_text(told).wait_for()  # the numbers of a large page are read in steps


def test_how_many_labels_are_doubtful(opened: Opened, tmp_path: Path) -> None:
    page = opened("#/labels")
    assert page.locator(".count").inner_text() == f"{len(doubts(CONTENTS).rows)} doubtful labels"
    contents = example(4800, features=8)
    assert len(doubts(contents).rows) == 1200
    go_on = opened("#/labels", file=write_page(contents, tmp_path / "report.html"))
    assert go_on.locator(".count").inner_text() == (
        "500 of 1,200 doubtful labels, the worst; torchdiscern labels writes all of them"
    )
    assert go_on.get_by_role("grid").get_attribute("aria-rowcount") == "501"
    worst = doubts(contents).rows[4]
    go(go_on, f"#/image/{worst}")
    assert "of 1,200" in go_on.locator(".figures div", has_text="suspicious label").inner_text()


def test_broken_features_are_spoken_of_alike(opened: Opened) -> None:
    page = opened("#/feature/0/5")
    said = figures(page)
    assert page.locator(".notice").inner_text() == (
        f"Feature 5 is broken: it {BROKEN}. It has no owner, is not drawn, and is {LEFT_OUT}."
    )
    assert set(said.values()) == {DASH}
    go(page, "#/")
    assert f"Features 5 7 {BROKEN}: not drawn, and {LEFT_OUT}." in words(page)
    assert page.locator(".figures div", has_text="broken features").inner_text().split("\n") == [
        "broken features",
        "2",
        f"{BROKEN}; {LEFT_OUT}",
    ]
    assert figures(page)["dead features"] == "1"
    open_all(page)
    strip = page.get_by_role("grid", name="Shares of classes in features")
    until(page, "document.querySelectorAll('.grid .rows .row').length > 10")
    assert not {"5", "7"} & {row[0] for row in lines(strip)}
    go(page, "#/features?state=broken&sort=feature&down=0")
    assert f"A broken one {BROKEN} and is {LEFT_OUT}." in words(page)
    rows = lines(page.get_by_role("grid", name="Features"))
    assert rows == [[j, *[DASH] * 7, "broken"] for j in ("5", "7")]
    assert [line[1:] for line in downloaded(page, "Features")[1:]] == [[*[""] * 7, "broken"]] * 2


def test_features_owned_are_counted_alike(opened: Opened) -> None:
    page = opened("#/classes?sort=class&down=0")
    counted = {row[0]: row[2] for row in lines(page.get_by_role("grid", name="Classes"))}
    for c, name in enumerate(CONTENTS.classes):
        go(page, f"#/class/{c}")
        owned = np.flatnonzero(LAST.owner == c)
        assert counted[name] == figures(page)["features owned"] == str(len(owned))
        if len(owned):
            assert sorted(int(row[0]) for row in cells(page, "Features it owns")) == owned.tolist()[:20]
    assert not re.search(r"\bNaN\b", words(page))
