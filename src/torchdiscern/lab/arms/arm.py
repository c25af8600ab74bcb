"""An arm of a comparison: recipe settings by a name, with what one should know before taking it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Space = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Arm:
    """One arm.

    Attributes:
        settings: recipe settings that make it, `arm` among them.
        space: what tuning draws for this arm alone: setting to lowest and highest, by its logarithm.
        title: what it is, in a few words.
        formula: what is minimised, in plain text.
        source: the paper, and the library where its code is not ours.
        weights: values to try.
        cost: of a training step, beside cross-entropy's.
        not_when: when not to take it.
    """

    settings: Mapping[str, Any]
    space: Space = field(default_factory=dict)
    title: str = ""
    formula: str = ""
    source: str = ""
    weights: str = ""
    cost: str = ""
    not_when: str = ""
