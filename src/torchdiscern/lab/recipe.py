"""One typed recipe: YAML, Python and the command line say the same thing in the same words."""

from collections.abc import Iterable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Self, get_type_hints

import yaml

from torchdiscern import checks
from torchdiscern.lab import arms, values

AUGMENTATIONS = ("none", "flip", "shift", "shift-flip", "resized-crop")
MADE_WITH = "made_with"
LINE_ENDS = set("\x85\u2028\u2029")  # beside the common one


def _setting(
    default: Any,
    what: str,
    group: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Iterable[str] = (),
) -> Any:
    limits = {"low": low, "high": high, "above": above, "below": below}
    metadata = {"what": what, "group": group, "choices": tuple(choices)}
    return field(default=default, metadata=metadata | {k: v for k, v in limits.items() if v is not None})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All that a run is made of; equal recipes on equal data and hardware give equal weights.

    Every setting is documented on the page of all settings. Wrong ones raise a ValueError or TypeError of one
    sentence that names the setting.

    Example:
        >>> recipe = Recipe.named("digits").with_settings(epochs=2, arm="ce")
        >>> recipe.epochs, recipe.arm, recipe.model
        (2, 'ce', 'small')
    """

    name: str = _setting("", "What the recipe is called.", "Recipe")
    about: str = _setting("", "What it is for, in a sentence.")

    data: str = _setting(
        "digits",
        "A data set by name (`cifar100`, `caltech101`, `fashion-mnist`, `digits`) or a folder of images.",
        "Data",
    )
    image_size: int | None = _setting(
        None, "Pixels a side; by default the data set's, or 224 for photographs.", low=4
    )
    val_fraction: float = _setting(
        0.1, "Share of the training images of each class held out for validation.", low=0, below=1
    )
    test_fraction: float = _setting(
        0.2, "Share of each class held out for testing, where the data has no test part.", low=0, below=1
    )
    per_class: int | None = _setting(None, "Training images of each class; by default all.", low=1)
    label_noise: float | str = _setting(
        0.0,
        "Share of training and validation labels that are replaced by another class, or a CSV file with a matrix "
        "of shares: a row for each true class, a column for each given one.",
    )
    clean: float = _setting(
        0.0,
        "Share of the training images left out before training, those whose label a cross-validated network "
        "believes least.",
        low=0,
        below=1,
    )
    imbalance: float = _setting(
        1.0, "How many times more training images the first class has than the last (long tail).", low=1
    )
    holdout_classes: int = _setting(0, "Classes, drawn by seed, that the network never sees.", low=0)
    target: str = _setting(
        "class",
        "What is learned: `class`, `coarse` (CIFAR-100's super-classes), `groups:K` (classes thrown into K "
        "groups by seed), or `FILE.csv:COLUMN` with a column `file`.",
    )
    read_out: str = _setting(
        "",
        "Coarser classes that a comparison measures a network by, as `target` names them (`coarse`, `groups:K`): "
        "the probabilities of a group's classes are added up. Training does not change.",
    )
    term_labels: str = _setting(
        "target",
        "The labels that the terms are given: `target`, `fine` (the classes, where the target is coarser), "
        "`kmeans:K` (clusters of the features) or `FILE.csv:COLUMN`.",
    )
    cluster_every: int = _setting(
        5, "Epochs between renewals of `kmeans:K` on the network's own features; frozen ones need none.", low=1
    )
    augment: str = _setting(
        "none",
        "`none`; `flip` (left to right); `shift` (crop after padding by an eighth of the side); `shift-flip`, "
        "the paper's; `resized-crop` (a quarter to all of the area, and flip).",
        choices=AUGMENTATIONS,
    )
    normalise: str = _setting(
        "auto",
        "`none` (pixels in [0, 1], the paper's), `data` (the training set's mean and deviation a channel), "
        "`auto` (what pretrained weights expect, otherwise `data`).",
        choices=("auto", "data", "none"),
    )

    model: str = _setting(
        "small",
        "`small`, `resnet17`, `resnet18`, `resnet50`, `cvt13`, `efficientnet-lite0`, `torchvision/NAME`, "
        "`timm/NAME` or `package.module:function`.",
        "Network",
    )
    width: int | None = _setting(
        None, "Channels of the first stage, for thin versions of our own networks; by default the paper's.", low=1
    )
    pretrained: bool | None = _setting(
        None,
        "Start from pretrained weights; by default where they need no network connection (efficientnet-lite0).",
    )
    dropout: float = _setting(0.0, "Dropout before the classifier.", low=0, below=1)
    head: int = _setting(
        0, "Features of a hidden layer (linear, batch norm, ReLU) put before the classifier; 0 for none.", low=0
    )
    freeze: str = _setting(
        "none",
        "`none`, `backbone` (all but the classifier and its hidden layer) or a layer up to which nothing learns. "
        "Without augmentation the frozen part's output is computed once and kept.",
    )
    layers: tuple[str, ...] = _setting((), "The tapped layers; by default what the classifier reads.")

    arm: str = _setting(
        arms.RECOMMENDED,
        "What is trained. Cross-entropy and the terms: `gini` (the paper's), `entropy` (its alternative), "
        "`renyi`, `shannon` (scale-free) or `recommended` (by the number of classes); cross-entropy alone: `ce`; "
        f"a rival: {', '.join(f'`{name}`' for name in arms.RIVALS)}; or your own, `package.module:function`. "
        "[The arms](arms.md) has a card of each.",
        "Loss",
    )
    strength: float | None = _setting(
        None, "The arm's own weight, of a rival or of your own arm; by default the arm's.", low=0
    )
    impurity_weight: float | tuple[float, ...] | None = _setting(
        None, "Weight of the impurity, one number or one a layer; by default the arm's.", low=0
    )
    kl_weight: float | tuple[float, ...] | None = _setting(
        None, "Weight of the coverage divergence, one number or one a layer; by default the arm's.", low=0
    )
    damping: float | None = _setting(None, "Keeps features from dying; by default the arm's.", low=0)
    prior: str = _setting(
        "batch",
        "How the features shall be spread over the classes: as in each batch (the paper's), as in the training "
        "set, or evenly.",
        choices=("batch", "train", "uniform"),
    )
    start_epoch: int = _setting(1, "The first epoch with the terms, counted from 1.", low=1)
    ramp_epochs: int = _setting(0, "Epochs over which their weights rise.", low=0)
    memory: float = _setting(0.0, "Momentum of running class means; 0 keeps none.", low=0, below=1)

    epochs: int = _setting(30, "Passes over the training images.", "Training", low=1)
    batch_size: int = _setting(128, "Images a step, over all devices together.", low=1)
    optimizer: str = _setting("sgd", "`sgd`, `adamw` or `adamax`.", choices=("sgd", "adamw", "adamax"))
    learning_rate: float = _setting(0.1, "The highest learning rate.", above=0)
    momentum: float = _setting(0.9, "Of `sgd`.", low=0, below=1)
    weight_decay: float = _setting(5e-4, "On all parameters that learn.", low=0)
    schedule: str = _setting(
        "cosine",
        "`constant`, `cosine` (a step at a time, down to `final_learning_rate`) or `steps` (at `milestones`).",
        choices=("constant", "cosine", "steps"),
    )
    warmup_epochs: float = _setting(0.0, "Epochs over which the learning rate rises from 0.", low=0)
    final_learning_rate: float = _setting(0.0, "Where `cosine` ends.", low=0)
    milestones: tuple[int, ...] = _setting((), "Epochs after which `steps` multiplies the learning rate.", low=1)
    decay: float = _setting(0.2, "What `steps` multiplies by.", above=0, high=1)
    seed: int = _setting(
        0, "Fixes split, wrong labels, initial weights, the order of the images and augmentation.", low=0
    )

    accelerator: str = _setting("auto", "As Lightning has it: `auto`, `cpu`, `gpu`, `mps`, ...", "Machine")
    devices: int | str = _setting("auto", "Devices a node, as Lightning has it.")
    nodes: int = _setting(1, "Nodes.", low=1)
    precision: str = _setting(
        "auto",
        "`auto` (bfloat16 or float16 where the hardware is fast at it), `32`, `bf16` or `16`.",
        choices=("auto", "32", "bf16", "16"),
    )
    threads: int | None = _setting(None, "Threads of the CPU; by default as many as torch takes.", low=1)
    log_every: int = _setting(50, "Steps between two rows of `metrics.csv`.", low=1)
    loggers: tuple[str, ...] = _setting(
        ("tensorboard",), "Besides `metrics.csv`: `tensorboard`, `wandb`, `mlflow`, `comet`, `neptune`."
    )

    def __post_init__(self) -> None:
        for one in fields(self):
            value = values.taken(one.name, getattr(self, one.name), _types()[one.name], one.metadata)
            object.__setattr__(self, one.name, value)
        if isinstance(self.label_noise, float) and not 0 <= self.label_noise < 1:
            raise ValueError(
                f"label_noise: got {self.label_noise:g}, expected a share of at least 0 and below 1, or a file; "
                "0.4 replaces 40% of the labels."
            )
        arms.check(self.arm, self.strength)
        if self.schedule == "steps" and not self.milestones:
            raise ValueError(
                "milestones: got none with schedule=steps, expected the epochs at which the learning rate falls; "
                "set milestones, as 60,120,160."
            )
        if self.prior == "train" and self.term_labels.startswith("kmeans"):
            raise ValueError(
                f"prior: got 'train' with term_labels={self.term_labels}, expected 'batch' or 'uniform', as the "
                "sizes of clusters are not known before; set one of them."
            )
        if self.freeze == "backbone" and not self.head and arms.moves_features(self.arm):
            raise ValueError(
                f"freeze: got 'backbone' with head=0 and arm={self.arm}, expected features that learn, since "
                "that arm cannot move frozen ones; set head=512, or arm=ce."
            )

    @classmethod
    def named(cls, name: str | Path) -> Self:
        """A recipe that ships, by name, or one of a YAML file (also the `recipe.yaml` of a run).

        Raises:
            ValueError, TypeError: no such recipe or file, or a setting at fault.
        """
        path = Path(name)
        if path.suffix in (".yaml", ".yml"):
            return cls.from_yaml(_read(path), str(path))
        if str(name) not in recipe_names():
            raise ValueError(
                f"recipe: got {str(name)!r}, expected the name of a recipe that ships or a .yaml file; "
                f"{checks.nearest(str(name), recipe_names())}"
            )
        return cls.from_yaml((_folder() / f"{name}.yaml").read_text(), str(name))

    @classmethod
    def from_yaml(cls, text: str, source: str = "recipe") -> Self:
        """A recipe of YAML text; what is left out keeps its default.

        Raises:
            ValueError, TypeError: no mapping of settings, or a setting at fault.
        """
        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise ValueError(
                f"recipe: {source!r} is no YAML ({reason}), expected lines of `setting: value`; mend it."
            ) from error
        if not isinstance(found, dict):
            raise ValueError(
                f"recipe: {source!r} holds {checks.describe(found)}, expected lines of `setting: value`; mend it."
            )
        found.pop(MADE_WITH, None)
        return cls().with_settings(**{str(key): value for key, value in found.items()})

    def with_settings(self, **settings: Any) -> Self:
        """The same recipe with other settings.

        Raises:
            ValueError, TypeError: an unknown setting (the nearest are named), or a value at fault.
        """
        for name in settings:
            if name not in _types():
                raise ValueError(
                    f"{name}: no setting has that name, expected one of the recipe's; "
                    f"{checks.nearest(name, _types())}"
                )
        return replace(self, **settings)

    def with_texts(self, texts: Iterable[str]) -> Self:
        """The same recipe with settings written as `key=value`, as on the command line.

        Example:
            >>> Recipe().with_texts(["epochs=3", "milestones=1,2", "per_class=5"]).milestones
            (1, 2)
        """
        found: dict[str, Any] = {}
        for text in texts:
            name, sign, value = text.partition("=")
            if not sign or not name:
                raise ValueError(f"set: got {text!r}, expected key=value; as in --set epochs=10.")
            found[name.strip().replace("-", "_")] = yaml.safe_load(value) if value.strip() else ""
        return self.with_settings(**found)

    def as_dict(self) -> dict[str, Any]:
        """Every setting, in plain types."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def to_yaml(self, made_with: Mapping[str, Any] | None = None) -> str:
        """The whole recipe as YAML, under its groups, `made_with` after it; `Recipe.from_yaml` takes it back."""
        parts: list[str] = []
        for one in fields(self):
            if one.metadata["group"]:
                parts.append(f"\n# {one.metadata['group']}\n" if parts else f"# {one.metadata['group']}\n")
            parts.append(_line(one.name, self.as_dict()[one.name]))
        if made_with is not None:
            found = _dumped({MADE_WITH: dict(made_with)}, sort_keys=False, width=110)
            parts.append("\n# What the run was made with; not a setting\n" + found)
        return "".join(parts)


