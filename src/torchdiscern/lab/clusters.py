"""Clusters of features as labels that cost nobody a label."""

import warnings

import torch
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans, MiniBatchKMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor
from torch.nn.functional import normalize

from torchdiscern import checks
from torchdiscern.lab.seeds import derived

WHOLE = 20_000  # images up to which k-means sees all of them at every step
STARTS = 3


def cluster(features: Tensor, num_clusters: int, seed: int, previous: Tensor | None = None) -> Tensor:
    """Clusters of features by k-means, each feature vector first scaled to length 1 (zeros stay zeros).

    Above 20,000 images k-means runs in mini-batches. Where fewer than K different vectors are there, fewer
    clusters than K are used.

    Args:
        features: `[n, D]`.
        num_clusters: K, from 2 to n.
        seed: equal seeds give equal clusters.
        previous: `[n]`, clusters of the same images that the new ones are renumbered after, as `matched` does.

    Returns:
        The cluster of each image, `[n]` int64, from 0 to K - 1.

    Raises:
        ValueError, TypeError: more clusters than images, or features that are no finite `[n, D]`.

    Example:
        >>> found = cluster(torch.tensor([[1.0, 0.0], [5.0, 0.1], [0.0, 2.0]]), 2, seed=0)
        >>> bool(found[0] == found[1]), bool(found[0] == found[2])
        (True, False)
    """
    checks.check_whole(num_clusters, "num_clusters", low=2, hint="pass the number of clusters")
    if features.ndim != 2:
        raise ValueError(
            f"features: got shape {list(features.shape)}, expected [n, D]; pool or flatten the other axes."
        )
    if num_clusters > len(features):
        raise ValueError(
            f"num_clusters: got {num_clusters} clusters for {len(features)} images, expected at most one an "
            "image; ask for fewer."
        )
    if not bool(features.isfinite().all()):
        raise ValueError(
            "features: got NaN or infinite ones, expected finite ones; look for what diverged, as at a learning "
            "rate too high."
        )
    found = _k_means(normalize(features.detach().cpu().float()), num_clusters, derived(seed, "k-means"))
    return found if previous is None else matched(found, previous, num_clusters)


def matched(labels: Tensor, previous: Tensor, num_clusters: int) -> Tensor:
    """Clusters renumbered so that as many images as possible keep the number they had.

    The renumbering is one to one and the best there is (an assignment on the table of how many images each new
    cluster shares with each previous one); images whose previous number is below 0 have no say.

    Args:
        labels: `[n]`, the new clusters, from 0 to K - 1.
        previous: `[n]`, the previous ones of the same images, below K.
        num_clusters: K.

    Raises:
        ValueError: not as many labels as previous ones, or clusters out of their range.

    Example:
        >>> matched(torch.tensor([0, 0, 1, 1, 2]), torch.tensor([2, 2, 0, 0, 0]), 3)
        tensor([2, 2, 0, 0, 1])
    """
    if labels.shape != previous.shape or labels.ndim != 1:
        raise ValueError(
            f"previous: got shape {list(previous.shape)} for labels {list(labels.shape)}, expected [n] for both; "
            "pass the previous clusters of the same images."
        )
    labels, previous = labels.detach().cpu().long(), previous.detach().cpu().long()
    _check_range(labels, "labels", 0, num_clusters)
    _check_range(previous, "previous", None, num_clusters)
    known = previous >= 0
    pairs = labels[known] * num_clusters + previous[known]
    shared = pairs.bincount(minlength=num_clusters**2).view(num_clusters, num_clusters)
    _, numbers = linear_sum_assignment(shared.numpy(), maximize=True)
    return torch.as_tensor(numbers, dtype=torch.int64)[labels]


def _k_means(points: Tensor, num_clusters: int, seed: int) -> Tensor:
    kind = KMeans if len(points) <= WHOLE else MiniBatchKMeans
    model = kind(num_clusters, n_init=STARTS, random_state=seed % 2**32)
    # several threads would add up the centres in an order that differs from run to run
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # duplicates make fewer clusters, as documented
        return torch.as_tensor(model.fit_predict(points.numpy()), dtype=torch.int64)


def _check_range(numbers: Tensor, name: str, low: int | None, num_clusters: int) -> None:
    wrong = numbers[(numbers >= num_clusters) | (numbers < (numbers if low is None else low))]
    if len(wrong):
        raise ValueError(
            f"{name}: got the cluster {int(wrong[0])}, expected numbers below num_clusters={num_clusters}"
            f"{'' if low is None else f' and from {low} on'}; pass the number of clusters of both."
        )
