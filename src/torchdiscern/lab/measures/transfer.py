"""What the features are worth beyond the classes that were learnt: few-shot accuracy, and telling strangers."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import normalize

from torchdiscern.lab.measures.detection import auroc
from torchdiscern.lab.seeds import generator

EPISODES = 400
TOGETHER = 40  # episodes whose features are gathered at once, to bound memory


class Episode(NamedTuple):
    """Size of a few-shot task: classes, images of each to learn from, and to be asked about."""

    ways: int
    shots: int
    queries: int


USUAL = Episode(5, 5, 15)


def episode_of(counts: Tensor) -> Episode | None:
    """The largest episode that the data allow, at most 5 classes, 5 shots and 15 queries.

    Queries are given up first, then shots, then classes, down to two classes with a shot and a query each.

    Args:
        counts: `[K]`, images of each class.

    Returns:
        None where fewer than two classes have two images.

    Example:
        >>> episode_of(torch.tensor([20, 20, 20, 20, 12]))
        Episode(ways=5, shots=5, queries=7)
    """
    sizes = counts.sort(descending=True).values
    for ways in range(min(USUAL.ways, len(sizes)), 1, -1):
        smallest = int(sizes[ways - 1])
        if smallest >= 2:
            shots = min(USUAL.shots, smallest - 1)
            return Episode(ways, shots, min(USUAL.queries, smallest - shots))
    return None


def few_shot_accuracy(features: Tensor, labels: Tensor, seed: int, episodes: int = EPISODES) -> float | None:
    """Accuracy of the nearest class mean, by cosine, in small tasks on classes that were never learnt.

    Args:
        features: `[n, D]`, what the classifier reads of images of the held-out classes.
        labels: `[n]`, their classes, any whole numbers from 0.
        seed: the recipe's, from which classes, shots and queries are drawn, the same ones for every network.
        episodes: tasks to average over.

    Returns:
        In [0, 1], 0.2 by chance at five classes; None where no task can be made, see `episode_of`.

    Source: prototypes of Snell, Swersky and Zemel, 2017, with the cosine of Chen et al., 2019.

    Example:
        >>> few_shot_accuracy(torch.eye(3).repeat(9, 1), torch.arange(3).repeat(9), seed=0)
        1.0
    """
    counts = labels.bincount()
    size = episode_of(counts)
    if size is None:
        return None
    enough = (counts >= size.shots + size.queries).nonzero().flatten()
    draw = generator(seed, "episodes")
    order = labels.argsort(stable=True)
    first = counts.cumsum(0) - counts
    right = 0
    for done in range(0, episodes, TOGETHER):
        number = min(TOGETHER, episodes - done)
        classes = enough[torch.rand(number, len(enough), generator=draw).argsort(1)[:, : size.ways]]
        lots = torch.rand(number, size.ways, int(counts.max()), generator=draw)
        lots[torch.arange(lots.shape[2]) >= counts[classes].unsqueeze(2)] = torch.inf
        place = lots.topk(size.shots + size.queries, largest=False).indices
        drawn = features[order[first[classes].unsqueeze(2) + place]]
        means = normalize(drawn[:, :, : size.shots].mean(2), dim=2)
        asked = drawn[:, :, size.shots :].flatten(1, 2)  # cosine: a query's own length does not change its order
        said = torch.bmm(asked, means.transpose(1, 2)).argmax(2).view(number, size.ways, size.queries)
        right += int((said == torch.arange(size.ways).view(1, -1, 1)).sum())
    return right / (episodes * size.ways * size.queries)


def out_of_distribution(logits: Tensor, held_out: Tensor) -> dict[str, float]:
    """How well images of classes that were never learnt are told from test images, by how sure the network is.

    Args:
        logits: `[n, C]`, of the test images.
        held_out: `[m, C]`, logits of images of other classes.

    Returns:
        `ood_auroc`, by the largest softmax probability, and `ood_auroc_logit`, by the largest logit; in [0, 1],
        0.5 by chance. Empty where either has no image.

    Source: Hendrycks and Gimpel, 2017; the logit of Hendrycks et al., 2022.

    Example:
        >>> out_of_distribution(torch.tensor([[9.0, 0.0], [0.0, 5.0]]), torch.tensor([[2.0, 1.0]]))
        {'ood_auroc': 1.0, 'ood_auroc_logit': 1.0}
    """
    if not len(logits) or not len(held_out):
        return {}
    both = torch.cat([logits, held_out]).double()
    strange = torch.arange(len(both)) >= len(logits)
    sure = {"ood_auroc": both.log_softmax(1).amax(1), "ood_auroc_logit": both.amax(1)}
    return {name: auroc(-values, strange) for name, values in sure.items()}
