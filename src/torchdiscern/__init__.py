"""A loss beside cross-entropy that makes every feature tell classes apart."""

from torchdiscern import functional
from torchdiscern.loss import DiscriminabilityLoss
from torchdiscern.taps import FeatureTap

__all__ = ["DiscriminabilityLoss", "FeatureTap", "functional"]
__version__ = "0.1.0"
