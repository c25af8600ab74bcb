"""Readers of small networks on the digits, for the tests of the measures."""

from functools import lru_cache
from typing import Any

import torch
from rich.console import Console

from torchdiscern.lab.data import Images, load_images
from torchdiscern.lab.recipe import Recipe
from torchdiscern.lab.training.fit import fit
from torchdiscern.lab.training.measure import Reader
from torchdiscern.lab.training.prepared import Prepared, prepare


@lru_cache(maxsize=1)
def digits() -> Images:
    return load_images("digits", None)


def prepared_of(**settings: Any) -> Prepared:
    chosen = {"arm": "ce", "epochs": 6, "batch_size": 32, "per_class": 30, "loggers": ()} | settings
    return prepare(Recipe.named("digits").with_settings(**chosen), Console(quiet=True), digits())


@lru_cache(maxsize=4)
def reader_of(**settings: Any) -> Reader:
    """Of a network trained for a moment; it is shared, so leave it as it is."""
    prepared = prepared_of(**settings)
    fit(prepared)
    return Reader(prepared, torch.device("cpu"))


WHOLE = {"holdout_classes": 3, "label_noise": 0.3}
FROZEN = WHOLE | {"freeze": "backbone", "head": 12, "normalise": "data"}
