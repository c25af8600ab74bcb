"""The lab: finds out whether the loss helps. It trains, compares and shows; the ground floor never needs it."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torchdiscern.lab.comparing.compare import compare
    from torchdiscern.lab.comparing.results import Results
    from torchdiscern.lab.recipe import Recipe
    from torchdiscern.lab.training.folder import Run
    from torchdiscern.lab.training.run import train

__all__ = ["Recipe", "Results", "Run", "compare", "train"]

_missing = [
    package
    for module, package in {
        "art": "adversarial-robustness-toolbox",
        "cleanlab": "cleanlab",
        "jinja2": "jinja2",
        "lightning": "lightning",
        "matplotlib": "matplotlib",
        "numpy": "numpy",
        "optuna": "optuna",
        "PIL": "pillow",
        "pytorch_metric_learning": "pytorch-metric-learning",
        "rich": "rich",
        "safetensors": "safetensors",
        "scipy": "scipy",
        "sklearn": "scikit-learn",
        "statsmodels": "statsmodels",
        "tensorboard": "tensorboard",
        "timm": "timm",
        "torchmetrics": "torchmetrics",
        "torchvision": "torchvision",
        "transformers": "transformers",
        "yaml": "pyyaml",
    }.items()
    if find_spec(module) is None
]
if _missing:
    raise ModuleNotFoundError(
        f"torchdiscern.lab needs {', '.join(_missing)}, which is not installed; "
        "run: pip install 'torchdiscern[lab]' (in a clone: pip install '.[lab]')",
        name=_missing[0],
    )

_HOMES = {
    "Recipe": "recipe",
    "Results": "comparing.results",
    "compare": "comparing.compare",
    "Run": "training.folder",
    "train": "training.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # on demand, so that a part of the lab that trains nothing does not wait for Lightning
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
