"""`metrics.csv`: what training logged, a row a step that was logged and a row an epoch's validation."""

import csv
import io
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

from torchdiscern.lab.files import write_atomically

FIRST = ("epoch", "step")


class CsvLog(Logger):
    """Keeps the rows and writes them all at once, so that the file is whole at any moment.

    Args:
        path: of the file.
        up_to: keep the rows of an earlier part of the run up to this step; 0 starts anew.
    """

    def __init__(self, path: Path, up_to: int = 0) -> None:
        super().__init__()
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if up_to and path.exists():
            with path.open(newline="") as file:
                self.rows = [row for row in csv.DictReader(file) if int(row["step"]) <= up_to]

    @property
    def name(self) -> str:
        return "csv"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append({"step": step} | metrics)

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """The recipe stands in recipe.yaml."""

    @rank_zero_only
    def save(self) -> None:
        names = [*FIRST, *dict.fromkeys(name for row in self.rows for name in row if name not in FIRST)]
        text = io.StringIO()
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        write_atomically(self.path, text.getvalue())
