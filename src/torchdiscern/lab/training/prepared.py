"""What a recipe comes to: images, labels, network, and what of it learns."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from torchdiscern import DiscriminabilityLoss
from torchdiscern.lab import arms, environment
from torchdiscern.lab.clusters import cluster
from torchdiscern.lab.data import Images, load_images
from torchdiscern.lab.labels import Labels, make_labels
from torchdiscern.lab.networks import Network, freeze, frozen_modules, make_network, split_frozen
from torchdiscern.lab.networks.cosine import with_cosines, with_simplex
from torchdiscern.lab.recipe import Recipe
from torchdiscern.lab.seeds import derived, generator
from torchdiscern.lab.training.batches import Inputs
from torchdiscern.lab.training.cache import frozen_outputs
from torchdiscern.lab.training.showing import reading

SAMPLE = 10_000  # images that mean and deviation of a channel are taken from
WEIGHTS_AT_HAND = ("efficientnet-lite0",)
# settings that change how a run is computed and shown, not what it is
MACHINE = ("accelerator", "devices", "nodes", "precision", "threads", "log_every", "loggers", "name", "about")


@dataclass
class Prepared:
    """A recipe with all that it names.

    Args:
        network: the whole network, whose weights are kept in the end.
        module: what training runs: the whole network, or what comes after its frozen part.
        inputs: what `module` reads: images as uint8, or the frozen part's output, computed once.
        cached: whether it is the latter.
        frozen: modules that stay as in evaluation.
        layers: the tapped layers.
        scale, shift: what normalises pixels in [0, 255], `[1, channels, 1, 1]`.
        notes: what was decided, for people.
    """

    recipe: Recipe
    images: Images
    labels: Labels
    network: Network
    module: nn.Module
    inputs: Inputs
    cached: bool
    frozen: list[nn.Module]
    layers: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        std = torch.tensor(self.std).view(1, -1, 1, 1)
        self.memory_format = memory_format_of(self.network.module)
        self.scale = 1 / (255 * std)
        self.shift = -torch.tensor(self.mean).view(1, -1, 1, 1) / std

    @property
    def num_classes(self) -> int:
        return len(self.labels.classes)


def load(recipe: Recipe, console: Console, images: Images | None = None) -> tuple[Images, Labels]:
    """The images of a recipe, unless they have been read already, and what a run learns from.

    Raises:
        ValueError, OSError: no such data, or data that nothing can be trained on.
    """
    if images is None:
        with reading(console) as progress:
            images = load_images(recipe.data, recipe.image_size, progress=progress)
    labels = make_labels(
        labels=images.labels,
        classes=images.classes,
        files=images.files,
        parts=images.parts,
        coarse=images.coarse,
        coarse_classes=images.coarse_classes,
        seed=recipe.seed,
        val_fraction=recipe.val_fraction,
        test_fraction=recipe.test_fraction,
        per_class=recipe.per_class,
        label_noise=recipe.label_noise,
        imbalance=recipe.imbalance,
        holdout_classes=recipe.holdout_classes,
        target=recipe.target,
        term_labels=recipe.term_labels,
    )
    if recipe.clean:
        from torchdiscern.lab.training.cleaning import believed  # which trains, by what is prepared here

        kept = believed(recipe, images, console)
        labels = replace(labels, train=labels.train[torch.isin(labels.train, kept)])
    return images, labels


def network_of(recipe: Recipe, num_classes: int, channels: int, size: int) -> Network:
    """The recipe's network, its initial weights drawn from the seed alone."""
    pretrained = recipe.model in WEIGHTS_AT_HAND if recipe.pretrained is None else recipe.pretrained
    with torch.random.fork_rng():
        torch.manual_seed(derived(recipe.seed, "weights"))
        network = make_network(
            recipe.model,
            num_classes,
            channels=channels,
            size=size,
            width=recipe.width,
            dropout=recipe.dropout,
            pretrained=pretrained,
            head=recipe.head,
            layers=recipe.layers,
        )
    # afterwards, so that every arm starts from the same weights
    kind, scale = arms.classifier_of(recipe.arm, recipe.strength)
    if kind == "cosine":
        return with_cosines(network, scale)
    if kind == "simplex":
        return with_simplex(network, scale, generator(recipe.seed, "simplex"))
    return network


def memory_format_of(module: nn.Module) -> torch.memory_format:
    """Channels last, which convolutions are fastest in.

    Not where a strided 1x1 convolution reads at most eight channels: with torch 2.14 on a CPU with AVX512 the
    gradient of its weights writes past its memory in that format.
    """
    narrow = any(
        isinstance(one, nn.Conv2d) and one.in_channels <= 8 and one.kernel_size == (1, 1) and one.stride != (1, 1)
        for one in module.modules()
    )
    return torch.contiguous_format if narrow else torch.channels_last


