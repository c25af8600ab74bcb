"""Makes Holm's correction cheap to call thousands of times."""

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def frozen_heap() -> Iterator[None]:
    """statsmodels collects garbage at every correction, a tenth of a second where torch is on the heap."""
    gc.freeze()
    yield
    gc.unfreeze()
