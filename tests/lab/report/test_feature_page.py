"""The page of a feature report, in a real browser: every panel shows the numbers that it was given."""

from typing import Any

import numpy as np
import pytest
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
    percent,
    short,
    shown,
    until,
)
from report_cases import VIEWS, example

pytestmark = needs_browser
CONTENTS = example(layers=2, broken=(5,), gone=(2,), empty=(6,))
NETWORK = CONTENTS.networks[0]
LAST = NETWORK.layers[-1]


def test_every_view_opens(opened: Opened) -> None:
    page = opened()
    for address in VIEWS:
        go(page, address)
        assert page.locator("h1").count() == 1, address
        assert page.title().endswith(f"{DASH} {CONTENTS.title}")
        text = page.locator("body").inner_text()
        assert not NO_NUMBER.search(text), address


def test_overview_shows_the_numbers(opened: Opened) -> None:
    page = opened()
    live = ~LAST.dead & ~LAST.broken
    said = figures(page)
    assert said["features"] == "48"
    assert said["mean impurity"] == shown(LAST.impurity[~LAST.broken].mean(), 3)  # with dead ones
    assert said["classes that own a feature"] == f"{len(set(LAST.owner[LAST.owner >= 0]))} of 7"
    assert said["dead features"] == str(LAST.dead.sum())
    assert said["broken features"] == "1"
    assert said["coverage divergence"] == shown(LAST.divergence, 3)
    assert NETWORK.decisions is not None
    assert said["accuracy"] == percent(NETWORK.decisions.accuracy)
    for name, value in CONTENTS.facts.items():
        assert page.locator(".facts div", has_text=name).locator("dd").inner_text() == value
    assert "cannot say" in page.locator("main").inner_text()
    part = page.locator("section", has=page.get_by_role("heading", name="Impurity of the features"))
    part.locator("summary").click()
    counts = [int(row[2]) for row in cells(page, "Distribution of impurities")]
    assert sum(counts) == live.sum()
    part = page.locator("section", has=page.get_by_role("heading", name="Coverage of the classes"))
    part.locator("summary").click()
    order = np.argsort(-LAST.coverage, kind="stable")
    assert [(row[0], row[2], row[3]) for row in cells(page, "Coverage of the classes")] == [
        (CONTENTS.classes[c], percent(LAST.coverage[c], 2), percent(LAST.prior[c], 2)) for c in order
    ]


def test_strip_is_drawn_and_read(opened: Opened) -> None:
    page = opened()
    order = [j for j in np.lexsort((-LAST.share, LAST.owner, LAST.dead)) if not LAST.broken[j]]
    strip = page.locator("canvas.strip")
    box = strip.bounding_box()
    assert box is not None
    column, row = 20, int(LAST.owner[order[20]])
    x = 112 + (column + 0.5) / len(order) * (box["width"] - 112)
    y = (row + 0.5) / 8 * box["height"]
    tone = (
        "([x, y]) => [...document.querySelector('canvas.strip').getContext('2d').getImageData(x, y, 1, 1).data]"
    )
    red, _, blue, _ = page.evaluate(tone, [x, y])
    assert blue > red + 40  # the owner's share is strong
    strip.hover(position={"x": x, "y": y})
    j = order[column]
    name = CONTENTS.classes[row]
    assert page.locator(".reading").inner_text() == f"feature {j}: {percent(LAST.share[j])} {name}; owner {name}"
    strip.click(position={"x": x, "y": y})
    until(page, "shown.address.startsWith('#/feature/1/')")
    assert page.locator("h1").inner_text() == f"Feature {j} of layer2"
    page.go_back()
    page.get_by_text("The same numbers as a table").first.click()
    grid = page.get_by_role("grid", name="Shares of classes in features")
    first = lines(grid)[0]
    c = CONTENTS.classes.index(first[1])
    assert int(first[0]) == order[0]
    assert first[2:] == [percent(a[c, order[0]]) for a in (LAST.distribution, LAST.low, LAST.high)]
    table = downloaded(page, "shares of all classes in all features")
    assert table[0] == ["feature", *CONTENTS.classes]
    found = np.array([[float(cell) for cell in line[1:]] for line in table[1:]])
    np.testing.assert_array_equal(found.astype(np.float32), LAST.distribution.T.astype(np.float32))


def feature_cells(j: int) -> list[str]:
    dead = LAST.dead[j]
    none = dead or LAST.broken[j]
    assert LAST.removal is not None
    removal = 100 * LAST.removal[j]
    return [
        str(j),
        DASH if none else CONTENTS.classes[LAST.owner[j]],
        DASH if dead else percent(LAST.share[j]),
        DASH if dead else shown(LAST.impurity[j], 3),
        DASH if dead else shown(LAST.effective[j], 2),
        percent(LAST.firing[j]),
        short(LAST.mean[j]),
        ("+" if removal > 0 else "") + shown(removal, 2),
        "broken" if LAST.broken[j] else "dead" if dead else "live",
    ]


