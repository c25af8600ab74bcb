from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from torchdiscern.lab.inspecting.matching import match


def distributions(classes: int, features: int, seed: int) -> NDArray[np.float64]:
    P: NDArray[np.float64] = np.random.default_rng(seed).gamma(0.5, size=(classes, features))
    P /= P.sum(0)
    return P


def total_variation(p: NDArray[np.float64], q: NDArray[np.float64]) -> float:
    return float(sum(abs(float(a) - float(b)) for a, b in zip(p, q, strict=True)) / 2)


def test_features_that_changed_places_are_found_again() -> None:
    P = distributions(5, 40, 0)
    order = np.random.default_rng(1).permutation(40)
    found = match(P, P[:, order])
    assert (order[found.second] == found.first).all()
    assert found.distance.max() < 1e-12


def test_the_sum_of_distances_is_the_least_of_all_assignments() -> None:
    P, Q = distributions(4, 6, 2), distributions(4, 6, 3)
    least = min(
        sum(total_variation(P[:, i], Q[:, j]) for i, j in enumerate(order)) for order in permutations(range(6))
    )
    found = match(P, Q)
    assert found.distance.sum() == pytest.approx(least)
    each = [total_variation(P[:, i], Q[:, j]) for i, j in zip(found.first, found.second, strict=True)]
    assert found.distance == pytest.approx(each)
    assert (np.diff(found.distance) >= 0).all()


def test_dead_features_and_the_worst_of_the_larger_layer_stay_alone() -> None:
    P, Q = distributions(4, 3, 4), distributions(4, 5, 5)
    P[:, 1] = 0
    Q[:, 2] = P[:, 2]
    found = match(P, Q)
    assert len(found.first) == 2
    assert 1 not in found.first
    assert (found.first[0], found.second[0]) == (2, 2)


def test_no_live_feature_gives_no_pair() -> None:
    assert len(match(np.zeros((3, 2)), distributions(3, 2, 0)).first) == 0


def test_other_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="second: got distributions over 4 classes, expected 3"):
        match(distributions(3, 2, 0), distributions(4, 2, 0))