def prepare(recipe: Recipe, console: Console, images: Images | None = None) -> Prepared:
    """Reads the images, makes the network and computes what a frozen part gives.

    Args:
        recipe: what to prepare.
        console: where to show how far it is.
        images: the recipe's, where they have been read already.

    Raises:
        ValueError, TypeError, OSError: a setting that does not fit the data or the network.
    """
    images, labels = load(recipe, console, images)
    channels, size = images.pixels.shape[1], images.pixels.shape[-1]
    network = network_of(recipe, len(labels.classes), channels, size)
    network.module.to(memory_format=memory_format_of(network.module))
    mean, std = _normalisation(recipe, images, labels, network)
    layers = network.layers
    prepared = Prepared(
        recipe, images, labels, network, network.module, images.pixels, False, [], layers, mean, std
    )
    if recipe.term_labels == "fine" and recipe.label_noise:
        prepared.notes.append("the terms are given the right fine labels, while labels of the target are wrong")
    if recipe.freeze == "none":
        return prepared
    freeze(network, recipe.freeze)
    prepared.frozen = frozen_modules(network, recipe.freeze)
    if not any(parameter.requires_grad for parameter in network.module.parameters()):
        raise ValueError(
            f"freeze: got {recipe.freeze!r}, after which nothing of {recipe.model} is left to learn, expected an "
            "earlier layer; name one, or take backbone."
        )
    frozen = {one for module in prepared.frozen for one in module.modules()}
    modules = dict(network.module.named_modules())
    if arms.moves_features(recipe.arm) and all(modules[name] in frozen for name in layers):
        what = "the terms" if recipe.arm in (*arms.TERMS, arms.RECOMMENDED) else recipe.arm
        raise ValueError(
            f"freeze: got {recipe.freeze!r} with {what} on {', '.join(layers)}, expected features that learn, "
            f"since {what} cannot move frozen ones; freeze less, set head=512, or arm=ce."
        )
    if recipe.augment != "none":
        prepared.notes.append(
            "the frozen part runs at every step, since augmentation changes its input; augment=none computes it "
            "once"
        )
        return prepared
    rows = torch.arange(min(4, len(images.labels)))
    example = images.pixels[rows].float() * prepared.scale + prepared.shift
    example = example.contiguous(memory_format=prepared.memory_format)
    parts = split_frozen(network, recipe.freeze, example)
    if parts is None:
        prepared.notes.append(
            f"the frozen part runs at every step, since {recipe.model} cannot be cut after {recipe.freeze!r}"
        )
        return prepared
    found = frozen_outputs(parts[0], prepared, example, console)
    if found is None:
        prepared.notes.append("the frozen part runs at every step, since its output would not fit into memory")
        return prepared
    prepared.module, prepared.inputs, prepared.cached = parts[1], found, True
    prepared.notes.append("the frozen part's output was computed once and is kept")
    return prepared


def criterion_of(prepared: Prepared) -> DiscriminabilityLoss | arms.Objective | None:
    """The terms beside cross-entropy, or the objective that gives the whole loss; None for cross-entropy."""
    recipe, labels = prepared.recipe, prepared.labels
    if not (recipe.arm in arms.TERMS or recipe.arm == arms.RECOMMENDED):
        return arms.objective_of(recipe.arm, recipe.strength, prepared.num_classes, lambda: _widths(prepared)[-1])
    given = {"impurity_weight": recipe.impurity_weight, "kl_weight": recipe.kl_weight, "damping": recipe.damping}
    settings: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    settings |= {"start_epoch": recipe.start_epoch, "ramp_epochs": recipe.ramp_epochs}
    settings |= {"feature_dim": prepared.network.feature_dim, "ignore_index": -1}
    if recipe.prior == "train":
        known = labels.target if labels.term is None else labels.term
        rows = known[labels.train]
        settings["class_counts"] = torch.bincount(rows[rows >= 0], minlength=labels.term_classes)
    else:
        settings["prior"] = recipe.prior
    if recipe.memory:
        settings |= {"memory": recipe.memory, "num_features": _widths(prepared)}
    return arms.criterion_of(recipe.arm, labels.term_classes, **settings)


def cluster_frozen(prepared: Prepared) -> Tensor | None:
    """Cluster labels `[N]` of frozen features, -1 outside the training rows; None where features learn."""
    if not (prepared.cached and prepared.labels.clusters):
        return None
    assert isinstance(prepared.inputs, Tensor)
    features = prepared.inputs[prepared.labels.train].float()
    if features.ndim > 2:  # tokens [n, T, D], or maps [n, D, H, W]
        features = features.mean(1) if features.ndim == 3 else features.mean((2, 3))
    return spread_out(cluster(features, prepared.labels.clusters, prepared.recipe.seed), prepared)


def spread_out(found: Tensor, prepared: Prepared) -> Tensor:
    """Labels of the training rows as labels of all rows, -1 elsewhere."""
    term = torch.full((len(prepared.images.labels),), -1)
    term[prepared.labels.train] = found
    return term


def precision_of(prepared: Prepared) -> tuple[str, str]:
    """The precision to train in, as Lightning names it, and why."""
    recipe = prepared.recipe
    small = prepared.cached or recipe.model == "small"
    return environment.precision_of(recipe.precision, environment.accelerator_of(recipe.accelerator), small)


@torch.no_grad()
def _widths(prepared: Prepared) -> list[int]:
    from torchdiscern import FeatureTap
    from torchdiscern.lab.training.batches import EvalBatches
    from torchdiscern.lab.training.learner import ready

    batch = next(iter(EvalBatches(prepared.inputs, torch.arange(2))))
    module = prepared.module.eval()
    with FeatureTap(module, *prepared.layers) as tap:
        module(ready(batch, prepared))
        return [value.shape[prepared.network.feature_dim] for value in tap.features.values()]


def _normalisation(
    recipe: Recipe, images: Images, labels: Labels, network: Network
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    channels = images.pixels.shape[1]
    if recipe.normalise == "none":
        return (0.0,) * channels, (1.0,) * channels
    if recipe.normalise == "auto" and network.mean:
        return network.mean, network.std
    rows = labels.train[:: max(1, len(labels.train) // SAMPLE)]
    values = images.pixels[rows].double() / 255
    mean, std = values.mean((0, 2, 3)), values.std((0, 2, 3)).clamp_min(1e-6)
    return tuple(mean.tolist()), tuple(std.tolist())
