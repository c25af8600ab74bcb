import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from torchdiscern.lab import Recipe
from torchdiscern.lab.training.augment import MOVES, augmented
from torchdiscern.lab.training.batches import EvalBatches, TrainBatches
from torchdiscern.lab.training.prepared import memory_format_of
from torchdiscern.lab.training.rates import learning_rate


def rows_of(batches: TrainBatches | EvalBatches) -> list[list[int]]:
    return [batch.rows.tolist() for batch in batches]


@given(samples=st.integers(4, 60), batch_size=st.integers(1, 20), processes=st.sampled_from([1, 2, 4]))
def test_processes_together_take_the_batches_of_one(samples: int, batch_size: int, processes: int) -> None:
    batch_size = batch_size * processes
    inputs, rows = torch.arange(100).view(100, 1), torch.arange(100)[20 : 20 + samples]

    def of(process: int, number: int) -> TrainBatches:
        found = TrainBatches(inputs, rows, batch_size, seed=3)
        found.batch_size = found.batch_size // processes * processes
        found.process, found.processes = process, number
        return found

    whole = list(of(0, 1))
    shares = [list(of(process, processes)) for process in range(processes)]
    for number, batch in enumerate(whole):
        parts = [share[number] for share in shares]
        assert torch.equal(torch.cat([p.rows for p in parts]).sort().values, batch.rows.sort().values)
        assert torch.equal(batch.inputs[:, 0], batch.rows)
        by_row = {int(row): draws for p in parts for row, draws in zip(p.rows, p.draws, strict=True)}
        for row, draws in zip(batch.rows, batch.draws, strict=True):
            assert torch.equal(by_row[int(row)], draws)  # an image is augmented alike on any number of devices
        assert {p.whole for p in parts} == {len(batch.rows)}


def test_each_epoch_has_its_own_order_and_no_image_twice() -> None:
    batches = TrainBatches(torch.arange(50), torch.arange(50), 16, seed=0)
    first = rows_of(batches)
    assert first == rows_of(batches)
    assert len(first) == len(batches) == 3
    seen = [row for rows in first for row in rows]
    assert len(seen) == len(set(seen)) == 48
    batches.epoch = lambda: 2
    assert rows_of(batches) != first


def test_few_images_make_one_batch() -> None:
    batches = TrainBatches(torch.arange(5), torch.arange(5), 16, seed=0)
    assert [len(rows) for rows in rows_of(batches)] == [5]


@given(rows=st.integers(1, 700), processes=st.integers(1, 5))
def test_evaluation_sees_each_row_once(rows: int, processes: int) -> None:
    found: list[int] = []
    lengths = set()
    for process in range(processes):
        batches = EvalBatches(torch.arange(1000), torch.arange(rows), batch_size=64)
        batches.process, batches.processes = process, processes
        given_rows = rows_of(batches)
        assert len(given_rows) == len(batches)
        lengths.add(len(given_rows))
        found += [row for part in given_rows for row in part]
    assert len(lengths) == 1  # or one process would wait for the others
    times = processes if rows < processes else 1
    assert sorted(found) == sorted(list(range(rows)) * times)


def test_augmentation_moves_and_does_not_invent() -> None:
    images = torch.randint(1, 256, (64, 3, 16, 16), dtype=torch.uint8)
    draws = torch.rand(64, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(augmented(images, "none", draws), images)
    flipped = augmented(images, "flip", draws)
    turned = draws[:, 0] < 0.5
    assert 10 < int(turned.sum()) < 54
    assert torch.equal(flipped[turned], images[turned].flip(3))
    assert torch.equal(flipped[~turned], images[~turned])
    shifted = augmented(images, "shift", draws)
    assert shifted.shape == images.shape
    black = (shifted == 0).all(1)
    assert 0 < black.float().mean() < 0.25  # at most two of sixteen rows and columns
    for image, moved, (_, down, right, _, _) in zip(images, shifted, draws, strict=True):
        top, left = 2 - int(down * 5), 2 - int(right * 5)  # how far it went down and to the right
        expected = image.roll((top, left), (1, 2))[
            :, max(0, top) : 16 + min(0, top), max(0, left) : 16 + min(0, left)
        ]
        assert torch.equal(moved[:, max(0, top) : 16 + min(0, top), max(0, left) : 16 + min(0, left)], expected)


def test_a_resized_crop_keeps_colours_and_sees_at_least_a_quarter() -> None:
    columns = torch.arange(64, dtype=torch.uint8).expand(8, 3, 64, 64) * 3
    draws = torch.rand(8, 5, generator=torch.Generator().manual_seed(1))
    found = augmented(columns, "resized-crop", draws)
    assert found.shape == columns.shape
    assert found.min() >= 0
    assert found.max() <= 189
    wide = (found[:, 0, 0, -1] - found[:, 0, 0, 0]).abs() / 189
    assert wide.min() > 0.4
    assert wide.max() <= 1
    assert (found[draws[:, 0] < 0.5, 0, 0, 0] > found[draws[:, 0] < 0.5, 0, 0, -1]).all()


def test_every_choice_of_the_recipe_is_an_augmentation() -> None:
    images, draws = torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.rand(2, 5)
    for name in MOVES:
        assert augmented(images, Recipe(augment=name).augment, draws).shape == images.shape


def test_the_learning_rate_over_a_run() -> None:
    paper = Recipe.named("cifar100-resnet50")
    assert [round(learning_rate(paper, 230 * epoch, 230), 6) for epoch in (0, 59, 60, 120, 160, 200)] == [
        0.1, 0.1, 0.02, 0.004, 0.0008, 0.00016,
    ]  # fmt: skip
    cosine = Recipe(epochs=10, warmup_epochs=2, learning_rate=1.0, final_learning_rate=0.1)
    rates = [learning_rate(cosine, step, 10) for step in range(101)]
    assert rates[0] < 0.1
    assert rates[20] == max(rates) == 1.0
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert abs(rates[60] - 0.55) < 1e-9
    assert abs(rates[100] - 0.1) < 1e-9
    constant = Recipe(schedule="constant", learning_rate=0.3)
    assert learning_rate(constant, 999, 1) == 0.3


def test_memory_is_contiguous_where_torch_writes_past_channels_last() -> None:
    narrow = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 16, 1, stride=2))
    wide = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 32, 1, stride=2))
    assert memory_format_of(narrow) == torch.contiguous_format
    assert memory_format_of(wide) == torch.channels_last
