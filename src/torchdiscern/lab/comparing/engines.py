"""Where tasks are done: here, in processes of this machine, or on a Ray cluster; the numbers are the same."""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from typing import Any, Protocol, Self

import torch

from torchdiscern.lab.comparing.task import ComparisonError, Task, perform
from torchdiscern.lab.environment import gpu_of

TRIES = 3
PATIENCE = 10  # seconds that a cluster's address has to answer
Outcome = tuple[Task, dict[str, Any] | Exception]


class Engine(Protocol):
    """Does tasks, some at once."""

    def submit(self, task: Task) -> None:
        """Takes a task."""

    def wait(self) -> list[Outcome]:
        """Waits until tasks end; gives each with its numbers, or with what went wrong in it."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Here:
    """This process, one task after the other: no second interpreter to wait for."""

    def __init__(self) -> None:
        self._waiting: list[Task] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def submit(self, task: Task) -> None:
        self._waiting.append(task)

    def wait(self) -> list[Outcome]:
        task = self._waiting.pop(0)
        try:
            return [(task, perform(task))]
        except Exception as error:
            return [(task, error)]


class Local:
    """Processes of this machine. One that is killed is replaced, and its task done again where it was.

    Args:
        jobs: processes at once.
    """

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs
        self._pool: ProcessPoolExecutor | None = None
        self._running: dict[Future[dict[str, Any]], Task] = {}
        self._tries: dict[str, int] = {}
        self._lost: list[Task] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end(kill=bool(self._running or self._lost))

    def _end(self, kill: bool) -> None:
        """Idle workers end by themselves and give back what they hold; others are killed, to be resumed later."""
        if self._pool is not None:
            workers = list((self._pool._processes or {}).values()) if kill else []
            self._pool.shutdown(wait=not kill, cancel_futures=True)
            for worker in workers:
                worker.kill()
            for worker in workers:
                worker.join(5)
        self._pool = None

    def submit(self, task: Task) -> None:
        if self._pool is None:
            # a fresh interpreter each: torch's threads do not survive a fork
            fresh = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(
                self.jobs, mp_context=fresh, initializer=_alone, initargs=(fresh.Value("i", 0), os.getpid())
            )
        try:
            self._running[self._pool.submit(perform, task)] = task
        except BrokenProcessPool:  # one has died since
            self._lost.append(task)

    def wait(self) -> list[Outcome]:
        done = wait(self._running, return_when=FIRST_COMPLETED)[0] if self._running else set()
        ended: list[Outcome] = []
        lost, self._lost = self._lost, []
        for future in done:
            task = self._running.pop(future)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                lost.append(task)
            elif error is None:
                ended.append((task, future.result()))
            else:
                ended.append((task, error if isinstance(error, Exception) else RuntimeError(repr(error))))
        if lost:
            ended += self._again(lost)
        return ended

    def _again(self, lost: list[Task]) -> Iterator[Outcome]:
        """All that ran in a broken pool begins again; nobody tells whose process it was that died."""
        lost += self._running.values()
        self._running.clear()
        self._end(kill=True)
        for task in lost:
            self._tries[task.key] = self._tries.get(task.key, 1) + 1
            if self._tries[task.key] > TRIES:
                yield task, _lost(task.key)
            else:
                self.submit(task)


class Ray:
    """An existing Ray cluster, or one of this machine's processors.

    Args:
        jobs: processors of the cluster that is started where no address is given.
        address: of a cluster, as `ray.init` has it: `"auto"`, `"ray://HOST:10001"`, ...
        cpus, gpus: that each task takes.
    """

    def __init__(self, jobs: int, address: str | None = None, cpus: float = 1, gpus: float = 0) -> None:
        self.jobs, self.address, self.cpus, self.gpus = jobs, address, cpus, gpus
        self._running: dict[Any, Task] = {}

    def __enter__(self) -> Self:
        try:
            import ray
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "engine: got 'ray', which is not installed, expected it; run: pip install 'torchdiscern[ray]'.",
                name="ray",
            ) from error
        self._ray = ray
        self._began = not ray.is_initialized()
        if self._began:
            local: dict[str, Any] = {"num_cpus": max(1, round(self.jobs * self.cpus))}
            # its workers find what this process does, a user's own arm in the current folder too
            local["runtime_env"] = {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}}
            local |= {"include_dashboard": False} | ({"num_gpus": self.jobs * self.gpus} if self.gpus else {})
            try:
                _expect_answer(self.address)
                ray.init(
                    address=self.address or "local",
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **({} if self.address else local),
                )
            except (OSError, ValueError, RuntimeError) as error:
                reason = " ".join(str(error).split())
                raise OSError(
                    f"address: no Ray cluster answers at {self.address or 'this machine'} ({reason}), expected a "
                    "running one; start it with `ray start --head`, or leave --address out."
                ) from error
        options: Any = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_retries": TRIES - 1}
        self._perform = ray.remote(**options)(perform)
        return self

    def __exit__(self, *_: object) -> None:
        for reference in self._running:
            with suppress(Exception):
                self._ray.cancel(reference, force=True)
        if self._began:
            self._ray.shutdown()

    def submit(self, task: Task) -> None:
        self._running[self._perform.remote(task)] = task

    def wait(self) -> list[Outcome]:
        ready, _ = self._ray.wait(list(self._running), num_returns=1)
        ended: list[Outcome] = []
        for reference in ready:
            task = self._running.pop(reference)
            try:
                ended.append((task, self._ray.get(reference)))
            except self._ray.exceptions.RayTaskError as error:
                ended.append((task, error.cause if isinstance(error.cause, Exception) else error))
            except self._ray.exceptions.RayError:
                ended.append((task, _lost(task.key)))
        return ended


def _expect_answer(address: str | None) -> None:
    """Ray itself asks for minutes, and says so in warnings alone."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE).close()


def _lost(key: str) -> ComparisonError:
    return ComparisonError(
        f"jobs: the process of {key} was killed {TRIES} times, expected it to end; there may be too little "
        "memory for so many at once, set fewer --jobs."
    )


def _alone(begun: Any, parent: int) -> None:
    """A worker leaves Ctrl-C to the process that began it, ends when that one is gone, and has a GPU to itself.

    Args:
        begun: how many workers have begun before, shared by all.
        parent: the process that began it; it may be gone before this one has come so far.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with begun.get_lock():
        number, begun.value = begun.value, begun.value + 1
    count = torch.cuda.device_count()
    if count > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu_of(number, count, os.environ.get("CUDA_VISIBLE_DEVICES"))

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
