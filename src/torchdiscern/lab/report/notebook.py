"""The feature report from Python: an object that saves itself, and shows itself in a notebook."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from rich.console import Console

from torchdiscern import checks
from torchdiscern.lab.inspecting import inspect
from torchdiscern.lab.report.contents import Contents
from torchdiscern.lab.report.page import write_page
from torchdiscern.lab.training.folder import Run

SHOWN = 20 * 2**20  # bytes of a page that a notebook is to keep
HEIGHT = 800  # pixels
FRAME = (
    '<iframe title="{title}" sandbox="allow-scripts allow-downloads" width="100%" height="{height}" '
    'style="border: 1px solid #8888" srcdoc="{page}"></iframe>'
)
# links of a page in srcdoc would lead to the notebook's address; before the page's policy, which allows no base
BASE = '<base href="about:srcdoc">'


@dataclass(frozen=True, eq=False)
class FeatureReport:
    """A feature report, ready to be saved; in a notebook it shows itself where it is the last line of a cell.

    Args:
        contents: all that it shows.
    """

    contents: Contents

    def save(self, path: Path | str) -> Path:
        """Writes the page: one HTML file, or a folder where that would pass 50 MB.

        Args:
            path: of the file, such as `features.html`.

        Returns:
            The page: `path` itself, or `index.html` in a folder of that name.

        Raises:
            OSError: with one sentence, where nothing can be written there.
        """
        return write_page(self.contents, Path(path))

    def __repr__(self) -> str:
        contents = self.contents
        return f"<FeatureReport of {contents.title}: {len(contents.files):,} images; save(path) writes the page>"

    def _repr_html_(self) -> str:
        title = escape(self.contents.title)
        with tempfile.TemporaryDirectory(prefix="torchdiscern-") as folder:
            written = write_page(self.contents, Path(folder) / "report.html", limit=SHOWN)
            if written.name != "report.html":
                return (
                    f"<p>The feature report of {title} is larger than the {SHOWN / 2**20:.0f} MB that a notebook "
                    "should keep; <code>.save(&quot;features.html&quot;)</code> writes it to be opened alone.</p>"
                )
            page = written.read_text(encoding="utf-8").replace("<head>", f"<head>{BASE}", 1)
        return FRAME.format(title=f"Feature report of {title}", height=HEIGHT, page=escape(page))


def features(
    model: str | Path | Run,
    data: str | Path | None = None,
    *,
    weights: Path | str | None = None,
    layers: Sequence[str] = (),
    size: int | None = None,
    split: str = "auto",
    console: Console | None = None,
) -> FeatureReport:
    """Reads what each feature of a network tells apart.

    Args:
        model: a finished run or its folder, or a network as `make_network` takes it by name.
        data: a data set by name or a folder of images; None for a run's own.
        weights: the network's, a file; None for a run, and for a network whose weights are at hand.
        layers: names of those to tap; by default what the run tapped, or what the classifier reads.
        size: side of the images in pixels; by default what the network is made for, or the data's own.
        split: which images: `"test"`, `"val"`, `"train"`, `"all"`, or `"auto"` for the test images where the data
            has some and otherwise all.
        console: where to show how far it is.

    Returns:
        The report.

    Raises:
        ValueError, TypeError, OSError: one sentence that names the argument.

    Example:
        >>> from torchdiscern.lab import Recipe, report, train
        >>> recipe = Recipe.named("digits").with_settings(epochs=1, width=8, loggers=())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train(recipe, folder + "/run", console=Console(quiet=True))
        ...     found = report.features(run)
        >>> found
        <FeatureReport of small of run: 898 images; save(path) writes the page>
    """
    if not isinstance(model, str | Path | Run):
        raise TypeError(
            f"model: got {checks.describe(model)}, expected a run or its folder, or a network's name; for one of "
            "your own name a function that makes it, as 'package.module:function', and its weights."
        )
    return FeatureReport(
        inspect(
            str(model.folder if isinstance(model, Run) else model),
            None if data is None else str(data),
            weights=None if weights is None else Path(weights),
            layers=layers,
            size=size,
            split=split,
            console=console,
        )
    )