def test_features_table_shows_sorts_and_filters(opened: Opened) -> None:
    page = opened("#/features")
    grid = page.get_by_role("grid", name="Features of layer2")
    assert grid.get_attribute("aria-rowcount") == "49"
    for row in lines(grid):
        assert row == feature_cells(int(row[0]))
    ranked = np.argsort(np.where(LAST.dead, np.nan, LAST.impurity), kind="stable")
    assert [int(row[0]) for row in lines(grid)][:15] == ranked[:15].tolist()

    grid.get_by_role("columnheader", name="firing rate").get_by_role("button").click()
    assert grid.get_by_role("columnheader", name="firing rate").get_attribute("aria-sort") == "descending"
    assert [int(row[0]) for row in lines(grid)][:15] == np.argsort(-LAST.firing, kind="stable")[:15].tolist()
    grid.get_by_role("columnheader", name="firing rate").get_by_role("button").click()
    assert int(lines(grid)[0][0]) == np.argsort(LAST.firing, kind="stable")[0]
    assert "sort=firing&down=0" in page.url

    page.get_by_role("combobox", name="owner", exact=True).select_option(label=CONTENTS.classes[1])
    mine = np.flatnonzero(LAST.owner == 1)
    assert sorted(int(row[0]) for row in lines(grid)) == mine.tolist()
    assert page.locator(".count").inner_text() == f"{len(mine)} of 48 features"
    page.get_by_label("impurity, to").fill(str(np.nanmedian(LAST.impurity[mine])))
    few = [j for j in mine if LAST.impurity[j] <= np.nanmedian(LAST.impurity[mine]) + 1e-12]
    assert sorted(int(row[0]) for row in lines(grid)) == few
    assert "owner=1" in page.url

    # the address alone brings the same table back
    again = opened("#" + page.url.split("#")[1])
    other = again.get_by_role("grid", name="Features of layer2")
    assert lines(other) == lines(grid)
    page.get_by_role("button", name="clear filters").click()
    page.get_by_role("combobox", name="state", exact=True).select_option("dead")
    assert [int(row[0]) for row in lines(grid)] == np.flatnonzero(LAST.dead).tolist()
    page.get_by_role("combobox", name="state", exact=True).select_option("broken")
    assert [int(row[0]) for row in lines(grid)] == [5]


@pytest.mark.parametrize(
    ("field", "name", "scale"),
    [
        ("share, %", "share", 100),
        ("effective classes", "effective", 1),
        ("firing rate, %", "firing", 100),
        ("if removed, points", "removal", 100),
    ],
)
def test_each_filter(opened: Opened, field: str, name: str, scale: float) -> None:
    page = opened("#/features?sort=feature&down=0")
    values = np.where(LAST.dead & (name in ("share", "effective")), np.nan, getattr(LAST, name))
    low, high = np.nanquantile(values, [0.5, 0.75]) + 1e-4
    page.get_by_label(f"{field}, from").fill(f"{scale * low:.9f}")
    page.get_by_label(f"{field}, to").fill(f"{scale * high:.9f}")
    expected = np.flatnonzero((values >= low) & (values <= high))
    rows = lines(page.get_by_role("grid", name="Features of layer2"))
    assert [int(row[0]) for row in rows] == expected[: len(rows)].tolist()
    assert page.locator(".count").inner_text().startswith(f"{len(expected)} of")


def test_features_as_csv(opened: Opened) -> None:
    page = opened("#/features?sort=feature&down=0")
    table = downloaded(page, "Features of layer2")
    assert table[0][:3] == ["feature", "owner", "share"]
    assert len(table) == 49
    for j, line in enumerate(table[1:]):
        assert line[1] == ("" if LAST.owner[j] < 0 else CONTENTS.classes[LAST.owner[j]])
        for cell, values in zip(
            line[2:7], (LAST.share, LAST.impurity, LAST.effective, LAST.firing, LAST.mean), strict=True
        ):
            assert (cell == "" and np.isnan(values[j])) or float(cell) == pytest.approx(values[j], rel=1e-7)
    assert LAST.removal is not None
    np.testing.assert_array_equal([float(line[7] or "nan") for line in table[1:]], LAST.removal)


