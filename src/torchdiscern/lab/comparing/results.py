"""The results of a comparison as typed objects, and as the files of its folder."""

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from rich.console import Console

from torchdiscern.lab import arms as arm_table
from torchdiscern.lab.comparing.design import NOT_JUDGED, Design, key_of
from torchdiscern.lab.comparing.folder import FORMAT, Folder
from torchdiscern.lab.comparing.tuning import Tuning
from torchdiscern.lab.evidence import Contrast, Metric, contrasts, interval_of_mean
from torchdiscern.lab.files import write_atomically
from torchdiscern.lab.measures import Measure, measure_of
from torchdiscern.lab.training.folder import Run


@dataclass(frozen=True)
class ComparedRun:
    """One arm under one seed.

    Args:
        metrics: by name, in their own unit (shares in [0, 1]).
        settings: of the recipe, where they are not the comparison's.
        best_epoch: the one whose weights were measured.
        seconds: training and measuring together.
        machine: place in the results' `machines`.
        code: commit of this package that measured it; empty where it is not known.
    """

    arm: str
    seed: int
    metrics: Mapping[str, float | None]
    settings: Mapping[str, Any]
    best_epoch: int
    seconds: float
    machine: int
    code: str


@dataclass(frozen=True)
class Results:
    """What a comparison has found.

    Args:
        runs: every run.
        contrasts: every arm against the baseline, measure by measure.
        details: all else that `results.json` holds: design, means, trials, versions, hardware, time.
    """

    runs: Sequence[ComparedRun]
    contrasts: Sequence[Contrast]
    details: Mapping[str, Any]

    @classmethod
    def empty(cls, design: Design) -> Self:
        """Of a design that nothing was trained of."""
        return cls([], [], {"arms": {arm: {"settings": dict(found)} for arm, found in design.arms.items()}})

    def contrast(self, arm: str, metric: str = "accuracy") -> Contrast:
        """One contrast.

        Raises:
            ValueError: no such arm or measure.
        """
        for one in self.contrasts:
            if (one.arm, one.metric) == (arm, metric):
                return one
        raise ValueError(
            f"arm: there is no contrast of {arm!r} in {metric!r}, expected one of "
            f"{', '.join(sorted({one.arm for one in self.contrasts}))}; mend the name."
        )

    def as_dict(self) -> dict[str, Any]:
        """As `results.json` has it."""
        return {
            **self.details,
            "runs": [asdict(run) for run in self.runs],
            "contrasts": [asdict(one) for one in self.contrasts],
        }


def gather(folder: Folder, failed: Sequence[Mapping[str, Any]] = ()) -> Results:
    """Everything that the runs of a folder show; trains nothing and needs no data.

    Raises:
        ValueError: no comparison there.
    """
    kept = folder.design
    if kept is None:
        raise ValueError(
            f"out: {str(folder.path)!r} holds no comparison, expected one, as `torchdiscern compare` makes it; "
            "mend the path."
        )
    arms: dict[str, dict[str, Any]] = kept["arms"]
    records = {name: record for name, record in folder.records().items() if record["arm"] in arms}
    machines: list[dict[str, Any]] = []
    runs = []
    for arm in arms:
        for seed in kept["seeds"]:
            record = records.get(key_of(arm, seed))
            if record is None or record["arm"] != arm:
                continue
            if record["hardware"] not in machines:
                machines.append(record["hardware"])
            runs.append(
                ComparedRun(
                    arm,
                    seed,
                    record["metrics"],
                    record["settings"],
                    record["best_epoch"],
                    record["seconds"],
                    machines.index(record["hardware"]),
                    record.get("code", ""),
                )
            )
    names = list(dict.fromkeys(name for run in runs for name in run.metrics))
    measures = {name: measure_of(name) for name in names}
    judged = _contrasts(kept, runs, records, measures)
    by_image = set(names).intersection(*(examples_of(records[key_of(run.arm, run.seed)]) for run in runs))
    details = _details(folder, kept, runs, measures, machines, failed)
    return Results(runs, judged, details | {"by_image": [name for name in names if name in by_image]})


def kept_seeds(folder: Folder, arms: Iterable[str], seeds: Iterable[int]) -> list[int]:
    """The seeds whose runs are done and have kept their weights, for all of the arms."""
    arms = list(arms)
    runs = {seed: [Run(folder.run(key_of(arm, seed))) for arm in arms] for seed in seeds}
    return [seed for seed, of in runs.items() if all(run.finished and run.weights_file.exists() for run in of)]


def write(results: Results, folder: Folder, console: Console) -> None:
    """Writes `results.json`, `results.csv`, `plots/` and `comparison.html`, and prints the table."""
    from torchdiscern.lab.comparison_report import csv_text, draw, result_table, save, write_comparison

    found = results.as_dict()
    write_atomically(folder.results_file, json.dumps(found, indent=1, allow_nan=False) + "\n")
    if not results.runs:
        return
    write_atomically(folder.path / "results.csv", csv_text(found))
    command = _report_command(results, folder)
    with console.status("Drawing"):
        save(draw(found), folder.path / "plots")
        page = write_comparison(found, folder.path, command)
    console.print(result_table(found))
    console.print(f"Page, plots and numbers: {page}", markup=False, soft_wrap=True, highlight=False)
    if command:
        said = f"{command} shows what each feature tells apart"
        console.print(said, markup=False, soft_wrap=True, highlight=False)


