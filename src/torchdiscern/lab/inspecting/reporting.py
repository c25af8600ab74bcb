"""The feature report of what the lab made: a run, two runs side by side, or arms of a comparison."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from statistics import fmean

from rich.console import Console

from torchdiscern import checks
from torchdiscern.lab.comparing.design import key_of
from torchdiscern.lab.comparing.folder import Folder
from torchdiscern.lab.comparing.results import Results, gather, kept_seeds
from torchdiscern.lab.evidence import interval_of_mean, paired_difference
from torchdiscern.lab.inspecting import inspect
from torchdiscern.lab.inspecting.several import inspect_several, on_common_images
from torchdiscern.lab.inspecting.subject import Subject, subject_of
from torchdiscern.lab.measures import Measure, measure_of
from torchdiscern.lab.report.contents import Contents, Table
from torchdiscern.lab.training.folder import Run

MEASURES = ("accuracy", "impurity", "impurity_renyi", "coverage_divergence", "dead_features")
UNKNOWN = "-"
KEEP = "train again with --keep-weights (the same command into a new folder)"


def report(
    first: str | Path,
    second: str | Path | None = None,
    *,
    data: str | None = None,
    layers: Sequence[str] = (),
    arms: Sequence[str] = (),
    console: Console | None = None,
) -> Contents:
    """Reads what the features of trained networks tell apart.

    Args:
        first: the folder of a finished run, or of a comparison.
        second: the folder of another run, to be shown beside the first.
        data: a data set by name or a folder of images; None for the runs' own test images, those that both held
            out where there are two.
        layers: names of those to tap; by default what the run tapped.
        arms: of a comparison, two or more by name, or one, which is shown beside the baseline; by default the
            baseline and the arm of the named contrast, else the first rival.
        console: where to show how far it is.

    Returns:
        What a feature report shows. For a comparison it holds the networks of the first seed whose weights are
        kept for all arms, and a table over all seeds.

    Raises:
        ValueError, TypeError, OSError: one sentence that names the argument.
    """
    console = console or Console(quiet=True)
    folders = [Path(first), *([] if second is None else [Path(second)])]
    for name, path in zip(("run", "run2"), folders, strict=False):
        if not Run(path).started and not Folder(path).design_file.exists():
            what = "holds neither recipe.yaml nor comparison.json" if path.is_dir() else "is no folder"
            raise ValueError(
                f"{name}: {str(path)!r} {what}, expected the folder of a run, as `torchdiscern train` makes it, "
                "or of a comparison; mend the path, or use `torchdiscern inspect` for other networks."
            )
    compared = [path for path in folders if Folder(path).design_file.exists()]
    if len(folders) == 2 and compared:
        raise ValueError(
            f"run2: got {str(folders[0])!r} and {str(folders[1])!r}, one of which is a comparison, expected two "
            "runs or one comparison; choose its arms with --arms, or name two of the runs in its folder `runs`."
        )
    if compared:
        return _of_comparison(Folder(compared[0]), data, layers, arms, console)
    if arms:
        raise ValueError(
            f"arms: got {', '.join(arms)} for the run {str(folders[0])!r}, expected none, as only a comparison "
            "has arms; leave --arms out, or name a comparison's folder."
        )
    if second is None:
        return inspect(str(first), data, layers=layers, console=console)
    return inspect_several(on_common_images(_side_by_side(folders, data, layers, console)), console)


def _side_by_side(
    folders: Sequence[Path], data: str | None, layers: Sequence[str], console: Console
) -> dict[str, Subject]:
    """Two runs by names that tell them apart."""
    if folders[0].resolve() == folders[1].resolve():
        raise ValueError(
            f"run2: {str(folders[1])!r} is the first run again, expected another; name one run for a report of "
            "it alone."
        )
    names = [folder.resolve().name for folder in folders]
    if names[0] == names[1]:
        names = [str(folder) for folder in folders]
    return _subjects(dict(zip(names, map(Run, folders), strict=True)), data, layers, console)


def _subjects(
    runs: Mapping[str, Run], data: str | None, layers: Sequence[str], console: Console
) -> dict[str, Subject]:
    """The networks of runs; images that several show are read once."""
    found: dict[str, Subject] = {}
    read: dict[tuple[str, int | None], Subject] = {}
    for name, run in runs.items():
        of_run = (run.recipe.data, run.recipe.image_size)
        source = of_run if data is None else (data, run.made_with["image_size"])
        images = read[source].images if source in read else None
        found[name] = subject_of(str(run.folder), data, layers=layers, console=console, images=images)
        read.setdefault(source, found[name])
    return found


def _of_comparison(
    folder: Folder, data: str | None, layers: Sequence[str], arms: Sequence[str], console: Console
) -> Contents:
    results = gather(folder)
    chosen = _chosen(results, arms, folder)
    seeds = kept_seeds(folder, chosen, results.details["seeds"])
    if not seeds:
        raise ValueError(
            f"run: {str(folder.path)!r} holds weights of no seed for all of {', '.join(chosen)}, expected some "
            f"to show their features; {KEEP}."
        )
    subjects = _subjects({arm: _run(folder, arm, seeds[0]) for arm in chosen}, data, layers, console)
    base = chosen[0]
    usual, usual_name = None, ""
    both = kept_seeds(folder, [base], results.details["seeds"])[:2]
    if len(both) == 2:
        usual = _pair(
            {f"{base}, seed {seed}": _run(folder, base, seed) for seed in both}, subjects[base], data, layers
        )
        usual_name = f"{base} with seeds {both[0]} and {both[1]}" if usual else ""
    found = inspect_several(on_common_images(subjects), console, usual=usual, usual_name=usual_name)
    return replace(
        found,
        title=f"{' and '.join(chosen)} of {results.details['name']}",
        facts=found.facts | {"Comparison": str(folder.path), "Seed of the networks": str(seeds[0])},
        tables=[_table(results, chosen, seeds[0])],
    )


def _chosen(results: Results, arms: Sequence[str], folder: Folder) -> list[str]:
    """The arms to show, the one that the others are compared with first."""
    there = list(dict.fromkeys(run.arm for run in results.runs))
    baseline: str = results.details["baseline"]
    for arm in arms:
        if arm not in there:
            raise ValueError(
                f"arms: got {arm!r}, of which {str(folder.path)!r} holds no run, expected some of "
                f"{', '.join(there) or 'none yet'}; {checks.nearest(arm, there)}"
            )
    chosen = list(dict.fromkeys(arms))
    if len(chosen) > 1:
        return chosen
    rivals = [arm for arm in there if arm != baseline]
    named = results.details["named"]
    if not chosen:
        chosen = [named[0]] if named and named[0] in rivals else rivals[:1]
    if baseline not in there or chosen in ([], [baseline]):
        raise ValueError(
            f"arms: got {', '.join(chosen) or 'none'}, and {str(folder.path)!r} holds runs of "
            f"{', '.join(there) or 'no arm'}, expected two arms to compare; name two with --arms, or train more."
        )
    return [baseline, *chosen]


def _run(folder: Folder, arm: str, seed: int) -> Run:
    return Run(folder.run(key_of(arm, seed)))


def _pair(
    runs: Mapping[str, Run], like: Subject, data: str | None, layers: Sequence[str]
) -> tuple[Subject, Subject] | None:
    """Two networks that differ in their seed alone, on images that both held out, if there are some."""
    found = {
        name: subject_of(str(run.folder), data, layers=layers, images=like.images) for name, run in runs.items()
    }
    try:
        first, second = on_common_images(found).values()
    except ValueError:
        return None
    return first, second


def _table(results: Results, arms: Sequence[str], seed: int) -> Table:
    """A measure a row: what each arm has over all seeds, and how far it is from the first."""
    base, *others = arms
    rows = []
    for name in MEASURES:
        measure = measure_of(name)
        values = {arm: _values(results, arm, name) for arm in arms}
        if not all(values.values()):
            continue
        unit = f", {measure.unit}" if measure.unit else ""
        rows.append(
            [
                f"{measure.label}{unit}",
                *(_spread(measure, list(values[arm].values())) for arm in arms),
                *(_difference(measure, values[arm], values[base]) for arm in others),
                _by_chance(measure, list(values[base].values())),
            ]
        )
    seeds = [f"{sum(run.arm == arm for run in results.runs)} of {arm}" for arm in arms]
    return Table(
        "Over all seeds",
        ["measure", *arms, *(f"{arm} less {base}" for arm in others), f"two seeds of {base}"],
        rows,
        [
            f"Mean ± standard deviation over seeds, on each run's own test images; seeds: {', '.join(seeds)}.",
            f"Differences are paired by seed, [95% interval] by Student's t, each by itself; {UNKNOWN} where no "
            "seed is in common.",
            f"Two seeds of {base}: how far two networks of this arm are from each other in the mean, sign aside; "
            "where two single networks differ by no more, that says nothing.",
            f"Everything below shows the networks of seed {seed} alone.",
        ],
    )


def _values(results: Results, arm: str, name: str) -> dict[int, float]:
    """By seed, where it was measured."""
    return {
        run.seed: value for run in results.runs if run.arm == arm and (value := run.metrics.get(name)) is not None
    }


def _spread(measure: Measure, values: Sequence[float]) -> str:
    found = interval_of_mean(values)
    mean = f"{measure.scale * found.mean:.{measure.digits}f}"
    return mean if found.deviation is None else f"{mean} ± {measure.scale * found.deviation:.{measure.digits}f}"


def _difference(measure: Measure, values: Mapping[int, float], base: Mapping[int, float]) -> str:
    common = sorted(set(values) & set(base))
    if not common:
        return UNKNOWN
    found = paired_difference([values[seed] for seed in common], [base[seed] for seed in common])
    difference, low, high = (
        f"{measure.scale * one:+.{measure.digits}f}" for one in (found.difference, found.low, found.high)
    )
    return difference if math.isnan(found.low) else f"{difference} [{low}, {high}]"


def _by_chance(measure: Measure, values: Sequence[float]) -> str:
    """Mean absolute difference of two seeds, over all pairs."""
    if len(values) < 2:
        return UNKNOWN
    return f"{measure.scale * fmean(abs(a - b) for a, b in combinations(values, 2)):.{measure.digits}f}"
