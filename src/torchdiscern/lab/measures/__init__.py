"""What a trained network is measured by, beside accuracy."""

from torchdiscern.lab.measures.everything import measures_of
from torchdiscern.lab.measures.reading import Read, Recorder, read_rows
from torchdiscern.lab.measures.table import ATTACKED, MEASURES, Measure, measure_of, relative_band

__all__ = [
    "ATTACKED",
    "MEASURES",
    "Measure",
    "Read",
    "Recorder",
    "measure_of",
    "measures_of",
    "read_rows",
    "relative_band",
]
