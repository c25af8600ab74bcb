"""What is said of decisions is what the network itself decides."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from subject_cases import plain

from torchdiscern.lab.inspecting.decisions import decisions_of
from torchdiscern.lab.inspecting.layer_numbers import numbers_of
from torchdiscern.lab.inspecting.seeing import see
from torchdiscern.lab.inspecting.subject import subject_of
from torchdiscern.lab.training.folder import Run


@pytest.mark.parametrize("arm", ["ce", "arcface", "etf"])
def test_logits_parts_and_probabilities_are_the_network_s(
    trained: Callable[..., Run], tmp_path: Path, arm: str
) -> None:
    settings = {"head": 16} if arm == "etf" else {}
    run = trained("digits", epochs=2, width=16, arm=arm, per_class=40, precision="32", **settings)
    subject = subject_of(str(run.folder))
    seen = see(subject, tmp_path, Console(quiet=True))
    found = decisions_of(seen, numbers_of(seen, 0))
    assert found is not None
    logits = plain(subject, *subject.layers)[0].double()
    predicted = logits.argmax(1)
    images = torch.arange(len(logits))
    assert (torch.from_numpy(found.predicted) == predicted).double().mean() > 0.995  # two logits may be equal
    both = torch.stack(
        [logits[images, torch.from_numpy(found.predicted).long()], logits[images, subject.labels]], 1
    )
    np.testing.assert_allclose(found.logits, both, atol=2e-3)
    probability = logits.softmax(1)[images, torch.from_numpy(found.predicted).long()]
    np.testing.assert_allclose(found.probability, probability, atol=2e-3)
    own = np.array([logits[subject.labels == c, c].mean() for c in range(10)])
    bias = 0 if seen.bias is None else seen.bias
    np.testing.assert_allclose(found.whole_part + bias, own, atol=5e-3)
