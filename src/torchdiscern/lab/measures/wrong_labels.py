"""How well wrong labels are found among the training images.

Whatever looks for them sees the given labels alone; which are wrong is known here because they were made so.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from torchdiscern import functional
from torchdiscern.lab.measures.detection import auroc, precision_of_first


def own_probability(logits: Tensor, given: Tensor) -> Tensor:
    """Logarithm of the probability that a network gives each image's label, `[n]`.

    Args:
        logits: `[n, C]`.
        given: `[n]`, labels, some of them wrong.

    Example:
        >>> own_probability(torch.zeros(1, 2), torch.tensor([0])).exp()
        tensor([0.5000], dtype=torch.float64)
    """
    return logits.double().log_softmax(1).gather(1, given.unsqueeze(1)).squeeze(1)


def cross_validated_quality(probabilities: Tensor, given: Tensor) -> Tensor:
    """cleanlab's quality of each label, `[n]`, from the probabilities of networks that did not see the image.

    Args:
        probabilities: `[n, C]`.
        given: `[n]`, labels, some of them wrong.

    Source: confident learning, Northcutt, Jiang and Chuang, 2021.

    Example:
        >>> cross_validated_quality(torch.tensor([[0.9, 0.1], [0.7, 0.3]]), torch.tensor([0, 1]))
        tensor([0.9000, 0.3000], dtype=torch.float64)
    """
    from cleanlab.rank import get_label_quality_scores

    return torch.from_numpy(get_label_quality_scores(given.numpy(), probabilities.double().numpy()))


def mean_margin(features: Tensor, given: Tensor, num_classes: int) -> Tensor:
    """Cosine with the mean of the label's class, less that with the nearest other class mean, `[n]`.

    The label's class mean leaves the image itself out, since with few images a class it would look for itself.
    A label that no other image has gives 0: nothing speaks for or against it.

    Args:
        features: `[n, D]`.
        given: `[n]`, labels, some of them wrong, from which the means are taken too.
        num_classes: C.

    Returns:
        In [-2, 2]; low where the label is doubtful.

    Source: extension.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
        >>> mean_margin(features, torch.tensor([0, 0, 1, 1, 1]), 2).argmin()
        tensor(4)
    """
    features = features.double()
    counts = given.bincount(minlength=num_classes)
    sums = features.new_zeros(num_classes, features.shape[1]).index_add(0, given, features)
    return margins(features, given, sums, counts)[0]


def margins(features: Tensor, given: Tensor, sums: Tensor, counts: Tensor) -> tuple[Tensor, Tensor]:
    """`mean_margin` of some of the images, from the sums over all of them, and the class that is nearest.

    Args:
        features: `[n, D]`.
        given: `[n]`, their labels.
        sums: of the features of each class, over all images, `[C, D]`.
        counts: images of each class, `[C]`.

    Returns:
        The margin, `[n]`, infinite where no other class has images; and the nearest other class, `[n]`.

    Source: extension.

    Example:
        >>> features = torch.tensor([[3.0, 4.0], [1.0, 0.0]])
        >>> sums, counts = torch.tensor([[3.0, 9.0], [1.0, 0.0]]), torch.tensor([2, 1])
        >>> margins(features[:1], torch.tensor([0]), sums, counts)
        (tensor([0.2000]), tensor([1]))
    """
    unit = normalize(features, dim=1)
    others = unit @ normalize(sums, dim=1).T  # a sum points where its mean does
    own = (unit * normalize(sums[given] - features, dim=1)).sum(1)
    others = others.scatter(1, given.unsqueeze(1), -torch.inf).masked_fill(counts == 0, -torch.inf)
    best, nearest = others.max(1)
    return torch.where(counts[given] > 1, own - best, 0.0), nearest


def evidence_margin(activation: Tensor, given: Tensor, num_classes: int) -> Tensor:
    """The features' evidence for each image's label, less that for the most likely other class, `[n]`.

    `evidence[i,c] = sum over j of (a[i,j] / sum over j of a[i,j]) * P[c,j]`, with P from the given labels of the
    same images.

    Args:
        activation: `a`, at least 0, `[n, D]`.
        given: `[n]`, labels, some of them wrong.
        num_classes: C.

    Returns:
        In [-1, 1]; low where the label is doubtful.

    Source: METHOD "Finding wrong labels" (extension).

    Example:
        >>> a = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
        >>> evidence_margin(a, torch.tensor([0, 0, 1, 1, 1]), 2).argmin()
        tensor(4)
    """
    a = activation.double()
    P = functional.distribution_of_means(functional.class_means(a, given, num_classes))
    evidence = (a / a.sum(1, keepdim=True).clamp_min(torch.finfo(a.dtype).tiny)) @ P.T
    own = evidence.gather(1, given.unsqueeze(1)).squeeze(1)
    return own - evidence.scatter(1, given.unsqueeze(1), -torch.inf).amax(1)


def wrong_labels(
    logits: Tensor,
    read: Tensor,
    given: Tensor,
    true: Tensor,
    *,
    frozen: Tensor | None = None,
    cross_validated: Tensor | None = None,
) -> dict[str, float]:
    """AUROC and precision of the first hundred of every way to find the wrong labels.

    Args:
        logits: `[n, C]`, of the training images.
        read: `[n, D]`, what the classifier reads of them.
        given: `[n]`, their labels, some of them wrong.
        true: `[n]`, their right labels.
        frozen: `[n, F]`, what the frozen part of the network gives, where it has one.
        cross_validated: `[n, C]`, probabilities by networks that did not see the image, in [0, 1].

    Returns:
        `wrong_auroc_` and `wrong_p100_` of `own`, `cross_validated`, `means_frozen`, `means` and `evidence`, in
        [0, 1]; empty where no label is wrong, or all are.

    Source: METHOD "Finding wrong labels".

    Example:
        >>> given, true = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 0, 1, 0])
        >>> logits = torch.nn.functional.one_hot(true, 2).float()
        >>> wrong_labels(logits, logits, given, true)["wrong_auroc_own"]
        1.0
    """
    wrong = given != true
    if not wrong.any() or wrong.all():
        return {}
    C = logits.shape[1]
    if cross_validated is not None and cross_validated.shape != logits.shape:
        raise ValueError(
            f"cross_validated: got shape {list(cross_validated.shape)}, expected {list(logits.shape)}, the "
            "probabilities of the training images; pass them in the order of the training rows."
        )
    trusted = {"own": own_probability(logits, given)}
    if cross_validated is not None:
        trusted["cross_validated"] = cross_validated_quality(cross_validated, given)
    if frozen is not None:
        trusted["means_frozen"] = mean_margin(frozen, given, C)
    trusted["means"] = mean_margin(read, given, C)
    trusted["evidence"] = evidence_margin(read.abs(), given, C)
    found = {}
    for name, score in trusted.items():
        found[f"wrong_auroc_{name}"] = auroc(-score, wrong)
        found[f"wrong_p100_{name}"] = precision_of_first(-score, wrong)
    return found
