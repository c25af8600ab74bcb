import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from torchdiscern.lab.measures.detection import auroc, precision_of_first
from torchdiscern.lab.measures.transfer import Episode, episode_of, few_shot_accuracy, out_of_distribution


def clouds(seed: int, classes: int = 7, images: int = 30, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(classes * images) % classes
    centres = torch.randn(classes, 6, generator=draw)
    return centres[labels] + spread * torch.randn(len(labels), 6, generator=draw), labels


def by_loops(features: Tensor, labels: Tensor, episodes: int, seed: int) -> float:
    draw, rows = np.random.default_rng(seed), features.double().numpy()
    right = 0
    for _ in range(episodes):
        classes = draw.choice(labels.unique().numpy(), 5, replace=False)
        means, asked = [], []
        for place, c in enumerate(classes):
            drawn = draw.permutation(np.flatnonzero(labels.numpy() == c))[:20]
            means.append(rows[drawn[:5]].mean(0))
            asked += [(place, rows[row]) for row in drawn[5:]]
        for place, query in asked:
            cosines = [query @ m / np.linalg.norm(query) / np.linalg.norm(m) for m in means]
            right += int(np.argmax(cosines)) == place
    return right / (episodes * 75)


@pytest.mark.parametrize("spread", [0.5, 1.5])
def test_few_shot_accuracy_by_plain_loops(spread: float) -> None:
    features, labels = clouds(0, spread=spread)
    assert few_shot_accuracy(features, labels, 0) == pytest.approx(by_loops(features, labels, 300, 1), abs=0.02)


def test_nobody_is_asked_about_what_was_shown() -> None:
    # every image is like no other: whoever had seen it would know it, and all others look alike
    found = few_shot_accuracy(torch.eye(60), torch.arange(60) % 3, 0)
    assert found == pytest.approx(1 / 3)


def test_chance_and_certainty() -> None:
    _, labels = clouds(1)
    chance = few_shot_accuracy(torch.randn(len(labels), 8, generator=torch.Generator().manual_seed(0)), labels, 0)
    assert chance == pytest.approx(0.2, abs=0.02)
    assert few_shot_accuracy(torch.eye(7)[labels], 10 + 3 * labels, 0) == 1  # any numbers name classes


def test_the_length_of_features_does_not_count() -> None:
    directions = torch.tensor([[1.0, 0.2], [1.0, 0.4], [1.0, 0.6]])
    labels = torch.arange(90) % 3
    lengths = torch.rand(90, 1, generator=torch.Generator().manual_seed(0)) * 10 + 0.1
    assert few_shot_accuracy(lengths * directions[labels], labels, 0) == 1


def test_the_seed_alone_draws() -> None:
    features, labels = clouds(2)
    before = torch.get_rng_state()
    found = few_shot_accuracy(features, labels, 3, episodes=100)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert few_shot_accuracy(features, labels, 3, episodes=100) == found
    assert few_shot_accuracy(features, labels, 4, episodes=100) != found


def test_every_network_is_asked_about_the_same_images() -> None:
    features, labels = clouds(3)
    # twice the features say the same: a draw that looked at them would differ
    assert few_shot_accuracy(torch.cat([features, features], 1), labels, 0) == few_shot_accuracy(
        features, labels, 0
    )


@given(st.lists(st.integers(0, 24), max_size=7))
def test_queries_are_given_up_first_then_shots_then_classes(counts: list[int]) -> None:
    possible = (
        Episode(ways, shots, queries)
        for ways, shots, queries in itertools.product(range(5, 1, -1), range(5, 0, -1), range(15, 0, -1))
        if sum(count >= shots + queries for count in counts) >= ways
    )
    assert episode_of(torch.tensor(counts, dtype=torch.long)) == next(possible, None)


@pytest.mark.parametrize("labels", [[], [3, 3, 3, 3], [0, 1, 2], [0, 0, 0, 1]])
def test_no_task_can_be_made(labels: list[int]) -> None:
    given_labels = torch.tensor(labels, dtype=torch.long)
    assert few_shot_accuracy(torch.rand(len(labels), 2), given_labels, 0) is None


def test_few_images_make_small_tasks() -> None:
    labels = torch.tensor([0, 0, 1, 1, 1, 2])
    assert episode_of(labels.bincount()) == Episode(2, 1, 1)
    assert few_shot_accuracy(torch.eye(3)[labels], labels, 0) == 1


scores = st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=20)


@given(scores)
def test_auroc_counts_pairs(pairs: list[tuple[int, bool]]) -> None:
    high, low = [s for s, sought in pairs if sought], [s for s, sought in pairs if not sought]
    if not high or not low:
        return
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a in high for b in low]
    values, sought = zip(*pairs, strict=True)
    assert auroc(torch.tensor(values).float(), torch.tensor(sought)) == pytest.approx(sum(wins) / len(wins))


@given(scores, st.integers(1, 25))
def test_the_precision_of_the_first(pairs: list[tuple[int, bool]], first: int) -> None:
    ordered = sorted(pairs, key=lambda pair: -pair[0])[:first]
    values, sought = zip(*pairs, strict=True)
    found = precision_of_first(torch.tensor(values).float(), torch.tensor(sought), first)
    assert found == pytest.approx(sum(one for _, one in ordered) / len(ordered))


def test_strangers_by_probability_and_by_logit() -> None:
    known = torch.tensor([[9.0, 0.0], [8.0, 1.0]])
    sure_but_faint = torch.tensor([[2.0, -20.0], [-20.0, 1.0]])
    found = out_of_distribution(known, sure_but_faint)
    assert found == {"ood_auroc": 0.0, "ood_auroc_logit": 1.0}


def test_sure_networks_are_told_apart_beyond_float32() -> None:
    found = out_of_distribution(torch.tensor([[31.0, 0.0]]), torch.tensor([[30.0, 0.0]]))
    assert found["ood_auroc"] == 1  # both probabilities are 1 in float32


def test_without_strangers_there_is_nothing_to_tell() -> None:
    assert out_of_distribution(torch.rand(3, 2), torch.rand(0, 2)) == {}
    assert out_of_distribution(torch.rand(0, 2), torch.rand(3, 2)) == {}
