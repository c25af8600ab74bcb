"""What a result was made with and on."""

import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import torchdiscern

LIBRARIES = (
    "torch",
    "torchvision",
    "numpy",
    "scikit-learn",
    "scipy",
    "lightning",
    "torchmetrics",
    "timm",
    "transformers",
)


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "torchdiscern": torchdiscern.__version__}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def git_state() -> str:
    """The commit of the working folder, `, changed` after it where files differ; empty outside git."""
    return _git(Path.cwd(), "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=, changed")


@cache
def code_state() -> str:
    """The commit of this package, as it was when first asked; empty where it was installed without git."""
    folder = Path(__file__).parent
    ours = _git(folder, "ls-files", Path(__file__).name)  # not merely in a folder of someone's own repository
    return _git(folder, "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=, changed") if ours else ""


def _git(folder: Path, *command: str) -> str:
    try:
        asked = ["git", "-C", str(folder), *command]
        return subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def hardware() -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "torch_threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def trained_on(hardware: Mapping[str, Any], accelerator: str) -> str:
    """The device of what `hardware` gave that a recipe's `accelerator` takes.

    Example:
        >>> machine = {"processor": "A processor", "gpu": "A GPU"}
        >>> trained_on(machine, "auto"), trained_on(machine, "cpu")
        ('A GPU', 'A processor')
    """
    gpu = None if accelerator == "cpu" else hardware.get("gpu")
    return str(gpu or hardware["processor"])


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


def accelerator_of(setting: str) -> str:
    """What Lightning's `auto` will take, by name."""
    if setting != "auto":
        return {"cuda": "gpu"}.get(setting, setting)
    if torch.cuda.is_available():
        return "gpu"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def gpu_of(worker: int, count: int, visible: str | None) -> str:
    """The GPU that a worker process takes, as `CUDA_VISIBLE_DEVICES` names it: each the next, round and round.

    Args:
        worker: its number, from 0.
        count: GPUs that this process sees.
        visible: `CUDA_VISIBLE_DEVICES` of this process, None where it is not set.

    Example:
        >>> [gpu_of(worker, 2, None) for worker in range(3)], gpu_of(1, 2, "4,7")
        (['0', '1', '0'], '7')
    """
    names = visible.split(",")[:count] if visible else [str(number) for number in range(count)]
    return names[worker % count].strip()


def device_of(accelerator: str) -> torch.device:
    """The device of an accelerator on which a single process computes."""
    return torch.device({"gpu": "cuda"}.get(accelerator, accelerator))


def precision_of(setting: str, accelerator: str, small: bool = False) -> tuple[str, str]:
    """The precision to train in, as Lightning names it, and why.

    Half precision where the hardware computes it natively: elsewhere it is emulated, and was measured ten times
    slower than float32 on a CPU without it, twice as fast on one with it.

    Args:
        setting: `"auto"`, `"32"`, `"bf16"` or `"16"`.
        accelerator: `"cpu"`, `"gpu"`, `"mps"`, ...
        small: a few layers on cached features, where half precision gains nothing.
    """
    if setting != "auto":
        return {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}[setting], "as set"
    if small:
        return "32-true", "too small a network to gain from half precision"
    if accelerator == "cpu":
        if bfloat16_on_cpu():
            return "bf16-mixed", "the CPU has bfloat16 instructions"
        return "32-true", "the CPU has no bfloat16 instructions"
    if accelerator == "gpu":
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16-mixed", "the GPU computes in bfloat16"
        if torch.cuda.get_device_capability() >= (7, 0):
            return "16-mixed", "the GPU computes in float16 and not in bfloat16"
    return "32-true", f"no half precision known to be fast on {accelerator}"


def bfloat16_on_cpu() -> bool:
    """Whether the CPU has AVX512-BF16 or AMX; False where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    flags = cpuinfo.read_text().split() if cpuinfo.exists() else []
    return "avx512_bf16" in flags or "amx_bf16" in flags


@contextmanager
def one_thread() -> Iterator[None]:
    """Computes on one thread: small networks gain nothing from more and crawl where the cores are busy."""
    with threads(1):
        yield


@contextmanager
def threads(number: int | None) -> Iterator[None]:
    """Computes on so many threads; None leaves them as they are."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
