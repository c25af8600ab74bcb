"""All measures of one trained network."""

from typing import Any

from torch import Tensor

from torchdiscern.lab.measures.reading import Read, Recorder, read_rows
from torchdiscern.lab.measures.removal import SHARES, right_without
from torchdiscern.lab.measures.table import ATTACKED
from torchdiscern.lab.measures.transfer import few_shot_accuracy, out_of_distribution
from torchdiscern.lab.measures.wrong_labels import wrong_labels
from torchdiscern.lab.networks.cosine import weight_of
from torchdiscern.lab.training.measure import KS, Reader, class_means, measured
from torchdiscern.lab.training.prepared import Prepared
from torchdiscern.metrics import KFeatureAccuracy

OF_TEST = (
    "accuracy",
    "accuracy_macro",
    "negative_log_likelihood",
    "calibration_error",
    "impurity",
    "impurity_renyi",
    "coverage_divergence",
    "dead_features",
)


def measures_of(
    reader: Reader, *, robust: bool = False, attacked: int = ATTACKED, cross_validated: Tensor | None = None
) -> dict[str, float]:
    """Everything that one trained network is measured by, each set of rows read once.

    Args:
        reader: of the trained network.
        robust: attack it too, which takes seconds for frozen features and minutes for pixels.
        attacked: at most as many test images are attacked.
        cross_validated: `[n, C]`, probabilities of the training images by networks that did not see them, in the
            order of `labels.train`, as `training.cleaning.cross_validated` gives them.

    Returns:
        By the names of `table.MEASURES`, without those that the data do not allow: few-shot and
        out-of-distribution where no class is held out, wrong labels where none is wrong, k-feature accuracy
        beyond the number of features.

    Raises:
        ValueError: no test image, or `cross_validated` of another shape.
    """
    found = measures_and_right(reader, robust=robust, attacked=attacked, cross_validated=cross_validated)
    return found[0]


def measures_and_right(
    reader: Reader, *, robust: bool = False, attacked: int = ATTACKED, cross_validated: Tensor | None = None
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """`measures_of`, and which test images are right by each measure that is a share of them, `[n]` booleans."""
    prepared, labels = reader.prepared, reader.prepared.labels
    if not len(labels.test):
        raise ValueError("reader: its recipe holds out no test image, expected some; set test_fraction above 0.")
    recorder = Recorder(reader)
    means = class_means(recorder)
    train = recorder.last
    found = measured(recorder, labels.test, labels.true, means)
    test = recorder.last
    measures = {name: float(found[name]) for name in OF_TEST}
    right = _right(reader, test, means.cpu())
    measures |= {name: float(one.double().mean()) for name, one in right.items() if name not in measures}
    if len(labels.held_out):
        strange = read_rows(reader, labels.held_out)
        few = few_shot_accuracy(strange.read, prepared.images.labels[labels.held_out], prepared.recipe.seed)
        measures |= {} if few is None else {"few_shot_accuracy": few}
        measures |= out_of_distribution(test.logits, strange.logits)
    measures |= wrong_labels(
        train.logits,
        train.read,
        labels.target[labels.train],
        labels.true[labels.train],
        frozen=frozen_features(prepared, labels.train),
        cross_validated=cross_validated,
    )
    if robust:
        from torchdiscern.lab.measures.robust import robust_accuracy

        measures |= robust_accuracy(reader, images=attacked)
    return measures, right


def _right(reader: Reader, test: Read, means: Tensor) -> dict[str, Tensor]:
    head, target = reader.classifier, reader.prepared.labels.true[test.rows]
    weight = weight_of(head).detach().float().cpu()
    bias = None if head.bias is None else head.bias.detach().float().cpu()
    found = {"accuracy": test.logits.argmax(1) == target}
    for k in (k for k in KS if k <= head.in_features):
        few = KFeatureAccuracy(means, weight, bias, k)
        found[f"k_feature_accuracy_{k}"] = (test.read @ few.kept.T + few.bias).argmax(1) == target
    for share in SHARES:
        found[f"accuracy_without_{share}"] = right_without(test.read, target, weight, bias, means, share)
    return found


def frozen_features(prepared: Prepared, rows: Tensor) -> Tensor | None:
    """What the frozen part gives of some rows, positions averaged, `[n, F]`; None where it runs at every step."""
    if not prepared.cached:
        return None
    kept: Any = prepared.inputs[rows]
    found: Tensor = kept.float()
    if found.ndim > 2:  # tokens [n, T, F], or maps [n, F, H, W]
        found = found.mean(1) if found.ndim == 3 else found.mean((2, 3))
    return found
