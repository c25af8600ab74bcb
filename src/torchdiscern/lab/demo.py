"""The demo: three arms on the same batches, a table of what changed, and the feature report of its networks.

For each seed every arm starts from the same weights and takes each step on the same batch, one arm after the
other, so that all differences are the loss's. All seeds share one split, so that they are independent repetitions
of training on these images; what other images would give, they do not say. The test images choose nothing.
"""

import copy
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from safetensors.torch import load_file, save
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn.functional import cross_entropy

from torchdiscern import DiscriminabilityLoss, FeatureTap, functional
from torchdiscern.lab import arms, data, environment, files
from torchdiscern.lab.evidence import paired_difference
from torchdiscern.lab.networks.small import SmallConvNet
from torchdiscern.lab.recipe import Recipe
from torchdiscern.lab.tables import arms_table, verdicts

BASELINE = "cross-entropy"
RECIPE = Recipe.named("digits")
ARMS = {BASELINE: None, "paper's terms": arms.TERMS["gini"], "scale-free": arms.TERMS["renyi"]}
KEPT = (0, 1)  # seeds whose networks stay: those of the report, and the pair by which it judges differences


@dataclass(frozen=True)
class Settings:
    """What the demo runs, by default with the recipe `digits`; equal settings on equal images give equal numbers.

    `data` is a folder with one folder of images a class; None stands for scikit-learn's handwritten digits.
    """

    data: str | None = None
    seeds: int = 5
    epochs: int = RECIPE.epochs
    label_noise: float = 0.0
    batch_size: int = RECIPE.batch_size
    learning_rate: float = RECIPE.learning_rate
    weight_decay: float = RECIPE.weight_decay
    test_share: float = RECIPE.test_fraction
    image_size: int = 48
    width: int = RECIPE.width or 64

    def __post_init__(self) -> None:
        for name in ("seeds", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, expected at least 1.")
        if not 0 <= self.label_noise < 1:
            raise ValueError(
                f"label_noise: got {self.label_noise}, expected a share in [0, 1); 0.3 replaces 30% of labels."
            )


@dataclass
class Arm:
    """One arm of one seed while it trains."""

    model: SmallConvNet
    criterion: DiscriminabilityLoss | None
    tap: FeatureTap
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    seconds: list[float] = field(default_factory=list)

    def step(self, images: Tensor, labels: Tensor) -> None:
        start = time.perf_counter()
        loss = cross_entropy(self.model(images), labels)
        if self.criterion is not None:
            loss = loss + self.criterion(self.tap.features, labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.seconds.append(time.perf_counter() - start)


def run_demo(settings: Settings, out: Path, *, overwrite: bool = False, console: Console | None = None) -> Path:
    """Trains what is missing, prints the table and writes `results.json`, `report.html` and `features.svg`.

    Finished results of the same settings are shown, not made again; those of other settings are left alone
    unless `overwrite`.

    Args:
        settings: what to run.
        out: the folder of the results.
        overwrite: replace results that are there.
        console: where to print.

    Returns:
        The page.

    Raises:
        ValueError, OSError: with one sentence, on bad images, settings or folders.
    """
    console = console or Console()
    target = out / "results.json"
    with (
        environment.one_thread(),
        Progress(*Progress.get_default_columns(), console=console, transient=True) as progress,
    ):
        images = _load(settings, progress)
        files.make_folder(out, "out")
        results = _started(target, settings, images, overwrite, console)
        steps = settings.epochs * _batches(settings, len(_split(images, settings)[0]))
        missing = [seed for seed in range(settings.seeds) if not _has(results, seed)]
        if missing:
            progress.print(
                f"Training {len(missing) * len(ARMS)} networks: {len(ARMS)} arms, {len(missing)} seed(s), "
                f"{settings.epochs} epoch(s); results go to {escape(str(out))}.",
                soft_wrap=True,
            )
        bar = progress.add_task("Training", total=max(1, len(missing) * steps))
        for seed in missing:
            progress.update(bar, description=f"Seed {seed + 1} of {settings.seeds}, {len(ARMS)} arms")
            runs, networks = train_seed(images, settings, seed, lambda: progress.advance(bar))
            if seed == 0:
                target.unlink(missing_ok=True)  # no old numbers beside new networks
            if seed in KEPT:
                files.write_atomically(_networks_file(out, seed), _packed(networks))
            results["runs"] += runs
            results["finished"] = all(_has(results, s) for s in range(settings.seeds))
            results["contrasts"] = _contrasts(results["runs"])
            files.write_atomically(target, json.dumps(results, indent=2, allow_nan=False))
            if not console.is_terminal:  # where no bar moves, a line a seed
                console.print(f"Seed {seed + 1} of {settings.seeds} is done.")
        page = _write_report(results, images, settings, out, console)
    console.print(arms_table(results))
    for sentence in verdicts(results):
        console.print(sentence, markup=False)
    console.print(f"Numbers: {target}\nPage:    {page}", soft_wrap=True, markup=False)
    return page


def train_seed(
    images: data.Images, settings: Settings, seed: int, advance: Callable[[], None] = lambda: None
) -> tuple[list[dict[str, Any]], dict[str, SmallConvNet]]:
    """Trains every arm of one seed in step; gives their metrics and the networks.

    The seed fixes label noise, initial weights and the order of the images, for all arms alike; the split is one
    for all seeds.
    """
    train, test = _split(images, settings)
    generator = torch.Generator().manual_seed(seed)
    labels = _with_noise(images.labels, settings.label_noise, len(images.classes), generator)
    pixels = _normalised(images.tensor(), *_mean_and_std(images, train))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        start = SmallConvNet(pixels.shape[1], len(images.classes), settings.width)
    batches = _batches(settings, len(train))
    arms = {name: _arm(start, name, settings, batches) for name in ARMS}
    order = list(arms.values())
    for _ in range(settings.epochs):
        shuffled = train[torch.randperm(len(train), generator=generator)]
        for rows in shuffled[: batches * settings.batch_size].chunk(batches):
            for arm in order:
                arm.step(pixels[rows], labels[rows])
            order = order[1:] + order[:1]  # no arm always comes first
            advance()
    base = arms[BASELINE]
    runs = []
    for name, arm in arms.items():
        metrics = evaluate(arm.model, pixels[test], images.labels[test], len(images.classes))
        ratios = [ours / plain for ours, plain in zip(arm.seconds, base.seconds, strict=True)]
        metrics["milliseconds_per_step"] = 1000 * statistics.median(arm.seconds)
        metrics["time_ratio"] = statistics.median(ratios)
        runs.append({"arm": name, "seed": seed, "metrics": metrics, "settings": ARMS[name] or {}})
    return runs, {name: arm.model for name, arm in arms.items()}


@torch.no_grad()
def evaluate(model: SmallConvNet, pixels: Tensor, labels: Tensor, num_classes: int) -> dict[str, float]:
    """Metrics of a trained network on test images."""
    model.eval()
    with FeatureTap(model, "features", pool=True) as tap:
        found = []
        logits = []
        for batch in pixels.split(512):
            logits.append(model(batch))
            found.append(tap.features["features"])
    features, scores = torch.cat(found), torch.cat(logits)
    terms = functional.terms(features, labels, num_classes)
    return {
        "accuracy": float((scores.argmax(1) == labels).float().mean()),
        "negative_log_likelihood": float(cross_entropy(scores, labels)),
        "impurity": float(terms.impurity),
        "coverage_divergence": float(terms.coverage_divergence),
        "dead_features": int((features == 0).all(0).sum()),
    }


def _write_report(
    results: dict[str, Any], images: data.Images, settings: Settings, out: Path, console: Console
) -> Path:
    from torchdiscern.lab import demo_page  # here, so that what is wrong with the settings does not wait for it

    train, test = _split(images, settings)
    trained = {seed: _unpacked(_networks_file(out, seed), images, settings) for seed in KEPT[: settings.seeds]}
    pair = {f"{BASELINE}, seed {seed}": networks[BASELINE] for seed, networks in trained.items()}
    shown = demo_page.Shown(images, test.sort().values, *_mean_and_std(images, train))
    return demo_page.write_report(results, trained[KEPT[0]], pair, shown, out, console)


def _networks_file(out: Path, seed: int) -> Path:
    return out / f"networks-{seed}.safetensors"


def _packed(networks: dict[str, SmallConvNet]) -> bytes:
    """The weights of every arm in one file, so that all of a seed are there or none."""
    return save(
        {f"{arm}/{key}": one for arm, model in networks.items() for key, one in model.state_dict().items()}
    )


def _unpacked(file: Path, images: data.Images, settings: Settings) -> dict[str, SmallConvNet]:
    found = load_file(file)
    networks = {arm: SmallConvNet(images.pixels.shape[1], len(images.classes), settings.width) for arm in ARMS}
    for arm, network in networks.items():
        network.load_state_dict({key: found[f"{arm}/{key}"] for key in network.state_dict()})
    return networks


def _arm(start: SmallConvNet, name: str, settings: Settings, batches: int) -> Arm:
    model = copy.deepcopy(start).train()
    options = ARMS[name]
    criterion = DiscriminabilityLoss(start.classifier.out_features, **options) if options else None
    tap = FeatureTap(model, "features", pool=True)
    if criterion is not None:
        tap.attach()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=settings.learning_rate, momentum=0.9, weight_decay=settings.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.epochs * batches
    )
    return Arm(model, criterion, tap, optimizer, schedule)


def _load(settings: Settings, progress: Progress) -> data.Images:
    if settings.data is None:
        return data.digits()
    images = data.read_folder(
        Path(settings.data),
        settings.image_size,
        progress=lambda paths: progress.track(list(paths), description="Reading"),
        in_memory=True,
    )
    if images.findings:
        progress.console.print(data.findings_table(images.findings))
    counts = images.labels.bincount(minlength=len(images.classes)).tolist()
    small = [(name, count) for name, count in zip(images.classes, counts, strict=True) if count < 2]
    if small:
        raise ValueError(
            f"data: class {small[0][0]!r} has {small[0][1]} image(s), expected at least two, one to train and "
            f"one to test on ({len(small)} such class(es)); add images or remove the folder."
        )
    return images


def _split(images: data.Images, settings: Settings) -> tuple[Tensor, Tensor]:
    train, test = train_test_split(
        torch.arange(len(images.labels)),
        test_size=settings.test_share,
        stratify=images.labels,
        random_state=0,
    )
    return train, test


def _batches(settings: Settings, images: int) -> int:
    return max(1, images // settings.batch_size)


def _with_noise(labels: Tensor, share: float, num_classes: int, generator: torch.Generator) -> Tensor:
    wrong = torch.rand(len(labels), generator=generator) < share
    return torch.where(wrong, torch.randint(num_classes, labels.shape, generator=generator), labels)


def _mean_and_std(images: data.Images, train: Tensor) -> tuple[Tensor, Tensor]:
    """Of each channel, over the training images, in [0, 1]."""
    values = images.pixels[train].float() / 255
    return values.mean((0, 2, 3)), values.std((0, 2, 3)).clamp_min(1e-6)


def _normalised(pixels: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (pixels.float() / 255 - mean.view(1, -1, 1, 1)) / std.view(1, -1, 1, 1)


def _has(results: dict[str, Any], seed: int) -> bool:
    return {run["arm"] for run in results["runs"] if run["seed"] == seed} == set(ARMS)


def _started(
    target: Path, settings: Settings, images: data.Images, overwrite: bool, console: Console
) -> dict[str, Any]:
    """The results so far: those in the folder where they are of the same settings, else none."""
    fresh = {
        "settings": asdict(settings),
        "data": {
            "name": images.name,
            "images": len(images.labels),
            "classes": images.classes,
            "fingerprint": images.fingerprint,
        },
        "arms": ARMS,
        "baseline": BASELINE,
        "finished": False,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "runs": [],
        "contrasts": [],
    }
    if not target.exists():
        return fresh
    if overwrite:
        console.print(f"Replacing the results in {target.parent}, as --overwrite asks.", markup=False)
        return fresh
    try:
        kept: dict[str, Any] = json.loads(target.read_text())
        same = all(kept[key] == fresh[key] for key in ("settings", "data", "arms", "versions"))
    except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"out: {str(target)!r} holds something else than results of the demo, expected none or its own; "
            "choose another folder with --out, or replace them with --overwrite."
        ) from error
    if not same:
        raise ValueError(
            f"out: {str(target.parent)!r} holds results of other settings, images, arms or versions, expected "
            "none or the same; choose another folder with --out, or replace them with --overwrite."
        )
    seeds = {run["seed"] for run in kept["runs"]}
    gone = [
        file.name for seed in KEPT if seed in seeds and not (file := _networks_file(target.parent, seed)).exists()
    ]
    if gone:
        older = " (an earlier version kept pictures.npz, which shows too little now)"
        raise ValueError(
            f"out: {gone[0]} is not in {str(target.parent)!r}, expected it beside its results"
            f"{older if (target.parent / 'pictures.npz').exists() else ''}; choose another folder with --out, or "
            "replace the results with --overwrite."
        )
    if kept["finished"]:
        console.print(
            f"{target.parent} holds the finished results of {kept['started']}; they are shown below and "
            "nothing was trained (--overwrite trains again, --out chooses another folder).",
            soft_wrap=True,
            markup=False,
        )
    else:
        console.print(f"Going on where {target.parent} was left, after {len(seeds)} seed(s).", markup=False)
    return kept


def _contrasts(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    by_arm = {arm: sorted((r for r in runs if r["arm"] == arm), key=lambda r: r["seed"]) for arm in ARMS}
    contrasts = []
    for arm in ARMS:
        if arm == BASELINE:
            continue
        for metric in by_arm[arm][0]["metrics"]:
            ours, plain = ([run["metrics"][metric] for run in by_arm[a]] for a in (arm, BASELINE))
            found = paired_difference(ours, plain)
            numbers = {name: None if value != value else value for name, value in asdict(found).items()}
            contrasts.append(
                {"arm": arm, "baseline": BASELINE, "metric": metric, **numbers, "verdict": found.verdict}
            )
    return contrasts