def test_a_feature(opened: Opened) -> None:
    j = int(np.flatnonzero(~LAST.dead & ~LAST.broken)[0])
    page = opened(f"#/feature/1/{j}")
    said = figures(page)
    assert said["owner"] == CONTENTS.classes[LAST.owner[j]]
    assert said["impurity"] == shown(LAST.impurity[j], 3)
    assert said["effective classes"] == shown(LAST.effective[j], 2)
    order = np.argsort(-LAST.distribution[:, j].astype(np.float32), kind="stable")
    assert [[row[0], *row[2:]] for row in cells(page, "Class distribution")] == [
        [CONTENTS.classes[c], *(percent(a[c, j]) for a in (LAST.distribution, LAST.low, LAST.high))]
        for c in order
    ]
    assert page.locator(".chart svg rect").count() == 24
    page.get_by_text("The same numbers as a table").click()
    rows = cells(page, "Histogram of activations")
    assert [row[2] for row in rows] == [percent(value) for value in LAST.histograms.owner[j]]
    assert [row[3] for row in rows] == [percent(value) for value in LAST.histograms.rest[j]]
    near = cells(page, "Nearest features")
    assert [int(row[0]) for row in near] == LAST.nearest[j].tolist()
    assert [row[1] for row in near] == [shown(value, 2) for value in LAST.likeness[j]]
    for name, examples in (
        ("Top images", LAST.top),
        ("Middling images", LAST.middling),
        ("Random images", LAST.random),
    ):
        hrefs = page.get_by_role("list", name=name).locator("a").evaluate_all("all => all.map(a => a.hash)")
        assert hrefs == [f"#/image/{place}" for place in examples.rows[j]]
    table = downloaded(page, "Top images")
    assert [line[0] for line in table[1:]] == [CONTENTS.files[place] for place in LAST.top.rows[j]]
    assert [float(line[2]) for line in table[1:]] == pytest.approx(LAST.top.activations[j].tolist(), rel=1e-6)


def test_dead_and_broken_features_are_named_and_not_drawn(opened: Opened) -> None:
    page = opened("#/feature/1/3")
    assert "is dead" in page.locator(".notice").inner_text()
    assert figures(page)["owner"] == DASH
    go(page, "#/feature/1/5")
    assert "is broken" in page.locator(".notice").inner_text()
    assert figures(page)["impurity"] == DASH
    assert page.locator("main svg, main canvas").count() == 0
    go(page, "#/")
    assert page.locator("main").get_by_role("link", name="5", exact=True).get_attribute("href") == "#/feature/1/5"


def test_a_class(opened: Opened) -> None:
    made = NETWORK.decisions
    assert made is not None
    page = opened("#/class/1")
    said = figures(page)
    own = np.flatnonzero(LAST.owner == 1)
    assert said["features owned"] == str(len(own))
    assert said["images"] == str((CONTENTS.labels == 1).sum())
    assert said["coverage"] == percent(LAST.coverage[1], 2)
    assert said["logit by own features"] == percent(made.owned_part[1] / made.whole_part[1], 0)
    rows = cells(page, "Features it owns")
    expected = own[np.argsort(-LAST.share[own], kind="stable")]
    assert [int(row[0]) for row in rows] == expected.tolist()
    assert [row[2] for row in rows] == [percent(LAST.distribution[1, j]) for j in expected]
    accuracy = made.confusion[1, 1] / made.confusion[1].sum()
    assert cells(page, "Accuracy with few features") == [
        *[[f"top {k}", percent(each[1]), percent(whole)] for k, (whole, each) in made.few.items()],
        ["all features", percent(accuracy), percent(made.accuracy)],
    ]
    note = page.locator(".note", has_text="chosen by class means").inner_text()
    assert "train chooses them on training images, so its numbers differ a little." in note
    go(page, f"#/class/{int(np.argmax(made.confusion.sum(1) - np.diag(made.confusion)))}")
    c = int(page.url.split("/")[-1])
    taken = {row[0]: (row[2], row[3]) for row in cells(page, "What it is taken for")}
    for d in range(8):
        many = int(made.confusion[c, d])
        if d != c and many:
            assert taken[CONTENTS.classes[d]] == (str(many), percent(many / made.confusion[c].sum()))
    wrong = np.flatnonzero((CONTENTS.labels == c) & (made.predicted != c))
    failed = (
        page.get_by_role("list", name="Images it fails on")
        .locator("a")
        .evaluate_all("all => all.map(a => a.hash)")
    )
    assert failed == [f"#/image/{i}" for i in wrong[np.argsort(-made.probability[wrong], kind="stable")]]
    go(page, "#/class/6")
    assert "no images here" in page.locator(".notice").inner_text()
    assert figures(page)["accuracy"] == DASH


