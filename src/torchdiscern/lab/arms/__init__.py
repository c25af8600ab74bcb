"""The arms: what is trained in the place of cross-entropy alone, ours, the rivals and the user's own.

The recipe's setting `arm` names an objective. `ARMS` are the arms of a comparison: each is a set of recipe
settings, `arm` among them.
"""

from torchdiscern.lab.arms.arm import Arm
from torchdiscern.lab.arms.objectives import (
    NAMES,
    RIVALS,
    SCALE,
    Objective,
    check,
    classifier_of,
    in_words,
    moves_features,
    objective_of,
)
from torchdiscern.lab.arms.step import Ran, Step
from torchdiscern.lab.arms.table import ARMS, defaults_of, settings_of, space_of, title_of
from torchdiscern.lab.arms.terms import CE, RECOMMENDED, TERMS, criterion_of

__all__ = [
    "ARMS",
    "CE",
    "NAMES",
    "RECOMMENDED",
    "RIVALS",
    "SCALE",
    "TERMS",
    "Arm",
    "Objective",
    "Ran",
    "Step",
    "check",
    "classifier_of",
    "criterion_of",
    "defaults_of",
    "in_words",
    "moves_features",
    "objective_of",
    "settings_of",
    "space_of",
    "title_of",
]
