"""What is compared: a recipe, arms, seeds, how they are tuned and what is measured."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torchdiscern import checks
from torchdiscern.lab import arms as arm_table
from torchdiscern.lab.comparing.tuning import space_of
from torchdiscern.lab.measures import ATTACKED, measure_of
from torchdiscern.lab.measures.everything import OF_TEST
from torchdiscern.lab.measures.removal import SHARES
from torchdiscern.lab.measures.table import DETECTORS, OF_FEATURES, OF_PIXELS
from torchdiscern.lab.recipe import Recipe
from torchdiscern.lab.training.measure import KS
from torchdiscern.lab.training.prepared import MACHINE

BASELINE = "ce"
TUNING_SEED = 10_000  # the first of the seeds that tuning sees, and no run after it
BAND = 0.2  # points of accuracy
TESTED = ("data", "image_size", "test_fraction", "holdout_classes")  # what the test images hang on
LEARNED = ("val_fraction", "per_class", "imbalance", "label_noise")  # and those that are learned from
NOT_JUDGED = ("step_ms", "memory_mb", "images")  # shown, but no question that the comparison asks


@dataclass(frozen=True)
class Design:
    """The plan of a comparison.

    Args:
        recipe: what all arms share.
        arms: name of each arm to the recipe's settings that make it.
        seeds: of the runs; each fixes split, wrong labels, initial weights, data order and augmentation.
        baseline: the arm that the others are compared with.
        tune: trials for each arm; 0 takes the arms as they are.
        tuning_seeds: seeds whose validation images choose, and that no run uses.
        robust: whether every run is attacked.
        attacked: test images that are then attacked.
        cross_validated: whether wrong labels are also looked for by cross-validation.
        named: the one contrast, arm and measure, that was named before the runs.
        band: differences in accuracy that make no difference in practice, in points.
    """

    recipe: Recipe
    arms: Mapping[str, Mapping[str, Any]]
    seeds: tuple[int, ...]
    baseline: str = BASELINE
    tune: int = 0
    tuning_seeds: tuple[int, ...] = (TUNING_SEED,)
    robust: bool = False
    attacked: int = ATTACKED
    cross_validated: bool = False
    named: tuple[str, str] | None = None
    band: float = BAND
    keep_weights: bool = False
    machine: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.baseline not in self.arms:
            raise ValueError(
                f"baseline: got {self.baseline!r}, which is none of the arms, expected one of "
                f"{', '.join(self.arms)}; add it to --arms."
            )
        if not self.seeds:
            raise ValueError("seeds: got none, expected at least one; five are the fewest that say something.")
        shared = sorted(set(self.seeds) & set(self.tuning_seeds))
        if self.tune and shared:
            raise ValueError(
                f"seeds: got {shared[0]}, on which the arms are tuned, expected others; seeds below "
                f"{TUNING_SEED} are free."
            )
        if self.named is not None and self.named[0] not in self.arms:
            raise ValueError(
                f"named: got the arm {self.named[0]!r}, expected one of {', '.join(self.arms)}; mend --named."
            )
        checks.check_number(self.band, "band")
        checks.check_whole(self.attacked, "attacked", low=1, hint="pass how many test images to attack")
        checks.check_whole(self.tune, "tune", low=0, hint="pass the number of trials, 0 for none")
        keys: dict[str, str] = {}
        for arm in self.arms:
            other = keys.setdefault(key_of(arm, 0), arm)
            if other != arm:
                raise ValueError(
                    f"arms: got {other!r} and {arm!r}, whose folders would have one name, expected names that "
                    "differ in letters, digits or ._+=-; rename one."
                )
        self._check_named()
        for arm in self.arms:
            self._check_tested(arm)

    def _check_tested(self, arm: str) -> None:
        """Says now what is wrong with an arm, and what would measure it on other images or other classes."""
        recipe = self.recipe_of(arm, self.seeds[0])
        for name in (*TESTED, *LEARNED):
            own, shared = getattr(recipe, name), getattr(self.recipe, name)
            if own != shared:
                images = "test images" if name in TESTED else "training images and labels"
                raise ValueError(
                    f"arms: got {arm!r} with {name}={own!r}, expected {shared!r} as the comparison has it, since "
                    f"its {images} must be those of all arms; set it for all with --set."
                )
        own, shared = recipe.read_out or recipe.target, self.recipe.read_out or self.recipe.target
        if own != shared:
            raise ValueError(
                f"arms: got {arm!r}, which is measured by target={own!r}, expected {shared!r} as the comparison "
                f"has it; add read_out={shared} to the arm, or set the target for all with --set."
            )

    def _check_named(self) -> None:
        if self.named is None:
            return
        arm, metric = self.named
        measure_of(metric)
        if arm == self.baseline or metric in NOT_JUDGED:
            what = "the baseline" if arm == self.baseline else f"{metric}, which is not judged"
            raise ValueError(
                f"named: got {what}, expected another arm and a measure that is judged, as renyi:accuracy; mend "
                "--named."
            )
        if metric.startswith("robust_") and not self.robust:
            raise ValueError(
                f"named: got {metric} where nothing is attacked, expected --robust beside it; add it, or name "
                "another measure."
            )
        known = expected(self)
        if metric not in known:
            raise ValueError(
                f"named: got {metric}, which these runs will not have, expected one of "
                f"{', '.join(sorted(known))}; mend --named, or set what it asks for, as holdout_classes."
            )

    def recipe_of(self, arm: str, seed: int, tuned: Mapping[str, float] | None = None) -> Recipe:
        """The recipe of one run."""
        own = dict(self.arms[arm])
        return self.recipe.with_settings(**own | dict(tuned or {}) | dict(self.machine) | {"seed": seed})

    def space(self, arm: str) -> dict[str, tuple[float, float, bool]]:
        """What tuning draws for an arm."""
        found: dict[str, tuple[float, float, bool]] = space_of(self.recipe, self.arms[arm], own_space(arm, self))
        return found

    def defaults(self, arm: str) -> dict[str, float]:
        """Where tuning begins."""
        recipe = self.recipe_of(arm, self.seeds[0])
        shared = {name: getattr(recipe, name) for name in ("learning_rate", "weight_decay", "dropout")}
        return shared | arm_table.defaults_of(recipe) | {k: v for k, v in self.arms[arm].items() if _is_number(v)}


def expected(design: Design) -> set[str]:
    """The measures that the runs of a design will have, beside those that are not judged."""
    recipe = design.recipe
    cached = recipe.freeze != "none" and recipe.augment == "none"
    found = set(OF_TEST) | {f"k_feature_accuracy_{k}" for k in KS} | {f"accuracy_without_{one}" for one in SHARES}
    if recipe.holdout_classes:
        found |= {"few_shot_accuracy", "ood_auroc", "ood_auroc_logit"}
    if recipe.label_noise:
        there = {"cross_validated": design.cross_validated, "means_frozen": cached}
        found |= {
            f"wrong_{kind}_{one}" for kind in ("auroc", "p100") for one in DETECTORS if there.get(one, True)
        }
    if design.robust:
        for norm, radii in (OF_FEATURES if cached else OF_PIXELS).items():
            found |= {f"robust_{norm}_{radius}" for radius in radii}
    return found


def own_space(arm: str, design: Design) -> Mapping[str, tuple[float, float]]:
    """The ranges of an arm's own weights: of the arm in the table, else of the loss that it names."""
    settings = design.arms[arm]
    try:
        found = arm_table.space_of(arm)
    except ValueError:
        found = arm_table.space_of(str(settings.get("arm", design.recipe.arm)))
    # what a user has fixed in an arm of his own stays fixed
    ships = all(part in arm_table.ARMS for part in arm.split("+")) and settings == arm_table.settings_of(arm)
    fixed = set() if ships else set(settings)
    return {name: limits for name, limits in found.items() if name not in fixed}


