"""What paired runs show: numbers in, numbers out.

`contrasts` judges every arm against a baseline, `interval_of_mean` gives a mean its spread, `smallest_difference`
and `seeds_needed` say beforehand what so many seeds can show.
"""

from torchdiscern.lab.evidence.contrast import Contrast, Metric
from torchdiscern.lab.evidence.intervals import Mean, interval_of_mean
from torchdiscern.lab.evidence.judging import contrasts
from torchdiscern.lab.evidence.paired import PairedDifference, paired_difference
from torchdiscern.lab.evidence.power import seeds_needed, smallest_difference

__all__ = [
    "Contrast",
    "Mean",
    "Metric",
    "PairedDifference",
    "contrasts",
    "interval_of_mean",
    "paired_difference",
    "seeds_needed",
    "smallest_difference",
]
