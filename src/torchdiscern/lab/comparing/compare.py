"""The comparison as one call: what is missing is tuned, trained and measured, then everything is judged."""

import json
import os
import shlex
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from torchdiscern import checks
from torchdiscern.lab import environment
from torchdiscern.lab.comparing.design import BAND, BASELINE, TUNING_SEED, Design, chosen_arms, differs, key_of
from torchdiscern.lab.comparing.engines import Engine, Here, Local, Ray
from torchdiscern.lab.comparing.folder import FORMAT, Folder, held
from torchdiscern.lab.comparing.planning import say_plan
from torchdiscern.lab.comparing.results import Results, gather, write
from torchdiscern.lab.comparing.showing import Live
from torchdiscern.lab.comparing.task import ComparisonError, Task, in_words
from torchdiscern.lab.comparing.todo import Todo
from torchdiscern.lab.files import write_atomically
from torchdiscern.lab.measures import ATTACKED
from torchdiscern.lab.recipe import Recipe
from torchdiscern.lab.training.run import with_whole_path

# what a folder's comparison is made of
KEPT = ("baseline", "tune", "tuning_seeds", "robust", "attacked", "cross_validated", "band")


def compare(
    recipe: Recipe,
    arms: Iterable[str] | Mapping[str, Mapping[str, Any]],
    seeds: int | Iterable[int] = 10,
    *,
    out: Path | str | None = None,
    baseline: str = BASELINE,
    tune: int = 0,
    tuning_seeds: int = 1,
    robust: bool = False,
    attacked: int = ATTACKED,
    cross_validated: bool = False,
    named: tuple[str, str] | None = None,
    band: float = BAND,
    difference: float | None = None,
    keep_weights: bool = False,
    jobs: int = 1,
    engine: Literal["local", "ray"] = "local",
    address: str | None = None,
    cpus: float = 1,
    gpus: float = 0,
    plan_only: bool = False,
    console: Console | None = None,
) -> Results:
    """Trains every arm under the same seeds and says where they differ, with intervals.

    What the folder already holds is not trained again: a comparison that was killed goes on, and more arms or
    seeds are added to those that are there.

    Args:
        recipe: what all arms share.
        arms: names (`torchdiscern arms`), or names with the recipe's settings that make each.
        seeds: how many, counted from 0, or which; each fixes split, wrong labels, initial weights, data order and
            augmentation for every arm.
        out: the folder; by default `runs/compare-NAME`.
        baseline: the arm that the others are compared with.
        tune: trials for each arm, the baseline too, over a shared space (learning rate, weight decay, dropout)
            and its own weights, chosen by validation accuracy on seeds that no run uses; 0 for none.
        tuning_seeds: how many seeds each trial is trained on.
        robust: attack every trained network, too.
        attacked: test images that are then attacked, the same ones for every arm of a seed.
        cross_validated: look for wrong labels by cross-validation, too; trains each run four times more.
        named: the one contrast, arm and measure, named before the runs; Holm's correction leaves it out.
        band: points of accuracy that make no difference in practice.
        difference: points of accuracy for which the plan says how many seeds it takes; by default 1, or twice
            the band where that is more.
        keep_weights: keep the trained weights in the run folders.
        jobs: runs at once.
        engine: `"local"`, or `"ray"` for several machines; both give the same numbers.
        address: of a running Ray cluster.
        cpus: that each run takes of it.
        gpus: that each run takes of it.
        plan_only: print the plan and train nothing.
        console: where to print.

    Returns:
        The results, also written to the folder as `results.json`, `results.csv`, `plots/` and `comparison.html`.

    Raises:
        ValueError, TypeError, OSError: with one sentence: an arm, a setting, the data, or the folder.

    Example:
        >>> import tempfile
        >>> recipe = Recipe.named("digits").with_settings(epochs=1)
        >>> with tempfile.TemporaryDirectory() as out:
        ...     found = compare(recipe, ["ce", "gini"], seeds=1, out=out, console=Console(quiet=True))
        >>> [run.arm for run in found.runs], found.contrasts[0].verdict
        (['ce', 'gini'], 'too few seeds')
    """
    console = console or Console()
    difference = max(1.0, 2 * band) if difference is None else difference
    checks.check_whole(jobs, "jobs", low=1, hint="pass how many runs to train at once")
    checks.check_whole(tuning_seeds, "tuning_seeds", low=1, hint="pass how many seeds each trial is trained on")
    checks.check_number(cpus, "cpus", above=True)
    checks.check_number(gpus, "gpus")
    recipe = with_whole_path(recipe)
    chosen = dict(arms) if isinstance(arms, Mapping) else chosen_arms(arms)
    numbers = tuple(range(seeds)) if isinstance(seeds, int) else tuple(dict.fromkeys(seeds))
    if baseline == BASELINE and BASELINE not in chosen:
        chosen = chosen_arms([BASELINE]) | chosen
    folder = Folder(Path(out) if out is not None else default_folder(recipe))
    threads = max(1, int(cpus)) if engine == "ray" else max(1, (os.cpu_count() or 1) // jobs)
    # one device a run: several would each start this program again
    machine = {
        "loggers": (),
        "threads": _threads_of(folder) or recipe.threads or threads,
        "devices": 1,
        "nodes": 1,
    }
    design = Design(
        recipe,
        chosen,
        numbers,
        baseline=baseline,
        tune=tune,
        tuning_seeds=tuple(range(TUNING_SEED, TUNING_SEED + tuning_seeds)),
        robust=robust,
        attacked=attacked,
        cross_validated=cross_validated,
        named=named,
        band=band,
        keep_weights=keep_weights,
        machine=machine,
    )
    with ExitStack() as stack:
        if plan_only:
            say_plan(joined(folder, design), folder, console, jobs, difference)
            return gather(folder) if folder.design_file.exists() else Results.empty(design)
        stack.enter_context(held(folder))
        design = joined(folder, design)
        todo = Todo(design, folder)
        say_plan(design, folder, console, jobs, difference)
        failed = [_lost(arm, design.tune) for arm in todo.lost]
        errors: dict[str, Exception] = {}
        if not (todo.left or (robust and todo.checks())):
            _keep_design(folder, design)
        else:
            _keep_design(folder, design, {"engine": engine, "jobs": jobs})
            here: Engine = Here() if jobs == 1 else Local(jobs)
            near = stack.enter_context(here)
            far: Engine = near if engine == "local" else stack.enter_context(Ray(jobs, address, cpus, gpus))
            failed += _work(todo, far, console, _slots(engine, jobs, address, cpus), errors)
            if robust:
                _check(todo, near, console)
            _keep_design(folder, design, finished=True)
        results = gather(folder, failed)
        write(results, folder, console)
    if failed:
        seed = "" if failed[0]["seed"] is None else f" with seed {failed[0]['seed']}"
        raise ValueError(
            f"arms: {len(failed)} run(s) could not be trained, the first is {failed[0]['arm']}{seed} "
            f"({failed[0]['why']}), expected all to end; mend its settings, and the same "
            "command trains what is missing."
        ) from errors.get(failed[0]["arm"])
    return results


def default_folder(recipe: Recipe) -> Path:
    """`runs/compare-NAME`."""
    name = recipe.name or f"{Path(recipe.data).name}-{recipe.model.split('/')[-1]}"
    return Path("runs") / f"compare-{name}"


def joined(folder: Folder, design: Design) -> Design:
    """The design together with what the folder holds, where both are of the same comparison."""
    before = folder.design
    if before is None:
        return design
    where = f"out: {str(folder.path)!r} holds a comparison"
    base = Recipe(**before["recipe"])
    other = differs(base.with_settings(seed=design.recipe.seed), design.recipe)
    if other is not None:
        raise ValueError(
            f"{where} with {other}={before['recipe'][other]!r}, expected {design.recipe.as_dict()[other]!r} to "
            "add to it; choose another folder with --out."
        )
    now = asdict(replace(design, recipe=Recipe()))
    for name in KEPT:
        old = tuple(before[name]) if isinstance(before[name], list) else before[name]
        if old != now[name]:
            raise ValueError(
                f"{where} with {name}={old!r}, expected {now[name]!r} to add to it; choose another "
                "folder with --out."
            )
    for arm, settings in before["arms"].items():
        if arm in design.arms and _plain(design.arms[arm]) != settings:
            raise ValueError(
                f"{where} whose arm {arm!r} has {settings}, expected {_plain(design.arms[arm])} to add to it; "
                "give the arm another name."
            )
    for name in ("precision", "accelerator"):
        if before["recipe"][name] != design.recipe.as_dict()[name]:
            raise ValueError(
                f"{where} with {name}={before['recipe'][name]!r}, expected {design.recipe.as_dict()[name]!r} to "
                "add to it; choose another folder with --out."
            )
    spaces, now_drawn = before.get("spaces", {}), _spaces(design)
    for arm in set(spaces) & set(now_drawn):
        if spaces[arm] != now_drawn[arm]:
            raise ValueError(
                f"{where} whose arm {arm!r} was tuned in another space, expected the same to add to it; choose "
                "another folder with --out."
            )
    arms = {arm: settings for arm, settings in before["arms"].items() if arm not in design.arms}
    if design.named and not before["named"] and folder.records():
        raise ValueError(
            f"{where} whose runs are there already, so that {':'.join(design.named)} cannot be named beforehand, "
            "expected no named contrast; leave --named out, or choose another folder with --out."
        )
    named = design.named or (tuple(before["named"]) if before["named"] else None)
    if before["named"] and named != tuple(before["named"]):
        raise ValueError(
            f"{where} whose named contrast is {before['named']}, expected the same, as it was named before the "
            "runs; leave --named out."
        )
    seeds = tuple(sorted({*before["seeds"], *design.seeds}))
    return replace(design, arms=arms | dict(design.arms), seeds=seeds, named=named)


def _work(
    todo: Todo, engine: Engine, console: Console, slots: int, errors: dict[str, Exception]
) -> list[dict[str, Any]]:
    """Does what is left; gives the runs that failed, and puts the last error of each arm into `errors`."""
    failed: list[dict[str, Any]] = []
    waiting: list[Task] = []
    tried: set[str] = set()  # trials that an error has ended once
    running = 0
    for arm in todo.design.arms:
        tuning = todo.tunings.get(arm)
        waiting += todo.trials(arm) if tuning and not tuning.finished else todo.runs(arm)
    waiting.sort(key=_place)
    with Live(todo, console, slots) as live:
        while waiting or running:
            while waiting and running < 2 * slots:  # one more each, so that none waits for this process
                engine.submit(waiting.pop(0))
                running += 1
            for task, found in engine.wait():
                running -= 1
                if isinstance(found, ComparisonError | OSError):
                    raise found
                if isinstance(found, Exception):
                    errors[task.arm] = found
                if task.kind == "trial" and isinstance(found, Exception) and task.key not in tried:
                    tried.add(task.key)  # memory may have been short, or a file out of reach
                    waiting.append(task)
                elif task.kind == "trial":
                    value = None if isinstance(found, Exception) else float(found["value"])
                    live.ended(task, None if isinstance(found, Exception) else found["seconds"])
                    if todo.take_trial(task, value):
                        tuning = todo.tunings[task.arm]
                        failed += [_lost(arm, tuning.trials) for arm in todo.lost if arm == task.arm]
                        waiting += todo.runs(task.arm) if tuning.finished else todo.trials(task.arm)
                        waiting.sort(key=_place)
                elif isinstance(found, Exception):
                    failed.append({"arm": task.arm, "seed": task.settings["seed"], "why": in_words(found)})
                    live.ended(task, None)
                else:
                    todo.take_run(task, found)
                    live.ended(task, found["seconds"])
    return failed


def _check(todo: Todo, engine: Engine, console: Console) -> None:
    """Attacks the networks of the first seed in other ways, those of other arms among them."""
    waiting = todo.checks()
    for task in waiting:
        engine.submit(task)
    left = len(waiting)
    with console.status("Checking the attacks"):
        while left:
            for task, found in engine.wait():
                left -= 1
                if isinstance(found, Exception):
                    raise found
                todo.folder.keep_check(key_of(task.arm, task.settings["seed"]), found)


def _place(task: Task) -> tuple[bool, int]:
    """Trials first, then seed by seed, so that what is there when someone looks is paired."""
    return (True, task.settings["seed"]) if task.kind == "run" else (False, 0)


def _lost(arm: str, trials: int) -> dict[str, Any]:
    return {"arm": arm, "seed": None, "why": f"none of its {trials} trials could be trained"}


def _keep_design(
    folder: Folder, design: Design, session: Mapping[str, Any] | None = None, finished: bool = False
) -> None:
    """Writes what is compared, with when and how it was worked on."""
    before = folder.design or {"sessions": []}
    sessions = before["sessions"]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    if finished:
        sessions[-1]["finished"] = now
    elif session is not None:
        made = {"versions": environment.versions(), "git": environment.git_state()}
        counts = {"runs_before": len(folder.records()), "seeds": len(design.seeds)}
        sessions = [*sessions, {"started": now, "finished": None, **session, **counts, **made}]
    latest = sessions[-1] if sessions else {}
    kept = {
        "format": FORMAT,
        "recipe": design.recipe.as_dict(),
        "arms": {arm: _plain(settings) for arm, settings in design.arms.items()},
        "seeds": list(design.seeds),
        "baseline": design.baseline,
        "tune": design.tune,
        "tuning_seeds": list(design.tuning_seeds),
        "spaces": _spaces(design) | before.get("spaces", {}),
        "robust": design.robust,
        "attacked": design.attacked,
        "cross_validated": design.cross_validated,
        "named": list(design.named) if design.named else None,
        "band": design.band,
        "threads": design.machine["threads"],
        "command": _commands(before, design),
        "versions": latest.get("versions", before.get("versions")),
        "git": latest.get("git", before.get("git")),
        "sessions": sessions,
    }
    write_atomically(folder.design_file, json.dumps(kept, indent=1) + "\n")


def _spaces(design: Design) -> dict[str, dict[str, list[float | bool]]]:
    if not design.tune:
        return {}
    return {arm: {name: list(limits) for name, limits in design.space(arm).items()} for arm in design.arms}


def _threads_of(folder: Folder) -> int | None:
    """The threads of the runs that are there: another number gives other last digits."""
    before = folder.design
    found: int | None = None if before is None else before.get("threads")
    return found


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in settings.items()}


def _commands(before: Mapping[str, Any], design: Design) -> str:
    """What repeats the comparison; where a later call added arms or seeds, one command after the other."""
    earlier, new = before.get("command"), _command()
    same = earlier and list(before["arms"]) == list(design.arms) and before["seeds"] == list(design.seeds)
    if same or new == earlier:
        return str(earlier)
    return f"{earlier}; {new}" if earlier else new


def _command() -> str:
    """How the program was called; of a script, its name."""
    program = Path(sys.argv[0])
    ours = program.name in ("torchdiscern", "__main__.py")
    return shlex.join(["torchdiscern" if ours else program.name, *sys.argv[1:]])


def _slots(engine: str, jobs: int, address: str | None, cpus: float) -> int:
    if engine == "local" or address is None:
        return jobs
    import ray

    resources: Any = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("CPU", jobs) // max(cpus, 0.01)))
