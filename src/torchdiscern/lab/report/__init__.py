"""The feature report: what a page holds, how it is written, and how a notebook shows it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchdiscern.lab.report.notebook import FeatureReport, features

__all__ = ["FeatureReport", "features"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # on demand: what is inspected fills the contents in this package, and needs them first
    return getattr(import_module(f"{__name__}.notebook"), name)
