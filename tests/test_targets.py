"""Every kind of target against a reference by plain loops."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from torchdiscern import DiscriminabilityLoss
from torchdiscern.functional import Impurity, terms
from torchdiscern.targets import relabel

C, B, D, T = 7, 6, 5, 4
KINDS: list[Impurity] = ["gini", "renyi", "shannon"]
generator = torch.Generator().manual_seed(0)


def rand(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator, dtype=torch.float64)


def randint(*shape: int, high: int = C) -> Tensor:
    return torch.randint(high, shape, generator=generator)


def by_loops(x: Tensor, share: Tensor, kind: Impurity, eps: float = 1e-10) -> tuple[Tensor, Tensor]:
    """Impurity and coverage divergence of rows `x` `[R, D]` that count `share[r, c]` for class c."""
    R, classes = share.shape
    n = [sum(share[r, c] for r in range(R)) for c in range(classes)]
    M = torch.stack(
        [
            torch.stack(
                [
                    sum((share[r, c] * x[r, j].abs() for r in range(R)), start=torch.zeros(()))
                    for j in range(x.shape[1])
                ]
            )
            / (n[c] + eps)
            for c in range(classes)
        ]
    )
    P = M / (M.sum(0) + eps)

    def value(p: Tensor) -> Tensor:
        if kind == "gini":
            return 1 - (p**2).sum()
        if kind == "renyi":
            return -(p**2).sum().log() / math.log(classes)
        return -(p[p > 0] * p[p > 0].log()).sum() / math.log(classes)

    impurity = torch.stack([value(P[:, j]) for j in range(x.shape[1])]).mean()
    q = (P.sum(1) + eps) / P.sum()
    t = torch.stack([torch.as_tensor(one) for one in n]) / sum(n)
    kl = torch.stack([t[c] * (t[c] / q[c]).log() for c in range(classes) if t[c] > 0]).sum()
    return impurity, kl


def agrees(
    x: Tensor, share: Tensor, found: Callable[[Tensor], Any], rows: Callable[[Tensor], Tensor], kind: Impurity
) -> None:
    x = x.requires_grad_()
    impurity, kl = by_loops(rows(x), share, kind)
    ours = found(x)
    torch.testing.assert_close(ours[0], impurity, rtol=0, atol=1e-10)
    torch.testing.assert_close(ours[1], kl, rtol=0, atol=1e-10)
    (expected,) = torch.autograd.grad(impurity + 2 * kl, x)
    (gradient,) = torch.autograd.grad(ours[0] + 2 * ours[1], x)
    torch.testing.assert_close(gradient, expected, rtol=0, atol=1e-10)


def onehot(y: Tensor, classes: int = C) -> Tensor:
    return torch.nn.functional.one_hot(y, classes).double()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("classes", [C, 3], ids=["more classes than samples", "fewer"])
class TestEveryKind:
    def test_class_indices(self, kind: Impurity, classes: int) -> None:
        y = randint(B, high=classes)
        agrees(
            rand(B, D) - 0.5, onehot(y, classes), lambda x: terms(x, y, classes, impurity=kind), lambda x: x, kind
        )

    def test_sample_weights(self, kind: Impurity, classes: int) -> None:
        y, w = randint(B, high=classes), rand(B)
        share = onehot(y, classes) * w[:, None]
        agrees(rand(B, D), share, lambda x: terms(x, y, classes, impurity=kind, weight=w), lambda x: x, kind)

    def test_ignored_samples(self, kind: Impurity, classes: int) -> None:
        y = randint(B, high=classes)
        marked = torch.where(torch.arange(B) % 3 == 0, -100, y)
        share = onehot(y, classes) * (marked >= 0)[:, None]
        agrees(rand(B, D), share, lambda x: terms(x, marked, classes, impurity=kind), lambda x: x, kind)

    def test_soft_targets(self, kind: Impurity, classes: int) -> None:
        share = rand(B, classes).softmax(1)
        agrees(rand(B, D) - 0.5, share, lambda x: terms(x, share, classes, impurity=kind), lambda x: x, kind)

    def test_sparse_soft_targets(self, kind: Impurity, classes: int) -> None:
        share = rand(B, classes) * (rand(B, classes) > 0.6)
        share[0, 0] = 1
        w = rand(B)
        agrees(
            rand(B, D) - 0.5,
            share * w[:, None],
            lambda x: terms(x, share.to_sparse_coo(), classes, impurity=kind, weight=w),
            lambda x: x,
            kind,
        )

    def test_several_labels(self, kind: Impurity, classes: int) -> None:
        labels = rand(B, classes) > 0.5
        labels[0, 0] = True
        agrees(rand(B, D), labels.double(), lambda x: terms(x, labels, classes, impurity=kind), lambda x: x, kind)

    def test_tokens_with_padding(self, kind: Impurity, classes: int) -> None:
        y, mask = randint(B, T, high=classes), rand(B, T) > 0.3
        share = onehot(y.flatten(), classes) * mask.flatten()[:, None]
        agrees(
            rand(B, T, D) - 0.5,
            share,
            lambda x: terms(x, y, classes, impurity=kind, mask=mask, feature_dim=-1),
            lambda x: x.reshape(-1, D),
            kind,
        )

    def test_segmentation_maps(self, kind: Impurity, classes: int) -> None:
        y = randint(2, 3, 2, high=classes)
        w = rand(2)
        agrees(
            rand(2, D, 3, 2) - 0.5,
            onehot(y.flatten(), classes) * w.repeat_interleave(6)[:, None],
            lambda x: terms(x, y, classes, impurity=kind, weight=w),
            lambda x: x.movedim(1, -1).reshape(-1, D),
            kind,
        )

    def test_a_mask_of_tokens_of_one_target(self, kind: Impurity, classes: int) -> None:
        y, mask = randint(B, high=classes), rand(B, T) > 0.3
        mask[:, 0] = True
        agrees(
            rand(B, T, D) - 0.5,
            onehot(y, classes),
            lambda x: terms(x, y, classes, impurity=kind, mask=mask, feature_dim=-1),
            lambda x: (x.abs() * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True),
            kind,
        )

    def test_labels_under_the_mask_may_be_anything(self, kind: Impurity, classes: int) -> None:
        x, y, mask = rand(B, T, D), randint(B, T, high=classes), rand(B, T) > 0.3
        found = [
            terms(x, y.masked_fill(~mask, label), classes, impurity=kind, mask=mask, feature_dim=-1)
            for label in (0, -1, 10_000)
        ]
        assert found[0] == found[1] == found[2]

    def test_a_sample_masked_whole_counts_for_nothing(self, kind: Impurity, classes: int) -> None:
        x, y, mask, w = rand(B, T, D), randint(B, high=classes), rand(B, T) > 0.3, rand(B)
        mask[:, 0], mask[2] = True, False
        for weight in (None, w):
            without = None if weight is None else weight[torch.arange(B) != 2]
            left = terms(x, y, classes, impurity=kind, mask=mask, feature_dim=-1, weight=weight)
            rest = (values[torch.arange(B) != 2] for values in (x, y, mask))
            x_, y_, mask_ = rest
            right = terms(x_, y_, classes, impurity=kind, mask=mask_, feature_dim=-1, weight=without)
            torch.testing.assert_close(left, right, rtol=0, atol=1e-12)

    def test_shares_know_no_index_to_ignore(self, kind: Impurity, classes: int) -> None:
        x, y = rand(B, D), onehot(randint(B, high=classes), classes)
        found = [
            terms(x, target, classes, impurity=kind, ignore_index=int(y[0].argmax()))
            for target in (y, y.to_sparse())
        ]
        torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-12)

    def test_weights_take_no_gradient(self, kind: Impurity, classes: int) -> None:
        x, y, w = rand(B, D).requires_grad_(), randint(B, high=classes), rand(B).requires_grad_()
        sum(terms(x, y, classes, impurity=kind, weight=w)).backward()  # type: ignore[union-attr]
        assert x.grad is not None
        assert w.grad is None


class TestTheLoss:
    def test_class_weights_and_a_coarse_layer(self) -> None:
        y, w, coarse = randint(B), rand(C), torch.tensor([0, 0, 1, 1, 2, 2, 2])
        criterion = DiscriminabilityLoss(C, 1, 1, class_weight=w, fine_to_coarse=[coarse, None]).double()
        early, late = rand(B, D), rand(B, 3)
        loss = criterion([early, late], y)
        fine = onehot(y) * w[y][:, None]
        expected = sum(by_loops(early, fine @ onehot(coarse, 3), "gini")) + sum(by_loops(late, fine, "gini"))
        torch.testing.assert_close(loss, expected / 2, rtol=0, atol=1e-7)  # the weights were float32 once
        soft = criterion([early, late], onehot(y))
        torch.testing.assert_close(soft, loss, rtol=0, atol=1e-12)

    def test_class_counts_are_a_prior(self) -> None:
        x, y = rand(B, D), torch.arange(B) % 3
        counts = criterion = DiscriminabilityLoss(3, class_counts=[10, 20, 70])
        prior = DiscriminabilityLoss(3, prior=[0.1, 0.2, 0.7])
        torch.testing.assert_close(counts(x, y), prior(x, y))
        assert "prior" in criterion.state_dict()

    def test_hard_soft_targets_give_the_hard_result(self) -> None:
        x, y = rand(B, D, 2, 2), randint(B)
        for kind in (*KINDS, "entropy"):
            criterion = DiscriminabilityLoss(C, impurity=kind)
            hard = criterion(x, y)
            for soft in (onehot(y), onehot(y).to_sparse_coo(), onehot(y).bool()):
                torch.testing.assert_close(criterion(x, soft), hard, rtol=0, atol=1e-12)

    def test_what_is_ignored_may_be_nan(self) -> None:
        x, y = rand(B, D), randint(B)
        x[2], y[2] = torch.nan, -100
        x.requires_grad_()
        DiscriminabilityLoss(C)(x, y).backward()
        assert x.grad is not None
        assert x.grad.isfinite().all()
        assert (x.grad[2] == 0).all()

    def test_a_batch_that_is_ignored_whole_is_finite(self) -> None:
        x = rand(B, D).requires_grad_()
        loss = DiscriminabilityLoss(C)(x, torch.full((B,), -100))
        loss.backward()
        assert loss.isfinite()
        assert x.grad is not None
        assert (x.grad == 0).all()


def test_relabel_keeps_classes_apart() -> None:
    y = torch.tensor([9, 2, 9, 5, 10, 2])  # 10 stands for none
    row, classes = relabel(y, 10)
    assert classes[row].tolist() == y.tolist()
    assert classes.tolist() == [2, 5, 9, 10, 10, 10]
