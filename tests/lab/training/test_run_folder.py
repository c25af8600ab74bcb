"""Folders that cannot take a run, hold something else, or hold what one should not load."""

import multiprocessing
import os
import random
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import Logger
from rich.console import Console

from torchdiscern.lab import Recipe, Run, train
from torchdiscern.lab.training import finish
from torchdiscern.lab.training.checkpoints import load_checkpoint

# a thread's traceback, which pytest would catch and only warn of
pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")

RECIPE = Recipe.named("digits").with_settings(
    width=8, epochs=12, augment="shift", memory=0.9, log_every=1, loggers=(), accelerator="cpu", devices=1
)
FULL = (
    r"^out: '.*' cannot take more \(.*\), expected room for checkpoints; make room and go on with --resume, .*\.$"
)


def run_in(folder: Path, recipe: Recipe = RECIPE, resume: bool = False, *loggers: Logger) -> Run:
    return train(recipe, folder, resume=resume, console=Console(quiet=True), loggers=loggers)


class AtStep(Logger):
    """Does something when a step is logged."""

    name = "at step"
    version = ""

    def __init__(self, step: int, do: Callable[[], None]) -> None:
        super().__init__()
        self.step, self.do = step, do

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if step == self.step:
            self.do()

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        pass


def stop() -> None:
    raise RuntimeError("stopped here")


@pytest.fixture
def unfinished(tmp_path: Path) -> Run:
    with pytest.raises(RuntimeError, match="stopped here"):
        run_in(tmp_path / "run", RECIPE, False, AtStep(30, stop))
    found = Run(tmp_path / "run")
    assert load_checkpoint(found.checkpoints / "last.ckpt")["global_step"] == 24
    return found


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_in(tmp_path_factory.mktemp("unbroken") / "run")


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Writing more into a file fails, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


def assert_resumes_to(run: Run, expected: Run) -> None:
    assert not run.finished
    assert 0 < load_checkpoint(run.checkpoints / "last.ckpt")["epoch"] < RECIPE.epochs - 1
    assert load_checkpoint(run.checkpoints / "best.ckpt")
    assert [path.name for path in run.folder.rglob(".*") if path.name != ".lock"] == []
    found = train(None, run.folder, resume=True, console=Console(quiet=True))
    for name, value in expected.weights.items():
        assert torch.equal(found.weights[name], value), name
    assert found.result["best"] == expected.result["best"]


@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
def test_a_file_that_cannot_grow(
    tmp_path: Path, unbroken: Run, capfd: pytest.CaptureFixture[str], logger: str
) -> None:
    recipe = RECIPE.with_settings(loggers=(logger,))
    largest = max(path.stat().st_size for path in unbroken.checkpoints.iterdir())
    # room for a checkpoint, but not for the growing file: TensorBoard's is written in a thread of its own
    grown = (unbroken.folder / "metrics.csv").stat().st_size
    assert largest + 2000 < grown
    with files_of_at_most(largest + 2000), pytest.raises(OSError, match=FULL):
        run_in(tmp_path / "run", recipe)
    assert capfd.readouterr().err == ""
    assert_resumes_to(Run(tmp_path / "run"), unbroken)


def test_a_checkpoint_that_does_not_fit(tmp_path: Path, unbroken: Run) -> None:
    size = (unbroken.checkpoints / "last.ckpt").stat().st_size - 1000

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))

    with files_of_at_most(10**9), pytest.raises(OSError, match=FULL):
        run_in(tmp_path / "run", RECIPE, False, AtStep(40, fill))
    assert (tmp_path / "run" / "metrics.csv").stat().st_size < size
    assert_resumes_to(Run(tmp_path / "run"), unbroken)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"a small disk cannot be mounted here: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("logger", ["csv", "tensorboard"])
def test_a_full_disk(small_disk: Path, unbroken: Run, capfd: pytest.CaptureFixture[str], logger: str) -> None:
    filler = small_disk / "filler"

    def fill() -> None:
        with filler.open("wb", buffering=0) as file:
            while True:
                try:
                    file.write(bytes(512))
                except OSError:
                    return

    with pytest.raises(OSError, match=FULL):
        run_in(small_disk / "run", RECIPE.with_settings(loggers=(logger,)), False, AtStep(40, fill))
    assert capfd.readouterr().err == ""
    with pytest.raises(OSError, match=FULL):
        run_in(small_disk / "run", RECIPE.with_settings(loggers=(logger,)), True)
    filler.unlink()
    assert_resumes_to(Run(small_disk / "run"), unbroken)


@pytest.mark.parametrize("out", ["/dev/null/run", "/proc/run", "file", "file/run"])
def test_a_folder_that_cannot_be_made(tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OSError, match=r"^out: cannot write to '.*' \(.*\), expected a folder to write to; .*\.$"):
        run_in(tmp_path / out)
    assert (tmp_path / "file").read_text() == "mine"


