"""The folder of a comparison: what is in it, and who may write there."""

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torchdiscern.lab.files import make_folder, write_atomically
from torchdiscern.lab.measures import ATTACKED

FORMAT = 1
HEAVY = ("*.ckpt", "*.safetensors", ".lock")


@dataclass(frozen=True)
class Folder:
    """The folder of a comparison.

    `comparison.json` (what is compared), `runs/ARM-SEED/` (run folders), `records/ARM-SEED.json` (the numbers of
    a run), `checks/` (what other attacks said), `tuning.db` (the trials), and what is made of them:
    `results.json`, `results.csv`, `plots/`, `comparison.html`.
    """

    path: Path

    @property
    def design_file(self) -> Path:
        return self.path / "comparison.json"

    @property
    def tuning_file(self) -> Path:
        return self.path / "tuning.db"

    @property
    def results_file(self) -> Path:
        return self.path / "results.json"

    @property
    def records_folder(self) -> Path:
        return self.path / "records"

    def run(self, key: str) -> Path:
        return self.path / "runs" / key

    def record(self, key: str) -> Path:
        return self.records_folder / f"{key}.json"

    @property
    def design(self) -> dict[str, Any] | None:
        """What was compared here before."""
        if not self.design_file.exists():
            return None
        try:
            found: dict[str, Any] = json.loads(self.design_file.read_text())
            if found["format"] != FORMAT:
                raise KeyError
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"out: {str(self.design_file)!r} is not as `torchdiscern compare` writes it, expected its own "
                "file; bring it back, or choose another folder with --out."
            ) from error
        found.setdefault("attacked", ATTACKED)  # a folder made before it could be chosen
        return found

    def check(self, arm_key: str) -> Path:
        return self.path / "checks" / f"{arm_key}.json"

    def checked_with(self, arm_key: str) -> list[str] | None:
        """The other arms on whose networks an arm's was attacked; None where it was not checked."""
        if not self.check(arm_key).exists():
            return None
        found: list[str] = json.loads(self.check(arm_key).read_text()).get("others", [])
        return sorted(found)

    def keep_check(self, arm_key: str, found: Mapping[str, Any]) -> None:
        """Writes what other attacks said of an arm's network."""
        make_folder(self.path / "checks", "out")
        write_atomically(self.check(arm_key), json.dumps(found, indent=1, allow_nan=False) + "\n")

    def records(self) -> dict[str, dict[str, Any]]:
        """The numbers of the runs that are done, by key."""
        found = {}
        for path in sorted(self.records_folder.glob("*.json")):
            try:
                found[path.stem] = json.loads(path.read_text())
            except ValueError as error:
                raise ValueError(
                    f"out: {str(path)!r} is no JSON ({error}), expected the numbers of a run; remove it, and the "
                    "run is measured again."
                ) from error
        return found

    def keep(self, key: str, record: Mapping[str, Any], keep_weights: bool) -> None:
        """Writes a run's numbers, with the files that came from another machine, then clears what is heavy."""
        record = dict(record)
        for name, content in record.pop("files", {}).items():
            path = self.run(key) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        make_folder(self.records_folder, "out")
        write_atomically(self.record(key), json.dumps(record, indent=1, allow_nan=False) + "\n")
        if not keep_weights:
            for pattern in HEAVY:
                for path in self.run(key).rglob(pattern):
                    path.unlink(missing_ok=True)
            shutil.rmtree(self.run(key) / "checkpoints", ignore_errors=True)


@contextmanager
def held(folder: Folder) -> Iterator[None]:
    """Holds a comparison's folder against a second process.

    Raises:
        OSError: another process compares there, or the folder cannot be written.
        ValueError: it holds files of something else.
    """
    ours = {"runs", "records", "checks", "plots", "tuning.db", "tuning.db-journal", ".lock"}
    if folder.path.is_dir() and not folder.design_file.exists():
        half_written = f".{folder.design_file.name}."  # by a process that was killed
        names = (one.name for one in folder.path.iterdir())
        strange = sorted(name for name in names if name not in ours and not name.startswith(half_written))
        if strange:
            raise ValueError(
                f"out: {str(folder.path)!r} holds files of something else ({strange[0]}), expected a comparison "
                "or nothing; choose another folder with --out."
            )
    make_folder(folder.path, "out")
    with (folder.path / ".lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OSError(
                f"out: another process compares in {str(folder.path)!r}, expected none; wait for it, or choose "
                "another folder with --out."
            ) from error
        yield
