"""How far a comparison is: one table that renews itself in a terminal, a line now and then elsewhere."""

import statistics
import time
from typing import Self

from rich import box
from rich.console import Console
from rich.live import Live as RichLive
from rich.table import Table

from torchdiscern.lab.comparing.design import key_of
from torchdiscern.lab.comparing.task import Task
from torchdiscern.lab.comparing.todo import Todo
from torchdiscern.lab.training.durations import duration

LINE_EVERY = 20.0  # seconds


class Live:
    """Shows arms, trials and runs done, running means and the time left.

    Args:
        todo: what is left, kept up to date by its owner.
        console: where to show it.
        slots: tasks done at once.
    """

    def __init__(self, todo: Todo, console: Console, slots: int) -> None:
        self.todo, self.console, self.slots = todo, console, slots
        self.took: dict[tuple[str, str], list[float]] = {}
        self.failed: dict[str, int] = {}
        self.live = RichLive(get_renderable=self.table, console=console, refresh_per_second=1, transient=True)
        self._line_at = time.monotonic()

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def ended(self, task: Task, seconds: float | None) -> None:
        """Takes note of a task that has ended; None seconds of one that failed."""
        if seconds is None:
            self.failed[task.arm] = self.failed.get(task.arm, 0) + 1
        else:
            self.took.setdefault((task.arm, task.kind), []).append(seconds)
        now = time.monotonic()
        if not self.console.is_terminal and (now - self._line_at > LINE_EVERY or not self.todo.left):
            self._line_at = now
            done = sum(map(len, self.took.values()))
            self.console.print(
                f"{task.key} done; {done} done, {self.todo.left} left, about {duration(self.seconds_left())}",
                markup=False,
                highlight=False,
            )

    def seconds_left(self) -> float:
        """From what tasks have taken so far."""
        every = [one for took in self.took.values() for one in took]
        usual = statistics.fmean(every) if every else 0.0
        left = 0.0
        for arm in self.todo.design.arms:
            runs, trials = self._left(arm)
            left += runs * self._mean(arm, "run", usual) + trials * self._mean(arm, "trial", usual)
        return left / self.slots

    def table(self) -> Table:
        """Where every arm stands."""
        design = self.todo.design
        title = f"{self.todo.left} left, about {duration(self.seconds_left())}" if self.took else "Begun"
        table = Table(title=title, box=box.SIMPLE_HEAD)
        for name in ("arm", *(["trials"] if design.tune else []), "runs", "accuracy, %", "best in tuning, %"):
            if design.tune or name != "best in tuning, %":
                table.add_column(name, justify="left" if name == "arm" else "right")
        for arm in design.arms:
            runs, _ = self._left(arm)
            known = [
                100 * record["metrics"]["accuracy"]
                for record in self.todo.records.values()
                if record["arm"] == arm
            ]
            deviation = f" ± {statistics.stdev(known):.2f}" if len(known) > 1 else ""
            shown = f"{statistics.fmean(known):.2f}{deviation}" if known else "-"
            said = f", {self.failed[arm]} failed" if arm in self.failed else ""
            cells = [arm, f"{len(design.seeds) - runs} of {len(design.seeds)}{said}", shown]
            if design.tune:
                values = [one.value for one in self.todo.tunings[arm].done if one.value is not None]
                cells.insert(1, f"{min(design.tune, len(self.todo.tunings[arm].done))} of {design.tune}")
                cells.append(f"{100 * max(values):.2f}" if values else "-")
            table.add_row(*cells)
        return table

    def _left(self, arm: str) -> tuple[int, int]:
        design = self.todo.design
        runs = sum(key_of(arm, seed) not in self.todo.records for seed in design.seeds)
        tuning = self.todo.tunings.get(arm)
        trials = max(0, tuning.trials - len(tuning.done)) if tuning else 0
        return runs, trials * len(design.tuning_seeds)

    def _mean(self, arm: str, kind: str, usual: float) -> float:
        took = self.took.get((arm, kind))
        return statistics.fmean(took) if took else usual