def _as_nobody(folder: Path) -> None:
    os.chdir(folder.parent)  # it lies below folders that nobody may enter
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    try:
        run_in(Path(folder.name))
    except OSError as error:
        os._exit(0 if str(error).startswith("out: cannot write to 'run' (Permission denied), expected") else 2)
    os._exit(1)


def test_a_folder_of_someone_else(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    folder = tmp_path / "run"
    folder.mkdir(mode=0o555)
    child = multiprocessing.get_context("fork").Process(target=_as_nobody, args=(folder,))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "file", ["notes.txt", ".bashrc.bak", ".pre-commit-config.yaml", ".env.local.x", "checkpoints/last.ckpt"]
)
@pytest.mark.parametrize("resume", [False, True])
def test_files_of_something_else_are_left_alone(tmp_path: Path, file: str, resume: bool) -> None:
    path = tmp_path / "other" / file
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=rf"^out: '.*' holds files of something else \({path.name}\), expected "):
        run_in(tmp_path / "other", resume=resume)
    assert contents(tmp_path) == before


def test_a_run_is_not_begun_twice(unfinished: Run, unbroken: Run) -> None:
    for run, state, todo in (
        (unfinished, "a run that was not finished", "go on with it by --resume"),
        (unbroken, "a finished run", "look at it with `torchdiscern evaluate`"),
    ):
        before = contents(run.folder)
        with pytest.raises(ValueError, match=rf"^out: '.*' holds {state}, expected nothing; {todo}, or .*\.$"):
            run_in(run.folder)
        assert contents(run.folder) == before


def test_what_a_killed_process_left_is_removed_and_nothing_else(unfinished: Run, unbroken: Run) -> None:
    left = [unfinished.folder / ".metrics.csv.a_b1c2d3", unfinished.checkpoints / ".last.ckpt.0123abcd"]
    mine = [unfinished.folder / ".notes.txt", unfinished.folder / ".metrics.csv.swp"]
    for path in left + mine:
        path.write_text("half")
    run_in(unfinished.folder, resume=True)
    assert [path for path in left if path.exists()] == []
    assert [path for path in mine if not path.exists()] == []
    assert torch.equal(*(run.weights["classifier.weight"] for run in (unfinished, unbroken)))


def test_a_process_killed_before_its_first_file_is_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / ".recipe.yaml.abcdefgh").write_text("half")
    (folder / ".lock").touch()
    assert run_in(folder, RECIPE.with_settings(epochs=1)).finished
    assert not (folder / ".recipe.yaml.abcdefgh").exists()


class Attack:
    """Once unpickled, it has run."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


REFUSED = (
    r"^checkpoints: '.*{}' could not be read as tensors and plain types \(\w+\), expected a checkpoint of a run; "
    r".*\.$"
)


def test_a_checkpoint_cannot_run_code(tmp_path: Path, unfinished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = tmp_path / "trace"
    last = unfinished.checkpoints / "last.ckpt"
    whole = last.read_bytes()
    for attack in (Attack(trace), load_checkpoint(last) | {"more": Attack(trace)}):
        torch.save(attack, last)
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # what others may have set for their files
        with pytest.raises(ValueError, match=REFUSED.format("last.ckpt")):
            run_in(unfinished.folder, resume=True)
        assert not trace.exists()
    torch.load(last, weights_only=False)
    assert trace.exists()  # an attack that would have worked
    trace.unlink()
    last.write_bytes(whole)
    monkeypatch.setattr(finish, "finish", lambda *_: None)
    run_in(unfinished.folder, resume=True)
    monkeypatch.undo()
    torch.save(Attack(trace), unfinished.checkpoints / "best.ckpt")
    with pytest.raises(ValueError, match=REFUSED.format("best.ckpt")):
        run_in(unfinished.folder, resume=True)
    assert not trace.exists()


def test_a_damaged_checkpoint_is_one_sentence(unfinished: Run, unbroken: Run) -> None:
    last = unfinished.checkpoints / "last.ckpt"
    whole = last.read_bytes()
    noise = random.Random(0).randbytes(1000)
    for damaged in (b"", whole[:1000], whole[:-1000], noise, whole[:3000] + noise + whole[4000:]):
        last.write_bytes(damaged)
        with pytest.raises(ValueError, match=REFUSED.format("last.ckpt")):
            run_in(unfinished.folder, resume=True)
    others: list[object] = [torch.ones(3), {}, [1, 2], {"state_dict": {}}]
    for other in others:
        torch.save(other, last)
        with pytest.raises(ValueError, match=REFUSED.format("last.ckpt")):
            run_in(unfinished.folder, resume=True)
    last.write_bytes(whole)
    assert_resumes_to(unfinished, unbroken)


def test_a_recipe_without_what_it_was_made_with_is_one_sentence(unfinished: Run) -> None:
    text = unfinished.recipe_file.read_text()
    unfinished.recipe_file.write_text(text[: text.index("made_with:")])
    with pytest.raises(ValueError, match=r"recipe\.yaml' does not say what the run was made with"):
        run_in(unfinished.folder, resume=True)
