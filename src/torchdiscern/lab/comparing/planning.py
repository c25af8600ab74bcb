"""What a comparison will take and what it can show, said before anything is trained."""

import statistics
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from torchdiscern.lab.comparing.design import NOT_JUDGED, Design, expected, key_of
from torchdiscern.lab.comparing.folder import Folder
from torchdiscern.lab.comparing.task import images_of, in_words
from torchdiscern.lab.comparing.tuning import Tuning
from torchdiscern.lab.evidence import seeds_needed, smallest_difference
from torchdiscern.lab.measures.robust import STEPS_AT_MOST
from torchdiscern.lab.training.cleaning import FOLDS
from torchdiscern.lab.training.durations import duration
from torchdiscern.lab.training.plan import plan

SPREAD = 0.5  # points: the deviation of paired differences that is assumed until runs have shown it
ALPHA = 0.05
START = 3.0  # seconds that each run takes besides training: building, reading, measuring


def say_plan(design: Design, folder: Folder, console: Console, jobs: int, difference: float) -> dict[str, Any]:
    """Prints runs, hours and the smallest difference that the seeds can show.

    Args:
        design: what is compared.
        folder: where; what is done there is counted off.
        console: where to print.
        jobs: runs at once.
        difference: points of accuracy for which the seeds needed are said.

    Returns:
        The same as numbers: `runs`, `trials`, `seconds`, `spread`, `smallest` and `needed` of the contrast in
        accuracy that was named, else after correction for the `contrasts` of the comparison.
    """
    records = folder.records()
    missing = {arm: [seed for seed in design.seeds if key_of(arm, seed) not in records] for arm in design.arms}
    ended = dict.fromkeys(design.arms, 0)
    if design.tune and folder.tuning_file.exists():
        ended = {arm: len(Tuning(folder.tuning_file, arm, None, design.tune).done) for arm in design.arms}
    trials = {arm: max(0, design.tune - ended[arm]) * len(design.tuning_seeds) for arm in design.arms}
    runs = sum(map(len, missing.values()))
    with console.status("Timing a few steps of each arm"):
        seconds = {arm: _seconds(design, arm, records) for arm, seeds in missing.items() if seeds}
    total = sum(len(missing[arm]) * run + trials[arm] * trial for arm, (run, trial) in seconds.items())
    spread, known = _spread(design, records)
    count = len(design.seeds)
    contrasts = _contrasts(design, records)
    # a verdict asks for an interval beyond the band, and for a p-value that stands after correction
    rules = ((ALPHA, design.band), (ALPHA / contrasts, 0.0))
    found = {
        "runs": runs,
        "contrasts": contrasts,
        "trials": sum(trials.values()),
        "seconds": total / jobs,
        "spread": spread,
        "smallest": max(smallest_difference(count, spread, alpha=alpha, band=band) for alpha, band in rules)
        if count >= 2
        else None,
        "needed": max(seeds_needed(difference, spread, alpha=alpha, band=band) for alpha, band in rules),
    }
    table = Table(title=escape(f"The plan: {', '.join(design.arms)}"), box=box.SIMPLE_HEAD, show_header=False)
    table.add_column("what")
    table.add_column("how much")
    for what, how_much in _lines(design, found, len(records), known, jobs, difference, folder):
        table.add_row(what, escape(how_much))
    console.print(table)
    return found


