"""One run from a recipe to its folder."""

import errno
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import lightning.pytorch.loggers as lightning_loggers
import torch.distributed as dist
from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console

from torchdiscern import checks
from torchdiscern.lab import environment
from torchdiscern.lab.data import Images
from torchdiscern.lab.data.named import SIZES
from torchdiscern.lab.recipe import Recipe
from torchdiscern.lab.training import finish
from torchdiscern.lab.training.batches import EvalBatches, TrainBatches
from torchdiscern.lab.training.checkpoints import KeepBestAndLast, PlainCheckpointIO, load_checkpoint
from torchdiscern.lab.training.csv_log import CsvLog
from torchdiscern.lab.training.fit import learner_of, trainer_of
from torchdiscern.lab.training.folder import Run, clear_leftovers, free_text, held, start_folder, strange_file
from torchdiscern.lab.training.prepared import (
    MACHINE,
    WEIGHTS_AT_HAND,
    Prepared,
    precision_of,
    prepare,
)
from torchdiscern.lab.training.progress import ShowProgress
from torchdiscern.lab.training.showing import quiet_lightning

LOGGERS = {"wandb": "WandbLogger", "mlflow": "MLFlowLogger", "comet": "CometLogger", "neptune": "NeptuneLogger"}


class LostProcessError(RuntimeError):
    """Another process of the same training is gone, and has said why if it could."""


def default_folder(recipe: Recipe) -> Path:
    """`runs/NAME-ARM-SEED`."""
    name = recipe.name or f"{Path(recipe.data).name}-{recipe.model.split('/')[-1]}"
    return Path("runs") / f"{name}-{recipe.arm.replace(':', '.')}-{recipe.seed}"


def chosen_recipe(
    name: str | None, data: str | None, model: str | None, settings: Sequence[str] = ()
) -> Recipe | None:
    """The recipe of a command line; None where neither a recipe nor data nor a network is named.

    On someone's own images it starts from fine-tuning where the network has weights at hand, else from nothing.

    Args:
        name: of a recipe that ships, or a YAML file.
        data: in the place of the recipe's.
        model: in the place of the recipe's.
        settings: `key=value` each.
    """
    own = {key: value for key, value in {"data": data, "model": model}.items() if value is not None}
    if name is not None:
        return Recipe.named(name).with_texts(settings).with_settings(**own)
    if not own:
        if settings:
            raise ValueError(
                f"set: got {settings[0]} without a recipe, expected one to change; name one, as in train digits "
                f"--set {settings[0]}."
            )
        return None
    wanted = Recipe().with_texts(settings).pretrained
    at_hand = model is None or model in WEIGHTS_AT_HAND
    start = "pretrained" if wanted or (at_hand and wanted is None) else "scratch"
    return Recipe.named(start).with_settings(name="").with_settings(**own).with_texts(settings)


def train(
    recipe: Recipe | None = None,
    out: Path | str | None = None,
    *,
    resume: bool = False,
    console: Console | None = None,
    loggers: Sequence[Logger] = (),
    images: Images | None = None,
) -> Run:
    """Trains a network and leaves its folder: weights, numbers, log, checkpoints, model card.

    A run that was killed goes on after its last epoch with `resume` and, on one thread of a CPU, ends with the
    same weights, bit for bit, as one that was not.

    Args:
        recipe: what to train; None, with `resume`, takes that of the folder.
        out: the folder; by default `runs/NAME-ARM-SEED`.
        resume: go on with the run in `out`; a finished one is left as it is.
        console: where to print.
        loggers: further loggers of Lightning.
        images: the recipe's, where they have been read already.

    Returns:
        The run; `run.result` holds the numbers and `run.model()` the network.

    Raises:
        ValueError, TypeError, OSError: with one sentence: a setting, the data, or the folder.

    Example:
        >>> import tempfile
        >>> recipe = Recipe.named("digits").with_settings(epochs=1, arm="ce", loggers=())
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = train(recipe, folder + "/run", console=Console(quiet=True))
        ...     print(sorted(path.name for path in run.folder.iterdir() if path.name[0] != "."))
        ['README.md', 'checkpoints', 'metrics.csv', 'model.safetensors', 'recipe.yaml', 'result.json']
    """
    console = (console or Console()) if is_first() else Console(quiet=True)
    if recipe is None and (out is None or not resume):
        raise ValueError(
            "recipe: got none, expected one, or resume=True with the folder of a run; pass a recipe."
        )
    recipe = None if recipe is None else with_whole_path(recipe)
    run = Run(Path(out) if out is not None else default_folder(recipe or Recipe()))
    first = is_first()
    with ExitStack() as stack:
        if not first and resume and run.finished:  # the first process has nothing to train with this one either
            return run
        if first:
            _expect_own(run, recipe)  # before a lock is put there
            stack.enter_context(held(run))
            clear_leftovers(run.folder)
            clear_leftovers(run.checkpoints)
            recipe = _checked(run, recipe, resume)
            if run.finished:
                console.print(
                    f"{run.folder} holds a finished run; it is left as it is.", markup=False, soft_wrap=True
                )
                return run
        recipe = recipe or run.recipe
        stack.enter_context(environment.threads(recipe.threads))
        stack.enter_context(quiet_lightning())
        stack.enter_context(_full_disk(run))
        _train(run, recipe, resume, console, loggers, images)
    return run


