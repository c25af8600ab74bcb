"""The report from Python: saved, and shown by a notebook in a frame of its own."""

import re
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from feature_pages import chromium, needs_browser
from report_cases import example

import torchdiscern.lab.report.notebook as notebook
from torchdiscern.lab import Run, report
from torchdiscern.lab.inspecting import inspect
from torchdiscern.lab.report import FeatureReport

HOSTILE = "\"></iframe><script>alert(1)</script>' &amp; </title>"


class Elements(HTMLParser):
    """Elements with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_features_of_a_run(trained: Callable[..., Run], tmp_path: Path) -> None:
    run = trained("digits", epochs=1, width=12, per_class=40)
    found = report.features(run, layers=["features", "pooled"])
    expected = inspect(str(run.folder), layers=["features", "pooled"])
    assert [layer.name for layer in found.contents.networks[0].layers] == ["features", "pooled"]
    np.testing.assert_array_equal(
        found.contents.networks[0].layers[1].distribution, expected.networks[0].layers[1].distribution
    )
    assert repr(found) == f"<FeatureReport of {expected.title}: 898 images; save(path) writes the page>"
    assert found.save(str(tmp_path / "new" / "page.html")) == tmp_path / "new" / "page.html"
    assert "<!doctype html>" in (tmp_path / "new" / "page.html").read_text()
    assert report.features(run.folder, Path("digits"), split="all").contents.facts["Images"].startswith("1,797")


def test_what_is_wrong_is_said_as_everywhere(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"run: .* holds no result.json, expected the folder of a run"):
        report.features(tmp_path)
    with pytest.raises(TypeError, match="model: got a Linear, expected a run or its folder, or a network's name"):
        report.features(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="has no attribute 'feature'"):
        report.feature  # noqa: B018


def test_a_notebook_gets_one_sandboxed_frame_with_the_page(tmp_path: Path) -> None:
    shown = FeatureReport(replace(example(), title=HOSTILE))
    ((tag, attributes),) = Elements(shown._repr_html_()).found
    assert tag == "iframe"
    assert attributes["sandbox"] == "allow-scripts allow-downloads"  # and not the notebook's own origin
    assert int(attributes["height"] or 0) > 300
    assert HOSTILE in (attributes["title"] or "")
    page = shown.save(tmp_path / "page.html").read_text(encoding="utf-8")
    assert (attributes["srcdoc"] or "").replace('<base href="about:srcdoc">', "") == page


def test_a_large_report_says_how_to_save_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "SHOWN", 100 * 2**10)
    shown = FeatureReport(replace(example(), title=HOSTILE))._repr_html_()
    assert [tag for tag, _ in Elements(shown).found] == ["p", "code"]
    assert '.save("features.html")' in unescape(shown)
    assert len(shown) < 1000


@needs_browser
def test_the_frame_can_be_used(tmp_path: Path) -> None:
    contents = replace(example(), title=HOSTILE)
    file = tmp_path / "notebook.html"
    body = FeatureReport(contents)._repr_html_()
    file.write_text(f"<!doctype html><meta charset=utf-8><h1>Mine</h1>{body}<p>after</p>", encoding="utf-8")
    said: list[str] = []
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1100, "height": 1000})
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.goto(file.as_uri())
        frame = page.frame_locator("iframe")
        frame.get_by_role("link", name="Features", exact=True).click()
        frame.locator("h1", has_text=re.compile("^Features")).wait_for()
        frame.get_by_role("link", name="Overview", exact=True).click()
        frame.locator("h1", has_text="What each feature tells apart").wait_for()
        assert page.url == file.as_uri()
        assert page.get_by_text("after", exact=True).is_visible()
    assert said == []