def _lines(
    design: Design,
    found: dict[str, Any],
    done: int,
    known: bool,
    jobs: int,
    difference: float,
    folder: Folder,
) -> list[tuple[str, str]]:
    arms, seeds = len(design.arms), len(design.seeds)
    counts = f"{arms} arm{'s' if arms > 1 else ''}, {seeds} seed{'s' if seeds > 1 else ''}"
    lines = [("runs", f"{found['runs']} to train: {counts}; {done} are done")]
    if design.tune:
        lines.append(
            (
                "tuning",
                f"{design.tune} trials for each arm on seed{'s' if len(design.tuning_seeds) > 1 else ''} "
                f"{', '.join(map(str, design.tuning_seeds))}, chosen by validation accuracy",
            )
        )
    if found["runs"]:
        images = f"{design.attacked} test image{'s' if design.attacked > 1 else ''}"
        attacks = f", attacks on {images} counted as if none fell early" if design.robust else ""
        time = f"about {duration(found['seconds'])} with {jobs} at once, by a few timed steps{attacks}"
        lines.append(("time", time))
    of = f"of {design.named[0]} " if design.named and found["contrasts"] == 1 else ""
    among = f", after correction for {found['contrasts']} contrasts" if found["contrasts"] > 1 else ""
    says = "the deviation of the differences so far" if known else "an assumed deviation of the differences"
    if found["smallest"] is not None:
        lines.append(
            (
                "can show",
                f"differences in accuracy {of}from {found['smallest']:.2f} points on{among}, in four of "
                f"five such comparisons ({seeds} seeds, {says}: {found['spread']:.2f})",
            )
        )
    lines.append((f"for {difference:g} points", f"{found['needed']} seeds would do"))
    if seeds < 5:
        lines.append(
            ("note", f"{seeds} seed{'s' if seeds > 1 else ''} cannot give a verdict; five are the fewest")
        )
    if design.named:
        lines.append(("named", f"{design.named[1]} of {design.named[0]} against {design.baseline}"))
    lines.append(("results", str(folder.path)))
    return lines


def _contrasts(design: Design, records: dict[str, dict[str, Any]]) -> int:
    """How many contrasts Holm's correction takes in, where a difference in accuracy is to be shown."""
    if design.named is not None and design.named[1] == "accuracy":
        return 1
    measured = {name for record in records.values() for name in record["metrics"]}
    judged = [name for name in measured or expected(design) if name not in NOT_JUDGED]
    return max(1, (len(design.arms) - 1) * len(judged) - (design.named is not None))


def _seconds(design: Design, arm: str, records: dict[str, dict[str, Any]]) -> tuple[float, float]:
    """Seconds that a run of the arm takes, and a trial of it."""
    known = [record["seconds"] for record in records.values() if record["arm"] == arm]
    if known:
        median = float(statistics.median(known))
        return median, median
    recipe = design.recipe_of(arm, design.seeds[0])
    images = images_of(recipe.data, recipe.image_size)
    try:
        found = plan(recipe.with_settings(clean=0.0), Console(quiet=True), images)
    except (ValueError, OSError):
        raise
    except Exception as error:  # of an arm of a user's own
        raise ValueError(
            f"arms: {arm!r} fails in its first steps ({in_words(error)}), expected it to train; mend it, or "
            "leave it out."
        ) from error
    judges = FOLDS * (bool(recipe.clean) + bool(design.cross_validated and recipe.label_noise))
    trial = START + found["seconds"] * (1 + judges)
    if not design.robust:
        return trial, trial
    # a step of an attack goes forward and back as a training step does
    steps = min(design.attacked, found["images"]["test"]) * STEPS_AT_MOST
    return trial + steps / found["images_per_second"], trial


def _spread(design: Design, records: dict[str, dict[str, Any]]) -> tuple[float, bool]:
    """The deviation of paired differences, in points, and whether runs have shown it.

    Of the arm that was named, where its accuracy was, else the median over arms.
    """

    def accuracy(arm: str, seed: int) -> float | None:
        record = records.get(key_of(arm, seed))
        return None if record is None else 100 * float(record["metrics"]["accuracy"])

    found = []
    ours = [design.named[0]] if design.named and design.named[1] == "accuracy" else list(design.arms)
    for arm in ours:
        pairs = [(accuracy(arm, seed), accuracy(design.baseline, seed)) for seed in design.seeds]
        differences = [own - base for own, base in pairs if own is not None and base is not None]
        if arm != design.baseline and len(differences) >= 3 and statistics.stdev(differences) > 0:
            found.append(statistics.stdev(differences))
    return (statistics.median(found), True) if found else (SPREAD, False)