def with_whole_path(recipe: Recipe) -> Recipe:
    """The folder of images by its whole path, so that the run is found from anywhere."""
    if recipe.data in SIZES or not Path(recipe.data).is_dir():
        return recipe
    return recipe.with_settings(data=str(Path(recipe.data).resolve()))


def _train(
    run: Run,
    recipe: Recipe,
    resume: bool,
    console: Console,
    loggers: Sequence[Logger],
    images: Images | None,
) -> None:
    start = time.perf_counter()
    first = is_first()
    prepared = prepare(recipe, console, images)
    made = run.made_with if run.started and resume else {}
    if made and made["data"]["fingerprint"] != prepared.images.fingerprint:
        raise ValueError(
            f"data: the images of {recipe.data!r} are not those that the run in {str(run.folder)!r} began with, "
            "expected the same; bring them back, or start another run."
        )
    precision, why = (made["precision"], made["precision_because"]) if made else precision_of(prepared)
    if first:
        finish.say(prepared, run, precision, why, console)
    last = run.checkpoints / "last.ckpt"
    kept = load_checkpoint(last) if resume and last.exists() else None
    step = kept["global_step"] if kept else 0
    log = CsvLog(run.folder / "metrics.csv", up_to=step)
    keep = KeepBestAndLast(run.checkpoints, log)
    with _named("accelerator"):
        trainer = trainer_of(
            prepared,
            precision,
            devices=recipe.devices,
            num_nodes=recipe.nodes,
            logger=[log, *_loggers(recipe, run, step), *loggers],
            callbacks=[ShowProgress(console), keep],
            plugins=[PlainCheckpointIO()],
            enable_checkpointing=True,
            default_root_dir=run.folder,
        )
    batches, held_out = _batches(prepared, trainer)
    if first and not made:  # here, where all that can be wrong with a setting has been said
        start_folder(run, recipe, finish.made_with(prepared, precision, why))
    try:
        trainer.fit(learner_of(prepared), batches, held_out, ckpt_path=last if kept else None)
    except BaseException as error:
        launcher: Any = trainer.strategy.launcher
        if hasattr(launcher, "kill"):  # those that it started would wait for this one
            launcher.kill(signal.SIGKILL)
        if trainer.interrupted and isinstance(error, SystemExit):  # Lightning makes an exit of Ctrl-C
            raise KeyboardInterrupt from None
        if trainer.world_size > 1 and _is_broken_off(error):
            raise LostProcessError(
                f"devices: one of {trainer.world_size} processes ended early, expected all to train to the end; "
                "its own message says why, and --resume goes on after the last whole epoch."
            ) from error
        raise
    if first:
        finish.finish(run, prepared, keep, console, time.perf_counter() - start)


def _is_broken_off(error: BaseException) -> bool:
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error))


def is_first() -> bool:
    """Whether this process is the one that writes; known before any process group is made."""
    return getattr(rank_zero_only, "rank", 0) == 0