def _report_command(results: Results, folder: Folder) -> str:
    """What shows the features of the networks; empty where no seed's weights are kept for two arms."""
    baseline = results.details["baseline"]
    for arm in results.details["arms"]:
        if arm != baseline and kept_seeds(folder, [baseline, arm], results.details["seeds"]):
            return shlex.join(["torchdiscern", "report", str(folder.path)])
    return ""


def _contrasts(
    kept: Mapping[str, Any],
    runs: Sequence[ComparedRun],
    records: Mapping[str, Mapping[str, Any]],
    measures: Mapping[str, Measure],
) -> list[Contrast]:
    values: dict[str, dict[int, Mapping[str, float | None]]] = {}
    examples: dict[str, dict[int, dict[str, Any]]] = {}
    for run in runs:
        values.setdefault(run.arm, {})[run.seed] = run.metrics
        examples.setdefault(run.arm, {})[run.seed] = examples_of(records[key_of(run.arm, run.seed)])
    if kept["baseline"] not in values or len(values) < 2:
        return []
    bands = {name: kept["band"] / 100 if name == "accuracy" else one.band for name, one in measures.items()}
    metrics = {
        name: Metric(measures[name].better, band)
        for name, band in bands.items()
        if name not in NOT_JUDGED and band is not None
    }
    tested = {record["correct"].get("of", key) for key, record in records.items()}
    arm, metric = kept["named"] or (None, None)
    named = (arm, metric) if arm in values and metric in metrics else None  # an arm may have no run yet, or ever
    same = len(tested) == 1
    return contrasts(values, kept["baseline"], metrics, named=named, examples=examples, same_examples=same)


def _details(
    folder: Folder,
    kept: Mapping[str, Any],
    runs: Sequence[ComparedRun],
    measures: Mapping[str, Measure],
    machines: Sequence[Mapping[str, Any]],
    failed: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    tunings = {}
    if kept["tune"] and folder.tuning_file.exists():
        tunings = {arm: Tuning(folder.tuning_file, arm, None, kept["tune"]) for arm in kept["arms"]}
    recipe = kept["recipe"]
    sessions = kept["sessions"]
    means: dict[str, dict[str, Any]] = {}
    for arm in kept["arms"]:
        of_arm = [run for run in runs if run.arm == arm]
        means[arm] = {}
        for name in measures:
            known = [value for run in of_arm if (value := run.metrics.get(name)) is not None]
            if known:
                means[arm][name] = asdict(interval_of_mean(known))
    return {
        "format": FORMAT,
        "name": recipe["name"] or Path(recipe["data"]).name,
        "about": recipe["about"],
        "recipe": recipe,
        "baseline": kept["baseline"],
        "arms": {
            arm: {
                "settings": settings,
                "title": arm_table.title_of(arm),
                "tuned": tunings[arm].best if arm in tunings and tunings[arm].finished else None,
            }
            for arm, settings in kept["arms"].items()
        },
        "seeds": kept["seeds"],
        "tune": kept["tune"],
        "tuning_seeds": kept["tuning_seeds"],
        "band": kept["band"] / 100,
        "named": kept["named"],
        "means": means,
        "tuning": {arm: one.history() for arm, one in tunings.items()},
        "measures": {
            name: {
                "label": one.label,
                "scale": one.scale,
                "unit": one.unit,
                "digits": one.digits,
                "better": one.better,
                "band": kept["band"] / 100 if name == "accuracy" else one.band,
            }
            for name, one in measures.items()
        },
        "checks": _checks(folder, kept),
        "failed": [dict(one) for one in failed],
        "command": kept["command"],
        "versions": kept["versions"],
        "git": kept["git"],
        "sessions": sessions,
        "machines": list(machines),
        "started": sessions[0]["started"] if sessions else None,
        "finished": sessions[-1]["finished"] if sessions else None,
        "hours": sum(run.seconds for run in runs) / 3600,
    }


def _checks(folder: Folder, kept: Mapping[str, Any]) -> dict[str, Any]:
    """What other attacks said, by arm."""
    paths = {arm: folder.check(key_of(arm, kept["seeds"][0])) for arm in kept["arms"]}
    return {arm: json.loads(path.read_text()) for arm, path in paths.items() if path.exists()}


def examples_of(record: Mapping[str, Any]) -> dict[str, np.ndarray[Any, np.dtype[np.uint8]]]:
    """Which test images a run got right, 0 or 1 each, by each measure that is a share of them."""
    bits = record["correct"]["bits"]
    if isinstance(bits, str):  # of a run that was kept when accuracy alone was
        bits = {"accuracy": bits}
    images = record["correct"]["images"]
    return {
        name: np.unpackbits(np.frombuffer(bytes.fromhex(one), dtype=np.uint8), count=images)
        for name, one in bits.items()
    }
