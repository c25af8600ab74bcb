"""The terms and what goes with them as torchmetrics: exact over any number of batches and processes.

A mean over batches of a term is not the term of the data set. These metrics keep the sums of activations and
the samples of each class, `[C, D]` and `[C]`, and compute from them once; processes add theirs up. The sums are
float64 (float32 on mps, which has no float64), whatever the type of the features, and stay so under `.half()`
and `.to(dtype)`; `.set_dtype()` changes them.

Needs torchmetrics: `pip install 'torchdiscern[metrics]'`.
"""

try:
    import torchmetrics as _  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "torchmetrics":
        raise
    raise ModuleNotFoundError(
        "torchdiscern.metrics needs torchmetrics; install it with: pip install 'torchdiscern[metrics]'",
        name="torchmetrics",
    ) from None

from torchdiscern.metrics.accuracy import KFeatureAccuracy
from torchdiscern.metrics.features import (
    ClassSelectivity,
    CoverageDivergence,
    DeadFeatures,
    Impurity,
    Owners,
    Ownership,
)
from torchdiscern.metrics.streamed import ClassMeans

__all__ = [
    "ClassMeans",
    "ClassSelectivity",
    "CoverageDivergence",
    "DeadFeatures",
    "Impurity",
    "KFeatureAccuracy",
    "Owners",
    "Ownership",
]