def _batches(prepared: Prepared, trainer: Trainer) -> tuple[TrainBatches, EvalBatches]:
    recipe, labels, world = prepared.recipe, prepared.labels, trainer.world_size
    if recipe.batch_size % world:
        raise ValueError(
            f"batch_size: got {recipe.batch_size} for {world} processes, expected a multiple of their number, "
            f"since each takes an equal part; set batch_size={max(1, recipe.batch_size // world) * world}."
        )
    batches = TrainBatches(prepared.inputs, labels.train, recipe.batch_size, recipe.seed)
    batches.batch_size = max(world, batches.batch_size // world * world)
    batches.epoch = lambda: trainer.current_epoch + 1
    held_out = EvalBatches(prepared.inputs, labels.val)
    for each in (batches, held_out):
        each.process, each.processes = trainer.global_rank, world
    return batches, held_out


def _expect_own(run: Run, recipe: Recipe | None) -> Recipe:
    """The recipe to train in a folder without a run, where there is nothing of someone else's."""
    if run.started:
        return recipe or run.recipe
    other = strange_file(run)
    if other is None and recipe is not None:
        return recipe
    found = f"files of something else ({other})" if other else "no run"
    raise ValueError(
        f"out: {str(run.folder)!r} holds {found}, expected a run or nothing; choose another folder with --out."
    )


def _checked(run: Run, recipe: Recipe | None, resume: bool) -> Recipe:
    """The recipe to train, where the folder agrees."""
    where = f"out: {str(run.folder)!r}"
    if not run.started:
        return _expect_own(run, recipe)
    if not resume:
        state = "a finished run" if run.finished else "a run that was not finished"
        todo = "look at it with `torchdiscern evaluate`" if run.finished else "go on with it by --resume"
        raise ValueError(f"{where} holds {state}, expected nothing; {todo}, or choose another folder with --out.")
    own = run.recipe
    if recipe is not None:
        before, now = own.as_dict(), recipe.as_dict()
        other = [name for name in now if now[name] != before[name] and name not in MACHINE]
        if other:
            raise ValueError(
                f"{where} holds a run with {other[0]}={before[other[0]]!r}, expected {now[other[0]]!r} to resume "
                "it; resume it with its own settings, or choose another folder with --out."
            )
        own = own.with_settings(**{name: getattr(recipe, name) for name in MACHINE})
    return own


def _loggers(recipe: Recipe, run: Run, step: int) -> Iterator[Logger]:
    for name in recipe.loggers:
        if name == "tensorboard":
            yield lightning_loggers.TensorBoardLogger(
                run.folder, "tensorboard", "", purge_step=step + 1 if step else None
            )
        elif name == "csv":
            continue
        elif name in LOGGERS:
            yield getattr(lightning_loggers, LOGGERS[name])(save_dir=run.folder)
        else:
            known = ["tensorboard", *LOGGERS]
            raise ValueError(
                f"loggers: got {name!r}, expected some of {', '.join(map(repr, known))}; "
                f"{checks.nearest(name, known)}"
            )


@contextmanager
def _named(setting: str) -> Iterator[None]:
    """Says in one sentence what Lightning says in its own."""
    try:
        yield
    except MisconfigurationException as error:
        raise ValueError(
            f"{setting}: Lightning refuses what this machine is asked for ({' '.join(str(error).split())}), "
            "expected devices that it has; leave accelerator, devices and nodes out."
        ) from error


@contextmanager
def _full_disk(run: Run) -> Iterator[None]:
    heard = threading.excepthook

    def hear(args: Any) -> None:
        if not _is_full(args.exc_value):  # TensorBoard writes in a thread, and raises here what that met
            heard(args)

    threading.excepthook = hear
    try:
        yield
    except OSError as error:
        if not _is_full(error):
            raise
        raise OSError(
            f"out: {str(run.folder)!r} cannot take more ({error.strerror}; {free_text(run.folder)} are free on "
            "its disk), expected room for checkpoints; make room and go on with --resume, as what was written is "
            "whole."
        ) from error
    finally:
        threading.excepthook = heard


def _is_full(error: BaseException | None) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