def chosen_arms(names: Iterable[str], own: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """Arms of the table by name (joined by + where wanted), and a user's own as `NAME:key=value,key=value`.

    Raises:
        ValueError: no such arm, or a setting at fault.

    Example:
        >>> chosen_arms(["ce"], ["clusters:arm=renyi,term_labels=kmeans:100"])["clusters"]
        {'arm': 'renyi', 'term_labels': 'kmeans:100'}
    """
    found: dict[str, dict[str, Any]] = {}
    for name in filter(None, map(str.strip, names)):
        theirs = ":" in name and name not in arm_table.ARMS  # package.module:function
        found[name] = {"arm": name} if theirs else dict(arm_table.settings_of(name))
    for text in own:
        name, sign, settings = text.partition(":")
        if not sign or not name or "=" not in settings:
            raise ValueError(
                f"arm: got {text!r}, expected NAME:key=value,key=value; as in "
                "--arm clusters:arm=renyi,term_labels=kmeans:100."
            )
        if name.strip() in arm_table.ARMS:
            raise ValueError(
                f"arm: got {name.strip()!r} for an arm of your own, which ships by that name, expected another; "
                f"rename it, as my-{name.strip()}."
            )
        if name.strip() in found:
            raise ValueError(f"arm: got {name.strip()!r} twice, expected a name for each; rename one.")
        texts = re.split(r",\s*(?=[a-z_-]+=)", settings)
        recipe = Recipe().with_texts(texts)
        found[name.strip()] = {
            key: getattr(recipe, key)
            for key in (one.partition("=")[0].strip().replace("-", "_") for one in texts)
        }
    if not found:
        raise ValueError("arms: got none, expected some; as in --arms ce,gini,renyi.")
    return found


def differs(recipe: Recipe, other: Recipe) -> str | None:
    """The first setting in which two recipes are not the same run, if there is one."""
    mine, others = recipe.as_dict(), other.as_dict()
    return next((name for name in mine if mine[name] != others[name] and name not in MACHINE), None)


def key_of(arm: str, seed: int) -> str:
    """The name of a run's folder and record."""
    return f"{re.sub(r'[^A-Za-z0-9_.+=-]', '_', arm)}-{seed}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
