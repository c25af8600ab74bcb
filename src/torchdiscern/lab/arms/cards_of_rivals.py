"""The rivals as arms."""

from typing import Any

from torchdiscern.lab.arms.arm import Arm
from torchdiscern.lab.arms.objectives import RIVALS

LIBRARY = "; loss of pytorch-metric-learning"
PAIRS = "products of all pairs of samples of a process's batch, B x B x D"
FEW_ALIKE = "where batches hold few samples of one class"
FROZEN = "where the tapped features are frozen"
COSINE = "the classifier loses its bias and the lengths of its weights; it gives 20 times the cosine"


def _rival(arm: str, low: float, high: float, **card: Any) -> Arm:
    return Arm({"arm": arm}, {"strength": (low, high)}, **card)


def _tried(arm: str, *others: str) -> str:
    return f"strength {RIVALS[arm].strength:g} (default), {', '.join(others)}"


RIVAL_ARMS: dict[str, Arm] = {
    "label-smoothing": _rival(
        "label-smoothing",
        0.01,
        0.5,
        title="Label smoothing",
        formula="CE with the target (1 - strength) * onehot(y) + strength / C",
        source='Szegedy et al., "Rethinking the Inception architecture", CVPR 2016, arXiv 1512.00567',
        weights=_tried("label-smoothing", "0.05", "0.2"),
        cost="none",
        not_when="where probabilities are read as they are, or for distillation",
    ),
    "confidence-penalty": _rival(
        "confidence-penalty",
        0.01,
        2.0,
        title="Confidence penalty",
        formula="CE - strength * mean over i of H(p[i])",
        source='Pereyra et al., "Regularizing neural networks by penalizing confident output distributions", '
        "ICLR Workshops 2017, arXiv 1701.06548",
        weights=_tried("confidence-penalty", "0.3", "1"),
        cost="none: one softmax more",
        not_when="above a strength of 1, where no certainty is the best answer to a sure label",
    ),
    "dropout": Arm(
        {"arm": "ce", "dropout": 0.5},
        title="Dropout before the classifier",
        formula="CE of a network whose classifier reads each feature with probability 1 - dropout",
        source='Srivastava et al., "Dropout", JMLR 2014',
        weights="dropout 0.2, 0.5",
        cost="none",
        not_when="where dropout is tuned for every arm, as --tune does: then it is cross-entropy tuned less",
    ),
    "centre": _rival(
        "centre",
        1e-4,
        1.0,
        title="Centre loss",
        formula="CE + strength / 2 * mean over i of |x[i] - centre[y[i]]|^2; after each step centre[c] += 0.5 * "
        "(sum over i with y[i]=c of (x[i] - centre[c])) / (1 + n[c])",
        source='Wen et al., "A discriminative feature learning approach for deep face recognition", ECCV 2016',
        weights=_tried("centre", "0.001", "0.1"),
        cost="a table of C x D centres, no further pass",
        not_when=f"{FROZEN}; where classes are so many that few are seen an epoch",
    ),
    "cw-vr": _rival(
        "cw-vr",
        0.01,
        30.0,
        title="Within-class variance (cw-VR)",
        formula="CE + strength * mean over c with n[c] >= 2 and over j of the variance of x[i,j] within c",
        source='Choi and Rhee, "Utilizing class information for deep network representation shaping", AAAI 2019, '
        "arXiv 1809.09307",
        weights=_tried("cw-vr", "0.1", "10"),
        cost="two sums of the tapped features by class, no further pass",
        not_when=f"{FROZEN}; {FEW_ALIKE}",
    ),
    "opl": _rival(
        "opl",
        0.05,
        5.0,
        title="Orthogonal projection loss",
        formula="CE + strength * (1 - s + |d| / 2), s the mean cosine within a class, d that between classes",
        source='Ranasinghe et al., "Orthogonal projection loss", ICCV 2021, arXiv 2103.14021',
        weights=_tried("opl", "0.1", "0.5"),
        cost=PAIRS,
        not_when=f"{FROZEN}; {FEW_ALIKE}; with fewer features than classes not all can be orthogonal",
    ),
    "supcon": _rival(
        "supcon",
        0.05,
        5.0,
        title="Supervised contrastive, beside cross-entropy",
        formula="CE + strength * mean over i of -mean over p of one class with i of log(exp(cos(x[i], x[p]) / "
        "0.1) / sum over k other than i of exp(cos(x[i], x[k]) / 0.1))",
        source='Khosla et al., "Supervised contrastive learning", NeurIPS 2020, arXiv 2004.11362' + LIBRARY,
        weights=_tried("supcon", "0.1", "1"),
        cost=PAIRS + ", and lists of all pairs",
        not_when=f"{FROZEN}; {FEW_ALIKE}. The paper's two stages and two views are left out",
    ),
    "arcface": _rival(
        "arcface",
        0.03,
        0.6,
        title="Additive angular margin (ArcFace)",
        formula="cross-entropy of 20 * cos(angle[i,c] + strength * [c = y[i]]), angles between the classifier's "
        "input and weights",
        source='Deng et al., "ArcFace", CVPR 2019, arXiv 1801.07698' + LIBRARY,
        weights=_tried("arcface", "0.1", "0.5 (the paper's)"),
        cost="the classifier runs twice",
        not_when=f"where probabilities are read as they are; {COSINE}",
    ),
    "cosface": _rival(
        "cosface",
        0.03,
        0.6,
        title="Additive cosine margin (CosFace)",
        formula="cross-entropy of 20 * (cos(angle[i,c]) - strength * [c = y[i]]), angles as for arcface",
        source='Wang et al., "CosFace", CVPR 2018, arXiv 1801.09414' + LIBRARY,
        weights=_tried("cosface", "0.1", "0.35 (the paper's)"),
        cost="the classifier runs twice",
        not_when=f"where probabilities are read as they are; {COSINE}",
    ),
    "vicreg": _rival(
        "vicreg",
        0.01,
        10.0,
        title="Variance and decorrelation of the features (VICReg)",
        formula="CE + strength * (mean over j of max(0, 1 - sqrt(Cov[j,j] + 1e-4)) + 1/25 * 1/D * sum over j "
        "other than k of Cov[j,k]^2)",
        source='Bardes, Ponce and LeCun, "VICReg", ICLR 2022, arXiv 2105.04906',
        weights=_tried("vicreg", "1"),
        cost="one product of the features, B x D x D",
        not_when=f"{FROZEN}; with many thousand features, whose covariance has D x D numbers",
    ),
    "etf": _rival(
        "etf",
        5.0,
        60.0,
        title="A fixed simplex classifier (ETF)",
        formula="CE of strength * cos(angle[i,c]) with fixed weights, every two at a cosine of -1 / (C - 1)",
        source='Zhu et al., "A geometric analysis of neural collapse", NeurIPS 2021, arXiv 2105.02375; Yang et '
        "al., NeurIPS 2022, arXiv 2203.09081",
        weights=_tried("etf", "10", "40"),
        cost="none: the classifier does not learn",
        not_when=f"with fewer than C - 1 features; {FROZEN}; after a ReLU no feature can point away from a class",
    ),
    "selectivity-up": _rival(
        "selectivity-up",
        0.05,
        5.0,
        title="More class selectivity (Leavitt and Morcos)",
        formula="CE - strength * mean over layers and j of SI[j], SI = (largest class mean - mean of the others) "
        "/ (their sum)",
        source='Leavitt and Morcos, "Selectivity considered harmful", ICLR 2021, arXiv 2003.01262',
        weights=_tried("selectivity-up", "0.1", "2"),
        cost="sums of the tapped features by class, no further pass",
        not_when=f"{FROZEN}; its authors found that it costs accuracy",
    ),
    "selectivity-down": _rival(
        "selectivity-down",
        0.05,
        5.0,
        title="Less class selectivity (Leavitt and Morcos)",
        formula="CE + strength * mean over layers and j of SI[j], SI as for selectivity-up",
        source='Leavitt and Morcos, "Selectivity considered harmful", ICLR 2021, arXiv 2003.01262',
        weights=_tried("selectivity-down", "0.1", "2"),
        cost="sums of the tapped features by class, no further pass",
        not_when=f"{FROZEN}; on what the classifier reads, a high strength works against cross-entropy itself",
    ),
    "adversarial": _rival(
        "adversarial",
        0.1,
        4.0,
        title="Adversarial training (PGD, L2)",
        formula="CE at the worst input within strength of x[i] in L2, looked for by 5 steps of 2.5 * strength "
        "/ 5 along the gradient from a random start; in pixels of [0, 1], or in features where a frozen part is "
        "kept",
        source='Madry et al., "Towards deep learning models resistant to adversarial attacks", ICLR 2018, arXiv '
        "1706.06083",
        weights=_tried("adversarial", "0.25", "1; on kept features 1 to 4"),
        cost="one more forward and backward for each of 5 steps of the attack: about six times a step",
        not_when="where accuracy on clean images is all that counts; do not choose its strength by that",
    ),
}
