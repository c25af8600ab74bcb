"""What a result was made with and on."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import torch

import torchdiscern


def versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "torchdiscern": torchdiscern.__version__}
    return found | {name: version(name) for name in ("torch", "torchvision", "numpy", "scikit-learn", "scipy")}


def hardware() -> dict[str, str | int]:
    return {
        "processor": _processor(),
        "cores": os.cpu_count() or 0,
        "torch_threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown"


@contextmanager
def one_thread() -> Iterator[None]:
    """Computes on one thread: small networks gain nothing from more and crawl where the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
