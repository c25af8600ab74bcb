"""What of a comparison is not done yet, as tasks."""

from dataclasses import dataclass
from typing import Any

from torchdiscern.lab.comparing.design import Design, differs, key_of
from torchdiscern.lab.comparing.folder import Folder
from torchdiscern.lab.comparing.task import Task
from torchdiscern.lab.comparing.tuning import Tuning
from torchdiscern.lab.training.folder import Run


@dataclass
class Todo:
    """What of a design is not done yet."""

    design: Design
    folder: Folder

    def __post_init__(self) -> None:
        self.records = self.folder.records()
        self.tunings: dict[str, Tuning] = {}
        self.trial: dict[str, tuple[int, dict[str, float], dict[int, float | None]]] = {}
        if self.design.tune:
            for arm in self.design.arms:
                self.tunings[arm] = Tuning(self.folder.tuning_file, arm, self.design.space(arm), self.design.tune)
        for arm in self.design.arms:
            if arm not in self.tunings or self.tunings[arm].finished:
                self._check(arm)

    def tuned(self, arm: str) -> dict[str, float] | None:
        """What tuning chose; None where no trial of the arm could be trained."""
        return self.tunings[arm].best if arm in self.tunings else {}

    @property
    def lost(self) -> list[str]:
        """Arms of which no trial could be trained."""
        return [arm for arm, one in self.tunings.items() if one.finished and one.best is None]

    @property
    def left(self) -> int:
        """Runs and trials that are missing."""
        arms = [arm for arm in self.design.arms if arm not in self.lost]
        runs = sum(key_of(arm, seed) not in self.records for arm in arms for seed in self.design.seeds)
        trials = sum(max(0, one.trials - len(one.done)) for one in self.tunings.values())
        return runs + trials * len(self.design.tuning_seeds)

    def runs(self, arm: str) -> list[Task]:
        """An arm's missing runs."""
        design, tuned = self.design, self.tuned(arm)
        found: list[Task] = []
        if tuned is None:
            return found
        for seed in design.seeds:
            key = key_of(arm, seed)
            if key in self.records:
                continue
            found.append(
                Task(
                    key,
                    arm,
                    design.recipe_of(arm, seed, tuned).as_dict(),
                    folder=str(self.folder.run(key).resolve()),
                    token=str(self.folder.design_file.resolve()),
                    robust=design.robust,
                    attacked=design.attacked,
                    cross_validated=design.cross_validated,
                    keep_weights=self.keeps(seed),
                )
            )
        return found

    def keeps(self, seed: int) -> bool:
        """Whether a run's weights stay; those of the first seed do where attacks are to be checked with them."""
        return self.design.keep_weights or (self.design.robust and seed == self.design.seeds[0])

    def checks(self) -> list[Task]:
        """The missing checks of robust accuracy, on the networks of the first seed."""
        design, seed = self.design, self.design.seeds[0]
        keys = {arm: key_of(arm, seed) for arm in design.arms}
        there = {
            arm: str(self.folder.run(key).resolve())
            for arm, key in keys.items()
            if key in self.records and Run(self.folder.run(key)).weights_file.exists()
        }
        return [
            Task(
                f"check of {keys[arm]}",
                arm,
                design.recipe_of(arm, seed, self.tuned(arm)).as_dict(),
                kind="check",
                folder=folder,
                attacked=design.attacked,
                others={name: other for name, other in there.items() if name != arm},
            )
            for arm, folder in there.items()
            if self.folder.checked_with(keys[arm]) != sorted(set(there) - {arm})
        ]

    def trials(self, arm: str) -> list[Task]:
        """The tasks of an arm's next trial, one a tuning seed."""
        design = self.design
        number, settings = self.tunings[arm].next(design.defaults(arm))
        self.trial[arm] = (number, settings, {})
        return [
            Task(f"{arm}~{number}~{seed}", arm, design.recipe_of(arm, seed, settings).as_dict(), kind="trial")
            for seed in design.tuning_seeds
        ]

    def take_trial(self, task: Task, value: float | None) -> bool:
        """Keeps a trial's value; whether the trial is complete."""
        _, settings, values = self.trial[task.arm]
        values[task.settings["seed"]] = value
        if len(values) < len(self.design.tuning_seeds):
            return False
        known = [one for one in values.values() if one is not None]
        mean = sum(known) / len(known) if len(known) == len(values) else None
        self.tunings[task.arm].tell(settings, mean)
        return True

    def take_run(self, task: Task, found: dict[str, Any]) -> None:
        """Keeps a run's numbers."""
        other = next((one["images"] for one in self.records.values() if one["images"] != found["images"]), None)
        if other is not None:
            raise ValueError(
                f"data: the images of {self.design.recipe.data!r} are not those of the runs in "
                f"{str(self.folder.path)!r}, expected the same for every arm; bring them back, or choose another "
                "folder with --out."
            )
        base = self.design.recipe.as_dict()
        changed = {name: value for name, value in task.settings.items() if value != base[name]}
        record = {"arm": task.arm, "seed": task.settings["seed"], "settings": changed} | found
        self.folder.keep(task.key, record, self.keeps(record["seed"]))
        self.records[task.key] = record

    def _check(self, arm: str) -> None:
        """Refuses runs that were made with other settings."""
        for seed in self.design.seeds:
            record = self.records.get(key_of(arm, seed))
            if record is None:
                continue
            made = self.design.recipe.with_settings(**record["settings"])
            wanted = self.design.recipe_of(arm, seed, self.tuned(arm))
            other = differs(made, wanted)
            if other is not None:
                raise ValueError(
                    f"out: {str(self.folder.path)!r} holds {key_of(arm, seed)} with {other}="
                    f"{made.as_dict()[other]!r}, expected {wanted.as_dict()[other]!r}; choose another folder "
                    "with --out."
                )