def test_classes_table(opened: Opened) -> None:
    page = opened("#/classes?sort=class&down=0")
    made = NETWORK.decisions
    assert made is not None
    rows = lines(page.get_by_role("grid", name="Classes"))
    for c, row in enumerate(rows):
        assert row[:5] == [
            CONTENTS.classes[c],
            str((CONTENTS.labels == c).sum()),
            str((LAST.owner == c).sum()),
            percent(LAST.coverage[c], 2),
            percent(LAST.prior[c], 2),
        ]
        total = made.confusion[c].sum()
        assert row[6] == (DASH if not total else percent(made.confusion[c, c] / total))
    page.get_by_label("name contains").fill("004")
    assert [row[0] for row in lines(page.get_by_role("grid", name="Classes"))] == ["class 004"]


def test_an_image(opened: Opened) -> None:
    made = NETWORK.decisions
    assert made is not None
    wrong = int(np.flatnonzero(made.predicted != CONTENTS.labels)[0])
    page = opened(f"#/image/{wrong}")
    said = figures(page)
    assert page.locator("h1").inner_text() == CONTENTS.files[wrong]
    assert said["label"] == CONTENTS.classes[CONTENTS.labels[wrong]]
    assert said["predicted"] == CONTENTS.classes[made.predicted[wrong]]
    assert said["prediction"] == "wrong"

    def plus(value: float) -> str:
        return ("+" if value > 0 else "") + short(float(value))

    def listed(features: Any, parts: Any) -> list[tuple[str, str]]:
        return [(str(j), plus(part)) for j, part in zip(features, parts, strict=True) if j >= 0]

    spoke = cells(page, "What decided its class")
    assert [(row[0], row[3]) for row in spoke[:-3]] == listed(made.spoke[wrong], made.parts[wrong])
    assert spoke[-1][3] == plus(made.logits[wrong, 0])
    assert spoke[-2][3] == plus(made.biases[wrong, 0])
    against = cells(page, "What spoke for the wrong class")
    assert [(row[0], row[3]) for row in against[:-3]] == listed(made.against[wrong], made.against_parts[wrong])
    assert against[-1][3] == plus(made.logits[wrong, 0] - made.logits[wrong, 1])
    table = downloaded(page, "What decided its class")
    parts = [float(line[2]) for line in table[1:]]
    assert sum(parts[:-1]) == pytest.approx(parts[-1], abs=1e-5)
    right = int(np.flatnonzero(made.predicted == CONTENTS.labels)[0])
    go(page, f"#/image/{right}")
    assert page.get_by_role("heading", name="What spoke for the wrong class").count() == 0


def test_an_image_that_has_gone(opened: Opened) -> None:
    page = opened("#/image/2")
    assert "the image has gone" in (page.locator(".portrait .gone").get_attribute("aria-label") or "")
    assert page.locator(".portrait canvas").count() == 0


def test_images_table(opened: Opened) -> None:
    made = NETWORK.decisions
    assert made is not None
    page = opened("#/images?right=no&sort=probability&down=1")
    wrong = np.flatnonzero(made.predicted != CONTENTS.labels)
    order = wrong[np.argsort(-made.probability[wrong], kind="stable")]
    rows = lines(page.get_by_role("grid", name="Images"))
    for row, i in zip(rows, order[: len(rows)], strict=True):
        assert row[1:] == [
            CONTENTS.files[i],
            CONTENTS.classes[CONTENTS.labels[i]],
            CONTENTS.classes[made.predicted[i]],
            "wrong",
            percent(made.probability[i]),
            percent(made.own_probability[i]),
        ]
    until(
        page,
        """[...document.querySelectorAll('.rows canvas')]
             .every(one => one.getContext('2d').getImageData(9, 9, 1, 1).data[3])""",
    )


def test_suspicious_labels(opened: Opened) -> None:
    found = NETWORK.suspicions
    assert found is not None
    page = opened("#/labels")
    assert found.rule in page.locator("main").inner_text()
    assert found.worth[0] in page.locator("main").inner_text()
    rows = lines(page.get_by_role("grid", name="Suspicious labels"))
    for i, row in enumerate(rows):
        place = found.rows[i]
        assert row[0] == str(i + 1)
        assert row[2:6] == [
            CONTENTS.files[place],
            CONTENTS.classes[CONTENTS.labels[place]],
            CONTENTS.classes[found.nearer[i]],
            shown(float(found.margin[i]), 4),
        ]
        assert row[6] == (" ".join(str(j) for j in found.spoke[i] if j >= 0) or DASH)
    table = downloaded(page, "suspicious labels")
    assert [line[1] for line in table[1:]] == [CONTENTS.files[place] for place in found.rows]
    np.testing.assert_array_equal(np.array([line[4] for line in table[1:]], dtype=np.float32), found.margin)
