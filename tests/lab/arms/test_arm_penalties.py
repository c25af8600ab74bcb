"""The rivals of a few lines against plain loops in float64, and where they could break."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from arm_steps import CLASSES, FEATURES, TARGET, classifier_of, cross_entropy_by_loops, features_of, step_of
from torchdiscern.lab.arms import RIVALS, Objective, Ran, Step, objective_of
from torchdiscern.lab.arms import penalties as rivals

STRENGTH = 0.7


def label_smoothing(x: Tensor, logits: Tensor) -> Tensor:
    found = logits.new_zeros(())
    for row, label in zip(logits.log_softmax(1), TARGET.tolist(), strict=True):
        for c in range(CLASSES):
            share = STRENGTH / CLASSES + (1 - STRENGTH) * (c == label)
            found = found - share * row[c]
    return found / len(TARGET)


def confidence_penalty(x: Tensor, logits: Tensor) -> Tensor:
    entropy = logits.new_zeros(())
    for row in logits.softmax(1):
        for p in row:
            entropy = entropy - p * p.log()
    return cross_entropy_by_loops(logits, TARGET) - STRENGTH * entropy / len(TARGET)


def cw_vr(x: Tensor, logits: Tensor) -> Tensor:
    variances = []
    for c in range(CLASSES):
        own = [x[i] for i in range(len(x)) if TARGET[i] == c]
        if len(own) >= 2:
            mean = sum(own[1:], own[0]) / len(own)
            variances += [torch.stack([(one[j] - mean[j]) ** 2 for one in own]).mean() for j in range(FEATURES)]
    return cross_entropy_by_loops(logits, TARGET) + STRENGTH * torch.stack(variances).mean()


def opl(x: Tensor, logits: Tensor) -> Tensor:
    alike, apart = [], []
    for i in range(len(x)):
        for k in range(len(x)):
            cosine = (x[i] * x[k]).sum() / (x[i].square().sum().sqrt() * x[k].square().sum().sqrt())
            if TARGET[i] != TARGET[k]:
                apart.append(cosine)
            elif i != k:
                alike.append(cosine)
    penalty = 1 - torch.stack(alike).mean() + torch.stack(apart).mean().abs() / 2
    return cross_entropy_by_loops(logits, TARGET) + STRENGTH * penalty


def vicreg(x: Tensor, logits: Tensor) -> Tensor:
    mean = x.mean(0)
    hinge, crossed = x.new_zeros(()), x.new_zeros(())
    for j in range(FEATURES):
        for k in range(FEATURES):
            pairs = [(x[i, j] - mean[j]) * (x[i, k] - mean[k]) for i in range(len(x))]
            covariance = torch.stack(pairs).sum() / (len(x) - 1)
            if j == k:
                hinge = hinge + max(1 - (covariance + 1e-4).sqrt(), x.new_zeros(())) / FEATURES
            else:
                crossed = crossed + covariance**2 / FEATURES
    return cross_entropy_by_loops(logits, TARGET) + STRENGTH * (hinge + crossed / 25)


def selectivity(x: Tensor) -> Tensor:
    found = []
    for j in range(FEATURES):
        means = [x[TARGET.eq(c), j].abs().mean() for c in range(CLASSES) if TARGET.eq(c).any()]
        top = max(range(len(means)), key=lambda c: float(means[c].detach()))
        rest = torch.stack([mean for c, mean in enumerate(means) if c != top]).mean()
        found.append((means[top] - rest) / (means[top] + rest))
    return torch.stack(found).mean()


def selectivity_up(x: Tensor, logits: Tensor) -> Tensor:
    return cross_entropy_by_loops(logits, TARGET) - STRENGTH * selectivity(x)


def selectivity_down(x: Tensor, logits: Tensor) -> Tensor:
    return cross_entropy_by_loops(logits, TARGET) + STRENGTH * selectivity(x)


PAIRS = [
    (rivals.label_smoothing, label_smoothing),
    (rivals.confidence_penalty, confidence_penalty),
    (rivals.within_class_variance, cw_vr),
    (rivals.orthogonal_projection, opl),
    (rivals.decorrelation, vicreg),
    (rivals.selectivity_up, selectivity_up),
    (rivals.selectivity_down, selectivity_down),
]


@pytest.mark.parametrize(("rival", "loops"), PAIRS, ids=lambda one: one.__name__)
def test_value_and_slope_are_those_of_plain_loops(
    rival: Callable[..., Tensor], loops: Callable[[Tensor, Tensor], Tensor]
) -> None:
    x = features_of().mul(2).sub(0.3).requires_grad_()  # selectivity takes absolute values
    linear = classifier_of()
    found = rival(step_of(x, TARGET, linear), strength=STRENGTH)
    expected = loops(x, linear(x))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    slopes = torch.autograd.grad(found, [x, linear.weight]), torch.autograd.grad(expected, [x, linear.weight])
    torch.testing.assert_close(*slopes, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rival", [one for one, _ in PAIRS], ids=lambda one: one.__name__)
def test_slopes_are_right_where_it_is_smooth(rival: Callable[..., Tensor]) -> None:
    x, linear = features_of().add(0.1).requires_grad_(), classifier_of()
    assert torch.autograd.gradcheck(lambda features: rival(step_of(features, TARGET, linear)), [x])


def test_centres_follow_their_classes_by_the_papers_rule() -> None:
    linear, centre = classifier_of(), rivals.Centre(CLASSES, FEATURES, strength=STRENGTH).double()
    centres = torch.zeros(CLASSES, FEATURES, dtype=torch.float64)
    for turn in range(3):
        x = features_of(seed=turn).requires_grad_()
        away = [x[i] - centres[c] for i, c in enumerate(TARGET.tolist())]
        expected = cross_entropy_by_loops(linear(x), TARGET)
        expected = expected + STRENGTH / 2 * torch.stack([one.square().sum() for one in away]).mean()
        found = centre(step_of(x, TARGET, linear))
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(torch.autograd.grad(found, x), torch.autograd.grad(expected, x))
        for c in range(CLASSES):
            own = [one.detach() for one, label in zip(away, TARGET.tolist(), strict=True) if label == c]
            if own:
                centres[c] += 0.5 * torch.stack(own).sum(0) / (1 + len(own))
        torch.testing.assert_close(centre.centres, centres)
    before = centre.centres.clone()
    centre.eval()
    centre(step_of(features_of(), TARGET, linear))
    assert torch.equal(centre.centres, before)
    assert torch.equal(before[4], torch.zeros(FEATURES, dtype=torch.float64))  # a class that never came


def objective(arm: str, classes: int = CLASSES) -> Objective:
    found = objective_of(arm, None, classes, lambda: FEATURES)
    assert found is not None
    return found


def test_features_that_point_apart_are_as_far_from_orthogonal() -> None:
    x = torch.ones(4, FEATURES, dtype=torch.float64) * torch.tensor([[1], [1], [-1], [-1]])
    step = step_of(x, torch.tensor([0, 0, 1, 1]))
    torch.testing.assert_close(rivals.orthogonal_projection(step), step.cross_entropy + 0.5)


@pytest.mark.parametrize("rival", [rivals.selectivity_up, rivals.selectivity_down])
def test_one_class_alone_has_no_selectivity(rival: Callable[..., Tensor]) -> None:
    step = step_of(features_of(3), torch.tensor([1, 1, 1]))
    assert torch.equal(rival(step), step.cross_entropy)


CASES = {
    "one sample a class": torch.arange(CLASSES),
    "one class": torch.zeros(5, dtype=torch.long),
    "one sample": torch.tensor([2]),
    "usual": TARGET,
}


@pytest.mark.parametrize("dead", ["none", "a feature", "a sample", "all"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("arm", RIVALS)
def test_no_batch_gives_nan(arm: str, case: str, dead: str) -> None:
    x = features_of(len(CASES[case]), torch.float32)
    x[:, 0] *= dead not in ("a feature", "all")
    x[0] *= dead not in ("a sample", "all")
    x *= dead != "all"
    x.requires_grad_()
    linear = classifier_of(dtype=torch.float32)
    loss = objective(arm)(step_of(x, CASES[case], linear))
    loss.backward()
    assert loss.isfinite()
    if arm != "adversarial":  # which cuts the inputs off
        assert x.grad is not None
        assert x.grad.isfinite().all()
    assert linear.weight.grad is not None
    assert linear.weight.grad.isfinite().all()


@pytest.mark.parametrize("arm", RIVALS)
def test_half_precision_is_computed_in_float32(arm: str) -> None:
    x, linear = features_of(dtype=torch.float32).bfloat16().requires_grad_(), classifier_of(dtype=torch.float32)

    def forward(inputs: Tensor) -> Ran:
        with torch.autocast("cpu", torch.bfloat16):
            return Ran(linear(inputs), {"layer": inputs}, inputs)

    torch.manual_seed(0)
    loss = objective(arm)(Step(x, TARGET, TARGET, forward, linear, linear, 1 / len(TARGET)))
    loss.backward()
    assert loss.dtype == torch.float32
    assert linear.weight.grad is not None
    assert linear.weight.grad.isfinite().all()
    torch.manual_seed(0)
    exact = objective(arm)(step_of(x.detach().float(), TARGET, linear))
    torch.testing.assert_close(loss, exact, rtol=0.02, atol=0.01)


def test_maps_and_tokens_are_averaged_over_their_positions() -> None:
    maps = torch.rand(3, 5, 2, 2) - 0.5
    linear = nn.Linear(5, 2)
    target = torch.tensor([0, 1, 1])
    for tapped, axis in ((maps, 1), (maps.flatten(2).transpose(1, 2), -1)):
        ran = Ran(torch.zeros(3, 2), {"early": torch.zeros(3, 1), "late": tapped}, torch.zeros(3, 5))
        step = Step(maps, target, target, lambda _, ran=ran: ran, linear, linear, 1 / 3, axis)  # type: ignore[misc]
        torch.testing.assert_close(step.features, maps.mean((2, 3)))


def test_a_share_makes_parts_of_a_batch_its_mean() -> None:
    x, linear = features_of(), classifier_of()
    for arm in ("label-smoothing", "confidence-penalty", "etf"):
        whole = objective(arm)(step_of(x, TARGET, linear))
        parts = []
        for rows in (slice(0, 3), slice(3, None)):
            step = step_of(x[rows], TARGET[rows], linear)
            step.share = 2 / len(TARGET)  # two processes, whose gradients are averaged
            parts.append(objective(arm)(step))
        torch.testing.assert_close(torch.stack(parts).mean(), whole)


def test_the_forward_pass_runs_once_and_only_when_asked_for() -> None:
    step = step_of(features_of(), TARGET)
    before = step.has_run
    assert step.ran is step.ran
    assert (before, step.has_run) == (False, True)
    torch.testing.assert_close(step.cross_entropy, cross_entropy_by_loops(step.logits, TARGET))
