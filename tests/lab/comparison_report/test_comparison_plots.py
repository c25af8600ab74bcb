"""The plots of a comparison: there where the data are, readable, the same bytes for the same results."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from comparison_example import example
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from torchdiscern.lab.comparison_report import draw, save
from torchdiscern.lab.comparison_report.drawing import NAMES, Look, apart, for_page, svg
from torchdiscern.lab.comparison_report.plots import captions

FEW = ["accuracy", "k_feature_accuracy_5", "robust_l2_1", "robust_l2_2", "accuracy_without_90"]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]


def dots(figure: Figure, marker: str) -> list[np.ndarray[Any, Any]]:
    lines = [line for axes in figure.axes for line in axes.lines]
    found = [
        line.get_xydata() for line in lines if line.get_marker() == marker and line.get_linestyle() == "None"
    ]
    return [np.asarray(points) for points in found]


def test_every_plot_that_the_data_allow() -> None:
    figures = draw(example(4))
    assert list(figures) == [
        "difference-accuracy",
        "difference-k_feature_accuracy_5",
        "difference-robust_l2_2",
        "difference-wrong_auroc_own",
        "difference-few_shot_accuracy",
        "difference-robust_linf_0.05",
        "difference-ood_auroc",
        "differences",
        "seeds",
        "trade-off",
        "robust-l2",
        "robust-linf",
        "removed",
        "tuning",
    ]
    assert set(figures) <= set(captions(example(4)))
    assert list(draw(example(1, seeds=1, tune=0, metrics=["accuracy"]))) == ["seeds"]
    assert list(draw(example(2, tune=0, metrics=["accuracy"]))) == ["difference-accuracy", "seeds"]
    assert list(draw(example(2, tune=0, metrics=["impurity"]))) == ["difference-impurity"]
    assert draw({"baseline": "ce"}) == {}


def test_forest_shows_the_numbers() -> None:
    results = example(4, metrics=FEW)
    figure = draw(results)["difference-accuracy"]
    contrasts = [one for one in results["contrasts"] if one["metric"] == "accuracy"]
    values = {
        arm: [run["metrics"]["accuracy"] for run in results["runs"] if run["arm"] == arm]
        for arm in results["arms"]
    }
    small = [points for points in dots(figure, "o") if len(points) == 10]
    for one, seeds in zip(contrasts, small, strict=True):
        expected = 100 * (np.array(values[one["arm"]]) - np.array(values["ce"]))
        np.testing.assert_allclose(seeds[:, 0], expected)
    ends = [line.get_xdata() for line in figure.axes[0].lines if line.get_marker() == "|"]
    np.testing.assert_allclose(
        np.array(ends, dtype=float), [[100 * one["low"], 100 * one["high"]] for one in contrasts]
    )
    said = texts(figure)
    for one in contrasts:
        assert f"{100 * one['difference']:+.2f} {one['verdict']}" in said


def test_robust_lines_start_at_accuracy() -> None:
    results = example(2, metrics=FEW)
    axes = draw(results)["robust-l2"].axes[0]
    lines = [
        np.asarray(line.get_ydata(), dtype=float)
        for line in axes.lines
        if len(np.asarray(line.get_xydata())) == 3
    ]
    for arm, line in zip(results["arms"], lines, strict=True):
        means = results["means"][arm]
        expected = [means[name]["mean"] for name in ("accuracy", "robust_l2_1", "robust_l2_2")]
        np.testing.assert_allclose(line, 100 * np.array(expected))


def test_shares_stay_within_a_hundred() -> None:
    results = example(2, 2, metrics=FEW)
    for means in results["means"].values():
        means["accuracy"] |= {"low": -0.5, "high": 2.0}
    figures = draw(results)
    for name, axis in (("seeds", "x"), ("trade-off", "y"), ("removed", "y"), ("robust-l2", "y")):
        low, high = getattr(figures[name].axes[0], f"get_{axis}lim")()
        assert -2 <= low < high <= 102, name


def test_tuning_is_best_so_far() -> None:
    results = example(1, tune=12, metrics=["accuracy"])
    line = next(line for line in draw(results)["tuning"].axes[0].lines if len(np.asarray(line.get_xydata())) > 2)
    x, y = np.asarray(line.get_xydata()).T
    values = {one["trial"] + 1: one["value"] for one in results["tuning"]["ce"] if one["value"] is not None}
    assert x.tolist() == list(values)
    np.testing.assert_allclose(y, 100 * np.maximum.accumulate(list(values.values())))


def test_many_arms_stay_apart() -> None:
    """No name covers another, nor leaves the picture, and no two arms look alike."""
    for name, figure in draw(example(25, metrics=FEW)).items():
        if name == "differences":
            continue
        canvas = FigureCanvasAgg(figure)
        canvas.draw()  # type: ignore[no-untyped-call]
        renderer = canvas.get_renderer()  # type: ignore[no-untyped-call]
        written = [text for axes in figure.axes for text in axes.texts if text.get_text()]
        boxes = [text.get_window_extent(renderer) for text in written]
        width, height = figure.get_size_inches() * figure.dpi
        for text, box in zip(written, boxes, strict=True):
            assert box.x0 >= 0, (name, text)
            assert box.x1 <= width, (name, text)
            assert box.y0 >= 0, (name, text)
            assert box.y1 <= height, (name, text)
        for index, one in enumerate(boxes):
            for other in boxes[:index]:
                across = min(one.x1, other.x1) - max(one.x0, other.x0)
                upwards = min(one.y1, other.y1) - max(one.y0, other.y0)
                assert across <= 0 or upwards <= 1.5, name  # two lines may touch
    looks = [Look.of(index) for index in range(66)]
    assert len({(look.colour, look.marker) for look in looks}) == len(looks)


def test_saved_files_are_the_same_again(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    results = example(3, metrics=FEW)
    first = save(draw(results), tmp_path / "a")
    second = save(draw(results), tmp_path / "b")
    assert dict(matplotlib.rcParams) == before
    assert [file.name for file in first] == [file.name for file in second]
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name
    assert sorted(first) == sorted((tmp_path / "a").iterdir())
    for file in first:
        if file.suffix == ".svg":
            ElementTree.parse(file)
            assert "<dc:date>" not in file.read_text(encoding="utf-8")
        else:
            assert file.read_bytes().startswith(b"\x89PNG")


def test_png_has_150_dots_an_inch(tmp_path: Path) -> None:
    from PIL import Image

    figure = draw(example(2, metrics=["accuracy"]))["seeds"]
    save({"seeds": figure}, tmp_path)
    with Image.open(tmp_path / "seeds.png") as image:
        assert image.width == pytest.approx(150 * figure.get_size_inches()[0], abs=1)


def test_colours_follow_the_page() -> None:
    inside = for_page(svg(draw(example(10, metrics=FEW))["trade-off"], "trade-off"), "trade-off", "what it shows")
    assert not [colour for colour in NAMES if f": {colour}" in inside]
    style = (Path(captions.__code__.co_filename).parent / "style.css").read_text(encoding="utf-8")
    for variable in NAMES.values():
        assert style.count(f"--{variable}:") == 3  # light, dark and print


@given(st.lists(st.floats(-1, 2), min_size=1, max_size=30))
def test_apart(wished: list[float]) -> None:
    wished = sorted(wished)
    gap = 1 / 30
    places = np.array(apart(wished, gap, 0.0, 1.0))
    assert (np.diff(places) >= gap - 1e-9).all()
    assert places.min() >= -1e-9
    assert places.max() <= 1 + 1e-9
    far = np.diff(wished, prepend=-np.inf, append=np.inf) > 1.1
    if len(wished) == 1 and far.all():
        assert places[0] == pytest.approx(min(max(wished[0], 0), 1))
