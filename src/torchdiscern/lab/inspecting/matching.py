"""Which feature of one network is which of another, by the classes that they fire for."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist


@dataclass(frozen=True, eq=False)
class Matching:
    """The features of two layers, one to one, so that the distances sum to the least.

    Args:
        first, second: `[m]`, features of the two layers that are a pair, by ascending distance.
        distance: `[m]`, total variation between their class distributions, in [0, 1]: the share of the one that
            would have to move to make it the other.
    """

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    distance: NDArray[np.float64]


def match(first: NDArray[np.float64], second: NDArray[np.float64]) -> Matching:
    """Pairs the live features of two layers by their class distributions.

    Features have no order of their own: those of two networks, or of one network trained twice, can only be
    compared once each has found its like. Of the layer with more live features the worst are left out.

    Args:
        first: `P` of one layer, `[C, D1]`; a dead feature's column is 0.
        second: `P` of the other, `[C, D2]`, of the same classes.

    Returns:
        The pairs, as many as the layer with fewer live features has.

    Raises:
        ValueError: another number of classes.

    Source: extension; the assignment is that of Jonker and Volgenant, by scipy.

    Example:
        >>> P = np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> found = match(P, P[:, ::-1])
        >>> found.second.tolist(), found.distance.tolist()
        ([1, 0], [0.0, 0.0])
    """
    if len(first) != len(second):
        raise ValueError(
            f"second: got distributions over {len(second)} classes, expected {len(first)} as the first has; "
            "compare two networks on the same images."
        )
    alive = [np.flatnonzero(one.sum(0) > 0) for one in (first, second)]
    distances = cdist(first[:, alive[0]].T, second[:, alive[1]].T, "cityblock") / 2
    rows, columns = linear_sum_assignment(distances)
    distance = distances[rows, columns]
    order = np.argsort(distance, kind="stable")
    return Matching(alive[0][rows[order]], alive[1][columns[order]], distance[order])
