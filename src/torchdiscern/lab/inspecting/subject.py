"""What is inspected: a network, and the images that it is shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

from torchdiscern import FeatureTap, checks
from torchdiscern.lab import environment
from torchdiscern.lab.data import Images, load_images, own_size
from torchdiscern.lab.inspecting.loading import FAMILIES, is_network, load_network
from torchdiscern.lab.inspecting.maps import tensor_of
from torchdiscern.lab.networks import Network, network_names, probe
from torchdiscern.lab.training.batches import Inputs
from torchdiscern.lab.training.evaluate import images_for, prepared_again, with_channels
from torchdiscern.lab.training.folder import Run
from torchdiscern.lab.training.prepared import WEIGHTS_AT_HAND, memory_format_of
from torchdiscern.lab.training.showing import reading
from torchdiscern.lab.training.trained import trained_network

SPLITS = ("auto", "test", "val", "train", "all")
OWN_FEATURES = (
    "The features are the run's own; those of a network that was trained on other images find wrong labels "
    "better: torchdiscern labels efficientnet-lite0 --data ..."
)
LEARNED = (
    "The run has learned from some of these images with their labels, but not with those made wrong for the "
    "trial: it finds these more easily than labels that it was given wrong."
)
VERSIONS = ("torchdiscern", "torch", "timm", "torchvision")


@dataclass(frozen=True, eq=False)
class Subject:
    """A network and the images on which its features are read.

    Args:
        network: in eval mode, on `device`.
        images: all that were read.
        inputs: their pixels as the network takes them, `[all, channels, S, S]`, uint8.
        rows: `[N]`, of the images to inspect, ascending.
        labels: `[N]`, their classes, indices into `classes`.
        classes: the C classes' names.
        layers: those tapped, in the order in which they run.
        feature_dim: the axis of their features, as the network has it.
        mean, std: one a channel, which normalise pixels in [0, 1].
        classifies: whether the network's classifier tells these classes apart.
        by_order: whether that is only known by their number, so that the order of the names is a guess.
        device: where the network is.
        title: for people.
        facts: of the overview: name and value, for people.
        notes: what the reader must know, in sentences.
        about_labels: what who looks for wrong labels must know besides.
    """

    network: Network
    images: Images
    inputs: Inputs
    rows: Tensor
    labels: Tensor
    classes: list[str]
    layers: tuple[str, ...]
    feature_dim: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classifies: bool
    by_order: bool
    device: torch.device
    title: str
    facts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    about_labels: list[str] = field(default_factory=list)


def subject_of(
    model: str,
    data: str | None = None,
    *,
    weights: Path | None = None,
    layers: Sequence[str] = (),
    size: int | None = None,
    split: str = "auto",
    console: Console | None = None,
    images: Images | None = None,
) -> Subject:
    """Finds what is to be inspected.

    Args:
        model: the folder of a finished run, or a network as `make_network` takes it by name.
        data: a data set by name or a folder of images; None for a run's own. A run's classes are kept.
        weights: the network's, a file; None for a run, and for a network whose weights are at hand.
        layers: names of those to tap; by default what the run tapped, or what the classifier reads.
        size: side of the images in pixels; by default what the network is made for, or the data's own.
        split: which images: `"test"`, `"val"`, `"train"`, `"all"`, or `"auto"` for the test images where the data
            has some and otherwise all.
        console: where to show how far it is.
        images: those of `data`, or of a run whose `data` is None, where they have been read already.

    Returns:
        The subject, its weights loaded, its images not yet shown to it.

    Raises:
        ValueError, TypeError, OSError: one sentence that names the argument.

    Example:
        >>> subject = subject_of("efficientnet-lite0", "digits", size=32)
        >>> subject.layers, subject.classifies, len(subject.rows)
        (('global_pool',), False, 1797)
    """
    console = console or Console(quiet=True)
    checks.check_choice(split, "split", SPLITS)
    if is_network(model) and not Run(model).started:
        return _of_network(model, data, weights, tuple(layers), size, split, console)
    if not Path(model).is_dir():
        names = [*network_names(), *(f"{family}resnet18" for family in FAMILIES)]
        close = get_close_matches(model, _folders_beside(model), n=2)
        raise ValueError(
            f"model: {model!r} is no folder and no network that is known, expected the folder of a run, "
            f"timm/NAME, torchvision/NAME, package.module:function or one of {', '.join(network_names())}; "
            f"{checks.nearest(model, names, close)}"
        )
    for name, value in (("weights", weights), ("size", size)):
        if value is not None:
            raise ValueError(
                f"{name}: got {str(value)!r} for the run {model!r}, which has its own, expected none; leave it "
                "out."
            )
    return _of_run(Run(model), data, tuple(layers), split, console, images)


def _folders_beside(model: str) -> list[str]:
    parent = Path(model).parent
    return [str(path) for path in parent.iterdir() if path.is_dir()] if parent.is_dir() else []


def _of_run(
    run: Run, data: str | None, layers: tuple[str, ...], split: str, console: Console, images: Images | None
) -> Subject:
    run.result  # noqa: B018, says what is missing
    made, recipe = run.made_with, run.recipe
    inputs: Inputs
    if data is None:
        prepared = prepared_again(run, console, images)
        network, images, inputs, labels = prepared.network, prepared.images, prepared.inputs, prepared.labels
        parts = {"train": labels.train, "val": labels.val, "test": labels.test}
        target, true = labels.target, labels.true
    else:
        network = trained_network(run)
        images, inputs, target = images_for(run, data, console, images)
        parts, true = dict(images.parts), target
    part, rows = _rows(split, parts, (target >= 0).nonzero().flatten())
    about_labels = [OWN_FEATURES]
    if data is None and part in ("train", "all"):
        about_labels.append(LEARNED)
    subject = Subject(
        network=network,
        images=images,
        inputs=inputs,
        rows=rows,
        labels=target[rows],
        classes=list(made["classes"]),
        layers=layers or tuple(made["layers"]),
        feature_dim=network.feature_dim,
        mean=tuple(made["mean"]),
        std=tuple(made["std"]),
        classifies=True,
        by_order=False,
        device=environment.device_of(environment.accelerator_of(recipe.accelerator)),
        title=f"{recipe.model} of {run.folder.resolve().name}",
        about_labels=about_labels,
    )
    if data is not None:
        subject.notes.append("Whether the run has learned from some of these images is not known.")
    if wrong := int((target[rows] != true[rows]).sum()):
        subject.notes.append(
            f"{wrong:,} of the labels shown are wrong on purpose (label_noise={recipe.label_noise}), as the run "
            "was given them."
        )
    if data is None and part == "all" and split == "auto":
        subject.notes.append("The run held no image out for testing, so those it learned from are shown.")
    weights = "of the best validation epoch" if recipe.val_fraction else "trained"
    return described(subject, f"{recipe.model}, arm {recipe.arm}, {run.folder}", weights, part)


def _of_network(
    model: str,
    data: str | None,
    weights: Path | None,
    layers: tuple[str, ...],
    size: int | None,
    split: str,
    console: Console,
) -> Subject:
    if data is None:
        raise ValueError(
            f"data: got none for {model!r}, expected images to show it, as it is no run that has its own; name a "
            "data set or a folder with --data."
        )
    if size is None and not model.startswith(FAMILIES) and model not in WEIGHTS_AT_HAND:
        size = own_size(data)
    loaded = load_network(model, weights, size, layers)
    network = loaded.network
    with reading(console) as progress:
        images = load_images(data, network.size, progress=progress)
    part, rows = _rows(split, images.parts, torch.arange(len(images.labels)))
    classifies = loaded.num_classes == len(images.classes)
    notes = list(loaded.notes)
    if not classifies:
        notes.append(
            f"The classifier has {loaded.num_classes} outputs and the data {len(images.classes)} classes, so the "
            "network was made for other classes."
            if loaded.num_classes
            else "The network has no classifier for these classes."
        )
    if not network.mean:
        notes.append(
            "The network was given pixels in [0, 1], since its weights do not say how to normalise them."
        )
    subject = Subject(
        network=network,
        images=images,
        inputs=with_channels(images.pixels, network.channels),
        rows=rows,
        labels=images.labels[rows],
        classes=images.classes,
        layers=network.layers,
        feature_dim=network.feature_dim,
        mean=network.mean or (0.0,) * network.channels,
        std=network.std or (1.0,) * network.channels,
        classifies=classifies,
        by_order=classifies,
        device=environment.device_of(environment.accelerator_of("auto")),
        title=model,
        notes=notes,
    )
    return described(subject, model, "published, for ImageNet" if weights is None else weights.name, part)


def _rows(split: str, parts: Mapping[str, Tensor], whole: Tensor) -> tuple[str, Tensor]:
    """The name and the sorted rows of what a split asks for."""
    if split == "all" or (split == "auto" and not len(parts.get("test", ()))):
        return "all", whole
    part = "test" if split == "auto" else split
    rows = parts.get(part)
    if rows is None or not len(rows):
        there = [repr(name) for name in SPLITS if len(parts.get(name, ()))] + ["'all'"]
        raise ValueError(f"split: the data has no {part!r} images, expected some; choose {' or '.join(there)}.")
    return part, rows.sort().values


def described(subject: Subject, model: str, weights: str, part: str) -> Subject:
    """Puts the network where it runs and its layers in order, and writes the facts.

    Args:
        subject: without facts.
        model, weights, part: the network, where its weights come from and which images these are, for people.

    Raises:
        ValueError: as for a layer that is not there, or gives no features.
    """
    module = subject.network.module
    layers = _in_order(subject)
    module.to(subject.device).to(memory_format=memory_format_of(module)).eval()
    images = subject.images
    subject.notes.extend(
        f"{one.kind[0].upper()}{one.kind[1:]}: {one.count:,}, {one.effect}; the first is {one.first!r}."
        for one in images.findings
        if "left out" in one.effect or one.kind == "same image in two classes"
    )
    versions = environment.versions()
    subject.facts.update(
        {
            "Model": model,
            "Weights": weights,
            "Data": images.name,
            "Images": count_of(images, len(subject.rows)),
            "Classes": f"{len(subject.classes):,}",
            "Split": part,
            "Fingerprint of the data": images.fingerprint,
            "Layers": ", ".join(layers),
            "P": "a feature's mean activation over each class's images, by the sum of these over the classes",
            "Activation": "mean of a feature's absolute values over its positions in the image",
            "Dead": "an activation of exactly 0 on every image",
            "Normalisation": _in_words(subject.mean, subject.std),
            "Date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            "Versions": ", ".join(f"{name} {versions[name]}" for name in VERSIONS),
        }
    )
    return replace(subject, layers=layers)


def count_of(images: Images, shown: int) -> str:
    """How many of the images are shown, in words."""
    S = images.pixels.shape[-1]
    return f"{shown:,} of {len(images.labels):,}, {S} by {S} pixels"


def _in_words(mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    if set(mean) == {0.0} and set(std) == {1.0}:
        return "none, pixels in [0, 1]"
    values = [", ".join(f"{one:.3f}" for one in numbers) for numbers in (mean, std)]
    return f"mean {values[0]}; deviation {values[1]}"


@torch.no_grad()
def _in_order(subject: Subject) -> tuple[str, ...]:
    """The layers in the order in which they end.

    Raises:
        ValueError: there is no such layer, or its output holds no features of each image.
    """
    module, layers = subject.network.module, dict.fromkeys(subject.layers)
    FeatureTap(module, *layers)  # says which it does not have
    images = probe.example(subject.inputs.shape[1:], module)
    runs = probe.trace(module, images)[1]
    ended = {id(run.module): (index, tensor_of(run.gave)) for index, run in enumerate(runs)}
    for layer in layers:
        _, gave = ended.get(id(module.get_submodule(layer)), (0, None))
        shape = None if gave is None or not gave.is_floating_point() else list(gave.shape)
        if shape is None or len(shape) not in (2, 3, 4) or shape[0] != len(images):
            raise ValueError(
                f"layers: {layer!r} gives {'no tensor of numbers' if shape is None else shape} for "
                f"{len(images)} images, expected features of each, [B, D], [B, T, D] or [B, D, H, W]; choose "
                "another layer."
            )
    return tuple(sorted(layers, key=lambda layer: ended[id(module.get_submodule(layer))][0]))
