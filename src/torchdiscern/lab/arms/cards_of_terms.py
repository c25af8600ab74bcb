"""Cross-entropy, the paper's terms and what goes beyond the paper, as arms."""

from typing import Any

from torchdiscern.lab.arms.arm import Arm, Space

BOTH: Space = {"impurity_weight": (0.1, 10.0), "kl_weight": (0.05, 5.0)}
IMPURITY: Space = {"impurity_weight": (0.1, 10.0)}
KL: Space = {"kl_weight": (0.05, 5.0)}
PAPER = (
    'Croitoru, Grigore and Ionescu, "Discriminability-enforcing loss to improve representation learning", CVPR '
    "Workshops 2022, arXiv 2202.07073"
)
OURS = f"extension of {PAPER}"
PAIR = "impurity_weight 0.5, 1, 4; kl_weight 0.5, 1"
COST = "sums of the tapped features by class, no further pass"
LITTLE = "where few classes are told apart and the target itself is coarse: give the terms finer labels then"
FROZEN = "where the tapped features are frozen, or are to be transferred frozen to other classes"


def _terms(title: str, formula: str, settings: dict[str, Any], **others: Any) -> Arm:
    card: dict[str, Any] = {"space": BOTH, "source": OURS, "weights": PAIR, "cost": COST, "not_when": LITTLE}
    return Arm(settings, title=title, formula=formula, **card | others)


TERM_ARMS: dict[str, Arm] = {
    "ce": Arm(
        {"arm": "ce"},
        title="Cross-entropy alone",
        formula="CE = mean over i of -log p[i, y[i]]",
        source="the baseline of every comparison",
        weights="none; learning rate, weight decay and dropout are tuned as for every arm",
        cost="one step of it is the unit of the others",
        not_when="it is always in",
    ),
    "gini": _terms(
        "The paper's two terms",
        "CE + impurity_weight * mean over j of (1 - sum over c of P[c,j]^2) + kl_weight * KL(t || q)",
        {"arm": "gini"},
        source=PAPER,
        weights="impurity_weight 0.5 and kl_weight 0.5 (the paper's); tenfold from 20 classes on",
        not_when="from about 20 classes on with the paper's weights, where its slope of 1/C does next to nothing"
        f"; {FROZEN}",
    ),
    "gini-alone": _terms(
        "The paper's Gini impurity alone",
        "CE + impurity_weight * mean over j of (1 - sum over c of P[c,j]^2)",
        {"arm": "gini", "impurity_weight": 0.5, "kl_weight": 0.0},
        space=IMPURITY,
        source=PAPER,
        weights="impurity_weight 0.5, 5",
        not_when="for more than to learn which term does what: some classes may be left without features",
    ),
    "kl-alone": _terms(
        "The paper's coverage divergence alone",
        "CE + kl_weight * KL(t || q), q the share of features of each class",
        {"arm": "gini", "impurity_weight": 0.0, "kl_weight": 0.5},
        space=KL,
        source=PAPER,
        weights="kl_weight 0.5, 5",
        not_when="for more than to learn which term does what: it makes no feature purer",
    ),
    "entropy": _terms(
        "The paper's alternative: entropy in the place of Gini",
        "CE + impurity_weight * mean over j of H(softmax over c of M[c,j]) / log 10 + kl_weight * KL(t || q)",
        {"arm": "entropy"},
        source=PAPER,
        weights="impurity_weight 0.5 and kl_weight 0.5 (the paper's)",
        not_when="where features are small beside 1, as its softmax is not scale-free; " + FROZEN,
    ),
    "renyi": _terms(
        "Scale-free impurity (Renyi)",
        "CE + impurity_weight * mean over j of -log(sum over c of P[c,j]^2) / log C + kl_weight * KL(t || q), P "
        "damped",
        {"arm": "renyi"},
        not_when=f"{LITTLE}; {FROZEN}",
    ),
    "shannon": _terms(
        "Scale-free impurity (Shannon)",
        "CE + impurity_weight * mean over j of H(P[:,j]) / log C + kl_weight * KL(t || q), P damped",
        {"arm": "shannon"},
        not_when=f"{LITTLE}; {FROZEN}",
    ),
    "renyi-memory": _terms(
        "Scale-free impurity (Renyi) on running class means",
        "as renyi, with class means that remember earlier batches (memory 0.9)",
        {"arm": "renyi", "memory": 0.9},
        weights=f"{PAIR}; memory 0.9",
        cost=COST + "; and a table of C x D running means",
        not_when="where a batch holds several samples of most classes, which need no memory; " + FROZEN,
    ),
    "shannon-memory": _terms(
        "Scale-free impurity (Shannon) on running class means",
        "as shannon, with class means that remember earlier batches (memory 0.9)",
        {"arm": "shannon", "memory": 0.9},
        weights=f"{PAIR}; memory 0.9",
        cost=COST + "; and a table of C x D running means",
        not_when="where a batch holds several samples of most classes, which need no memory; " + FROZEN,
    ),
    "recommended": _terms(
        "What DiscriminabilityLoss.recommended gives",
        "gini below 20 classes, renyi from 20 on, both damped by 0.1",
        {"arm": "recommended"},
        not_when=f"{LITTLE}; {FROZEN}",
    ),
    "clean": Arm(
        {"arm": "ce", "clean": 0.2},
        {"clean": (0.05, 0.6)},
        title="Cross-entropy without the least believed labels",
        formula="CE on the training images but the share `clean` whose label has the lowest probability under "
        "networks that were trained on the other folds; clean+ARM trains any arm on what is left",
        source='Northcutt, Jiang and Chuang, "Confident learning", JAIR 2021; cleanlab scores the labels',
        weights="clean: about the share of wrong labels, 0.1 to 0.4",
        cost="one training for each of four folds before the run, kept for runs with the same settings, so that "
        "a trial takes five trainings; then fewer images an epoch",
        not_when="where labels are right and images few: it leaves out the hard ones",
    ),
}