@cache
def recipe_names() -> list[str]:
    """The names of the recipes that ship."""
    return sorted(one.name.removesuffix(".yaml") for one in _folder().iterdir() if one.name.endswith(".yaml"))


def settings() -> list[Field[Any]]:
    """The settings with their documentation, for pages made from the recipe."""
    return list(fields(Recipe))


def type_text(name: str) -> str:
    """A setting's type in words."""
    return values.type_words(_types()[name])


@cache
def _types() -> dict[str, Any]:
    return get_type_hints(Recipe)


def _folder() -> Any:
    return files("torchdiscern.lab") / "recipes"


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no text"
        raise ValueError(
            f"recipe: {str(path)!r} could not be read ({reason}), expected a YAML file; mend the path."
        ) from error


def _dumped(value: Any, **options: Any) -> str:
    """YAML that is readable, and gives back what was written: some line ends it would read as spaces."""
    text: str = yaml.safe_dump(value, allow_unicode=True, **options)
    return text if not LINE_ENDS & set(text) else yaml.safe_dump(value, allow_unicode=False, **options)


def _line(name: str, value: Any) -> str:
    text = _dumped(value, default_flow_style=True, width=10**6)
    return f"{name}: {text.removesuffix('...' + chr(10)).strip(chr(10))}\n"
