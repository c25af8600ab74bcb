"""The feature report of a demo: the networks of its first seed, and the numbers of all."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from torchdiscern.lab import files, tables
from torchdiscern.lab.data import Images
from torchdiscern.lab.inspecting import Subject, inspect_several
from torchdiscern.lab.inspecting.subject import described
from torchdiscern.lab.networks import Network
from torchdiscern.lab.networks.small import SmallConvNet
from torchdiscern.lab.report.contents import Table
from torchdiscern.lab.report.page import write_page
from torchdiscern.lab.report.picture import picture

LIMITS = (
    "What this does not show: one small network on one data set. A feature that fires for few classes is easier "
    "to name, not yet more useful: selectivity of single units is not always good for accuracy (Leavitt and "
    "Morcos, 2020). With clean, fine labels no gain over a tuned cross-entropy was shown; "
    "a gain over one that was not tuned, as here, may vanish when both are. Intervals speak of training "
    "again on the same images, not of other images, and are not corrected for looking at several arms."
)


@dataclass(frozen=True, eq=False)
class Shown:
    """The images that the networks are shown.

    Args:
        images: all that were read.
        rows: `[N]`, of the test images, ascending.
        mean, std: one a channel, which normalise pixels in [0, 1].
    """

    images: Images
    rows: Tensor
    mean: Tensor
    std: Tensor


def write_report(
    results: dict[str, Any],
    networks: Mapping[str, SmallConvNet],
    pair: Mapping[str, SmallConvNet],
    shown: Shown,
    out: Path,
    console: Console,
) -> Path:
    """Writes `report.html`, and `features.svg` with the class distributions of the features, into `out`.

    Args:
        results: as in `results.json`.
        networks: of each arm, under the first seed.
        pair: two networks of one arm that differ in their seed; one where there are no two.
        shown: the images.
        out: a folder.
        console: where to show how far it is.

    Returns:
        The page.
    """
    usual = [_subject(name, network, shown) for name, network in pair.items()]
    found = inspect_several(
        {arm: _subject(arm, network, shown) for arm, network in networks.items()},
        console,
        usual=(usual[0], usual[1]) if len(usual) == 2 else None,
        usual_name=" and ".join(pair) if len(usual) == 2 else "",
    )
    found = replace(
        found,
        title=f"The demo on {shown.images.name}",
        facts=found.facts | facts(results),
        notes=[*notes(results), *found.notes],
        tables=[table(results)],
    )
    files.write_atomically(out / "features.svg", picture(found.networks, found.classes))
    return write_page(found, out / "report.html")


def _subject(name: str, network: SmallConvNet, shown: Shown) -> Subject:
    images = shown.images
    channels, size = images.pixels.shape[1], images.pixels.shape[-1]
    mean, std = tuple(shown.mean.tolist()), tuple(shown.std.tolist())
    made = Network(network, ("features",), 1, "classifier", mean, std, size, "pooled", channels)
    subject = Subject(
        network=made,
        images=images,
        inputs=images.pixels,
        rows=shown.rows,
        labels=images.labels[shown.rows],
        classes=images.classes,
        layers=made.layers,
        feature_dim=made.feature_dim,
        mean=mean,
        std=std,
        classifies=True,
        by_order=False,
        device=torch.device("cpu"),
        title=name,
    )
    return described(subject, "small, three convolutions", "trained by the demo, of the last epoch", "test")


def table(results: dict[str, Any]) -> Table:
    """What changed, in numbers and in words."""
    classes, width = len(results["data"]["classes"]), results["settings"]["width"]
    arms = [
        f"{arm}: cross-entropy plus the loss with {_settings(options)}."
        for arm, options in results["arms"].items()
        if options
    ]
    return Table(
        "What changed",
        tables.COLUMNS,
        tables.rows(results),
        [
            *tables.verdicts(results),
            *arms,
            "Mean ± standard deviation over seeds. The difference is paired, against cross-entropy, in points of "
            "accuracy, with the 95% interval of the t-test for each arm by itself. Impurity (Gini, 0 to "
            f"{1 - 1 / classes:.2f}) is low where a feature fires for few classes; coverage divergence is low "
            "where the features are spread over the classes as the images are; a dead feature fires for no test "
            f"image, of {width}; time per step is the median ratio to a step of cross-entropy on the same batch.",
        ],
    )


def notes(results: dict[str, Any]) -> list[str]:
    """What was trained, and what it does not show."""
    settings, seeds = results["settings"], len({run["seed"] for run in results["runs"]})
    noise = f" {settings['label_noise']:.0%} of the training labels were replaced by a random class."
    return [
        f"A small convolutional network on {results['data']['name']}, trained with cross-entropy alone and with "
        "two forms of the discriminability-enforcing loss beside it. "
        f"{seeds} paired seed(s): for each seed all arms start from the same weights, on one split of the "
        f"images, and take the same {settings['epochs']} epoch(s) over the same batches."
        f"{noise if settings['label_noise'] else ''} The test images chose nothing. The table is over all seeds; "
        "everything else shows the networks of the first, so that its mean impurity differs a little from the "
        "table's.",
        LIMITS,
    ]


def facts(results: dict[str, Any]) -> dict[str, str]:
    """Settings, and how to repeat it."""
    hardware = results["hardware"]
    return {
        "Settings": _settings(results["settings"]),
        "Trained": f"{results['started']}, {hardware['processor']}, {hardware['torch_threads']} thread(s)",
        "Versions": ", ".join(f"{name} {version}" for name, version in results["versions"].items()),
        "Repeat it": f"torchdiscern demo {_options(results['settings'])} --out DIR",
        "Every run": "results.json beside this page",
    }


def _settings(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items() if value is not None)


def _options(settings: dict[str, Any]) -> str:
    """The command line's options that repeat a run."""
    options = {name: settings[name] for name in ("data", "seeds", "epochs", "label_noise") if settings[name]}
    return " ".join(f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in options.items())
