"""The pass over the images: what it keeps equals what a plain loop reads."""

import shutil
from collections.abc import Callable, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from inspected_networks import broken, signed, tokens
from PIL import Image
from subject_cases import plain, saved, seen_of
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from torchvision import models

from torchdiscern import functional
from torchdiscern.lab import Run
from torchdiscern.lab.data import folder as data_folder
from torchdiscern.lab.inspecting import seeing, thumbnails
from torchdiscern.lab.inspecting.maps import GRID, axis_of, positions
from torchdiscern.lab.inspecting.seen import Seen, SeenLayer
from torchdiscern.lab.inspecting.subject import Subject, subject_of
from torchdiscern.lab.inspecting.thumbnails import thumbnails_of
from torchdiscern.lab.networks import make_network


def in_bytes(maps: Tensor) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """`[B, D, H, W]` of at least 0, each by its largest value."""
    side = min(GRID, maps.shape[2])
    small = adaptive_avg_pool2d(maps, side) if maps.shape[2] > side else maps
    most = small.amax((2, 3), keepdim=True).clamp_min(1e-30)
    return (small / most * 255).round().numpy().astype(np.uint8)


def check_maps(layer: SeenLayer, seen: Seen, maps: Tensor) -> None:
    """Of all images: those of the pool, and of the top, up to the rounding of sums in another order."""
    expected = in_bytes(maps).astype(int)
    assert layer.pool_maps is not None
    assert layer.pool_maps.dtype == np.uint8
    assert np.abs(layer.pool_maps - expected[seen.pool]).max() <= 1
    rows, _, top = layer.top
    assert top is not None
    for feature, places in enumerate(rows):
        for rank, place in enumerate(places):
            if place >= 0:
                assert np.abs(top[feature, rank] - expected[place, feature]).max() <= 1


def check_top(layer: SeenLayer) -> None:
    """Against a stable sort of everything."""
    rows, values, _ = layer.top
    activation = np.asarray(layer.activation)
    order = np.argsort(-activation, axis=0, kind="stable")[: seeing.TOP].T
    expected = np.take_along_axis(activation.T, order, 1)
    np.testing.assert_array_equal(values[:, : order.shape[1]], expected)
    np.testing.assert_array_equal(rows[:, : order.shape[1]], np.where(expected > 0, order, -1))
    assert (rows[:, order.shape[1] :] == -1).all()


def small_on(photos: Path, folder: Path, layers: tuple[str, ...] = (), size: int = 32) -> Subject:
    torch.manual_seed(0)
    path = saved(make_network("small", 3, width=16).module, folder)
    return subject_of("small", str(photos), weights=path, size=size, layers=layers)


@pytest.mark.parametrize("batch", [7, 64])
def test_everything_that_is_kept_of_a_small_network(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(seeing, "BATCH", batch)
    subject = small_on(photos, tmp_path, ("features.0", "features", "pooled"), size=36)
    seen = seen_of(subject, tmp_path)
    _, outputs = plain(subject, "features.0", "features", "pooled")
    assert [layer.name for layer in seen.layers] == ["features.0", "features", "pooled"]
    assert (seen.rows.tolist(), seen.labels.tolist()) == (subject.rows.tolist(), subject.labels.tolist())
    assert seen.num_classes == 3
    for layer in seen.layers:
        assert isinstance(layer.activation, np.memmap)
        expected = functional.activation(outputs[layer.name])
        np.testing.assert_allclose(layer.activation, expected, rtol=1e-4, atol=1e-6)
        check_top(layer)
        assert not layer.broken.any()
    assert isinstance(seen.read, np.memmap)
    np.testing.assert_allclose(seen.read, outputs["pooled"], rtol=1e-4, atol=1e-6)
    assert seen.reads_last
    assert seen.pool.tolist() == list(range(30))
    check_maps(seen.layers[0], seen, outputs["features.0"].abs())
    assert (outputs["features.0"] < 0).any()  # so the maps above are of magnitudes
    for layer in seen.layers[1:]:  # the second by its own positions, the third by those of what it pools
        check_maps(layer, seen, outputs["features"])


def test_the_classifier_gives_the_network_s_logits(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = signed(3)
    subject = subject_of("inspected_networks:signed", str(photos), weights=saved(module, tmp_path))
    subject = replace(subject, by_order=False)
    logits, _ = plain(subject, *subject.layers)
    seen = seen_of(subject, tmp_path)
    assert seen.weight is not None
    assert seen.bias is not None
    np.testing.assert_allclose(seen.read @ seen.weight.T + seen.bias, logits, rtol=1e-4, atol=1e-5)
    assert (seen.read < 0).any()
    assert seen.reads_last  # in magnitude


def test_the_last_layer_need_not_be_what_is_read(photos: Path, tmp_path: Path) -> None:
    assert not seen_of(small_on(photos, tmp_path, ("features.0",)), tmp_path).reads_last
    assert not seen_of(small_on(photos, tmp_path, ("features.8",)), tmp_path).reads_last  # as many, before ReLU
    assert seen_of(small_on(photos, tmp_path, ("features.10",)), tmp_path).reads_last


def test_maps_of_a_mean_over_both_signs(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    subject = subject_of("inspected_networks:signed", str(photos), weights=saved(signed(3), tmp_path), size=32)
    assert subject.layers == ("pooled",)
    _, outputs = plain(subject, "features")
    maps = outputs["features"]
    mean = maps.mean((2, 3), keepdim=True)
    assert all(bool(found.any()) for found in (maps < 0, maps > 0, mean < 0))
    seen = seen_of(subject, tmp_path)
    check_maps(seen.layers[0], seen, (maps * mean.sign()).clamp_min(0))


def test_a_class_token_has_no_place_in_the_image(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    subject = subject_of("inspected_networks:tokens", str(photos), weights=saved(tokens(3), tmp_path), size=32)
    assert (subject.layers, subject.feature_dim) == (("norm",), -1)
    seen = seen_of(subject, tmp_path)
    _, outputs = plain(subject, "norm")
    np.testing.assert_allclose(seen.layers[0].activation, outputs["norm"].abs().mean(1), rtol=1e-4, atol=1e-6)
    maps = outputs["norm"][:, 1:].abs().transpose(1, 2).reshape(30, 6, 4, 4)
    check_maps(seen.layers[0], seen, maps)
    check_top(seen.layers[0])


def test_transformers(photos: Path, tmp_path: Path) -> None:
    module = timm.create_model("test_vit", num_classes=3)
    layers = ("blocks.1", "fc_norm")
    subject = subject_of("timm/test_vit", str(photos), weights=saved(module, tmp_path), layers=layers)
    seen = seen_of(subject, tmp_path)
    _, outputs = plain(subject, *layers)
    np.testing.assert_allclose(seen.layers[0].activation, outputs["blocks.1"].abs().mean(1), rtol=1e-4, atol=1e-6)
    grid = outputs["blocks.1"][:, 1:].abs().transpose(1, 2).reshape(30, -1, 10, 10)
    check_maps(seen.layers[0], seen, grid)  # by average pooling to 8 by 8
    assert seen.layers[1].pool_maps is None  # the class token alone
    assert seen.layers[1].top[2] is None
    assert seen.reads_last


def test_cvt(photos: Path, tmp_path: Path) -> None:
    module = make_network("cvt13", 3, size=32, width=16).module
    subject = subject_of("cvt13", str(photos), weights=saved(module, tmp_path), size=32)
    assert subject.layers == ("pooled",)
    seen = seen_of(replace(subject, rows=subject.rows[:5], labels=subject.labels[:5]), tmp_path)
    _, outputs = plain(replace(subject, rows=subject.rows[:5]), "pooled")
    np.testing.assert_allclose(seen.layers[0].activation, outputs["pooled"].abs(), rtol=1e-3, atol=1e-5)
    assert seen.reads_last


def test_positions_before_the_features(photos: Path, tmp_path: Path) -> None:
    """As Swin's maps, `[B, H, W, D]`."""
    module = timm.create_model("test_convnext", num_classes=3)
    norm = next(name for name, _ in module.named_modules() if name.endswith("blocks.0.norm"))
    path = saved(module, tmp_path)
    subject = subject_of("timm/test_convnext", str(photos), weights=path, layers=(norm,), size=64)
    _, outputs = plain(subject, norm)
    found = outputs[norm]
    assert found.shape[1] == found.shape[2] != found.shape[3]
    seen = seen_of(subject, tmp_path)
    np.testing.assert_allclose(seen.layers[0].activation, found.abs().mean((1, 2)), rtol=1e-3, atol=1e-5)
    check_maps(seen.layers[0], seen, found.abs().movedim(-1, 1))


def test_which_axis_the_features_are_on() -> None:
    for shape, feature_dim, axis in (
        ((2, 5), -1, 1),
        ((2, 5, 7), 1, -1),
        ((2, 5, 4, 4), -1, 1),
        ((2, 4, 4, 5), 1, -1),
        ((2, 4, 4, 4), -1, -1),
        ((2, 4, 4, 4), 1, 1),
    ):
        assert axis_of(torch.empty(shape), feature_dim) == axis
    assert positions(torch.empty(2, 5), 1) is None
    assert positions(torch.empty(2, 5, 1, 1), 1) is None
    assert positions(torch.empty(2, 7, 5), -1) is None  # neither 7 nor 6 tokens form a square
    assert positions(torch.empty(2, 1, 5), -1) is None


def test_features_that_are_not_finite_are_named(photos: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = ("features", "spoilt")
    path = saved(broken(3), tmp_path)
    subject = subject_of("inspected_networks:broken", str(photos), weights=path, size=32, layers=layers)
    seen = seen_of(subject, tmp_path)
    fine, spoilt = seen.layers
    assert fine.broken.tolist() == [False] * 5
    assert spoilt.broken.tolist() == [True, True, False, False, False]
    assert np.isfinite(spoilt.activation).all()
    assert np.isfinite(seen.read).all()
    pale = (subject.inputs[subject.rows][:, 0].float().mean((1, 2)) / 255 < 0.4).numpy()
    assert 0 < pale.sum() < 30
    np.testing.assert_allclose(spoilt.activation[:, 3:], fine.activation[:, 3:], rtol=1e-4)
    np.testing.assert_allclose(spoilt.activation[:, 1], np.where(pale, 0, fine.activation[:, 1]), rtol=1e-4)
    assert not spoilt.activation[:, [0, 2]].any()
    check_top(spoilt)
    rows, values, maps = spoilt.top
    assert (rows[[0, 2]] == -1).all()
    assert not values[[0, 2]].any()
    assert maps is not None
    assert not maps[[0, 2]].any()
    assert (rows[1] >= 0).sum() == min(seeing.TOP, 30 - pale.sum())
    note = next(note for note in seen.notes if "NaN" in note)
    assert "2 feature(s) of spoilt gave NaN or infinity" in note
    assert note.endswith(": 0, 1.")


def test_equals_are_kept_by_their_places(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = small_on(photos, tmp_path)
    subject = replace(subject, inputs=subject.images.tensor()[:1].expand(30, -1, -1, -1))
    tops = []
    for batch in (4, 9, 30):
        monkeypatch.setattr(seeing, "BATCH", batch)
        seen = seen_of(subject, tmp_path)
        check_top(seen.layers[0])
        tops.append(seen.layers[0].top[0])
    fires = seen.layers[0].activation[0] > 0
    assert fires.any()
    assert (tops[2][fires] == np.arange(seeing.TOP)).all()


def test_maps_of_the_pool_alone(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeing, "POOL", 11)
    monkeypatch.setattr(seeing, "BATCH", 4)
    subject = small_on(photos, tmp_path)
    seen, again = seen_of(subject, tmp_path), seen_of(subject, tmp_path)
    assert len(seen.pool) == 11
    assert seen.pool.tolist() == sorted(set(seen.pool.tolist())) == again.pool.tolist()
    assert seen.pool.tolist() != list(range(11))
    assert isinstance(seen.layers[0].pool_maps, np.memmap)
    _, outputs = plain(subject, "features")
    check_maps(seen.layers[0], seen, outputs["features"])


def test_images_are_read_a_batch_at_a_time(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = small_on(photos, tmp_path)
    asked: list[int] = []

    class Watched:
        shape = subject.inputs.shape

        def __getitem__(self, rows: Tensor) -> Tensor:
            asked.append(len(rows))
            return subject.inputs[rows]

    monkeypatch.setattr(seeing, "BATCH", 8)
    seen_of(replace(subject, inputs=Watched()), tmp_path)
    assert asked == [8, 8, 8, 6]


@pytest.fixture
def stored(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Subject, Path]:
    """Images that stay in their files."""
    shutil.copytree(photos, tmp_path / "photos")
    monkeypatch.setattr(data_folder, "fits_in_memory", lambda needed: False)
    monkeypatch.setattr(seeing, "BATCH", 4)
    return small_on(tmp_path / "photos", tmp_path), tmp_path / "photos"


def test_images_that_disappear_are_left_out(stored: tuple[Subject, Path], tmp_path: Path) -> None:
    subject, folder = stored
    (tmp_path / "before").mkdir()
    before = seen_of(subject, tmp_path / "before")
    lost = [0, 1, 2, 3, 13, 29]  # a whole batch at the start; in the middle; the last one
    for row in lost:
        (folder / subject.images.files[row]).unlink()
    Image.new("RGB", (32, 32), "white").save(folder / subject.images.files[20])
    lost.append(20)
    seen = seen_of(subject, tmp_path)
    left = [row for row in range(30) if row not in lost]
    assert seen.rows.tolist() == left
    assert seen.labels.tolist() == subject.labels[left].tolist()
    np.testing.assert_allclose(seen.layers[0].activation, before.layers[0].activation[left], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(seen.read, before.read[left], rtol=1e-4, atol=1e-6)
    assert seen.pool.tolist() == list(range(23))
    assert before.layers[0].pool_maps is not None
    assert seen.layers[0].pool_maps is not None
    assert np.abs(seen.layers[0].pool_maps.astype(int) - before.layers[0].pool_maps[left]).max() <= 1
    check_top(seen.layers[0])
    assert "7 image(s) disappeared or changed" in seen.notes[0]
    assert seen.notes[0].endswith(f"{subject.images.files[0]!r}.")
    for row in left:
        (folder / subject.images.files[row]).unlink()
    with pytest.raises(ValueError, match=r"^data: none of the 30 images of '.*' can be read any more, expected "):
        seen_of(subject, tmp_path)


def test_thumbnails(stored: tuple[Subject, Path], photos: Path) -> None:
    subject, folder = stored
    rows = np.array([5, 7, 25])
    small = thumbnails_of(subject.images, rows)
    pixels, there = small(np.array([2, 0, -1], np.int32))
    assert pixels.shape == (3, 32, 32, 3)
    assert pixels.dtype == np.uint8
    assert there.tolist() == [True, True, False]
    for place, row in ((0, 25), (1, 5)):
        expected = np.asarray(Image.open(photos / subject.images.files[row]))
        np.testing.assert_array_equal(pixels[place], expected)
    (folder / subject.images.files[25]).unlink()
    pixels, there = small(np.array([2, 1], np.int32))
    assert there.tolist() == [False, True]
    assert not pixels[0].any()
    assert pixels[1].any()


def test_thumbnails_are_small_and_have_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = subject_of("efficientnet-lite0", "digits", size=96)
    assert thumbnails_of(subject.images, np.arange(9))(np.array([4], np.int32))[0].shape == (1, 96, 96, 3)
    monkeypatch.setattr(thumbnails, "FEW", 8)
    pixels, _ = thumbnails_of(subject.images, np.arange(9))(np.array([4], np.int32))
    assert pixels.shape == (1, 64, 64, 3)
    whole = Image.fromarray(subject.images.tensor()[4, 0].numpy())
    expected = np.asarray(whole.resize((64, 64), Image.Resampling.LANCZOS))
    for channel in range(3):
        np.testing.assert_array_equal(pixels[0, ..., channel], expected)


def test_a_classifier_no_better_than_chance_is_set_aside(trained: Callable[..., Run], tmp_path: Path) -> None:
    run = trained("digits", epochs=8, width=16, normalise="none", arm="ce", per_class=60)
    subject = subject_of("small", "digits", weights=run.weights_file)
    seen = seen_of(subject, tmp_path)
    assert seen.weight is not None
    assert seen.bias is not None
    right = (np.argmax(seen.read @ seen.weight.T + seen.bias, 1) == seen.labels).mean()
    assert right > 0.5
    (note,) = seen.notes
    assert "in the order of their names" in note
    turned = replace(subject, labels=(subject.labels + 1) % 10)
    seen = seen_of(turned, tmp_path)
    assert (seen.weight, seen.bias) == (None, None)
    assert "no more than by chance" in seen.notes[0]
    known = seen_of(replace(turned, by_order=False), tmp_path)
    assert known.weight is not None
    assert known.notes == []


def test_a_classifier_of_other_classes_is_left_out(photos: Path, tmp_path: Path) -> None:
    path = saved(models.resnet18(num_classes=1000), tmp_path)
    subject = subject_of("torchvision/resnet18", str(photos), weights=path, size=64)
    seen = seen_of(subject, tmp_path)
    assert (seen.weight, seen.bias, seen.num_classes) == (None, None, 3)
    assert seen.read.shape == (30, 512)
    assert seen.reads_last
    _, outputs = plain(subject, "layer4")
    check_maps(seen.layers[0], seen, outputs["layer4"])


def test_a_classifier_of_cosines_orders_the_classes_as_the_network_does(
    trained: Callable[..., Run], tmp_path: Path
) -> None:
    subject = subject_of(str(trained("digits", epochs=1, width=8, arm="arcface", per_class=20).folder))
    logits, _ = plain(subject, *subject.layers)
    seen = seen_of(subject, tmp_path)
    assert seen.weight is not None
    assert seen.bias is None
    found = seen.read @ seen.weight.T
    lengths = np.linalg.norm(seen.read, axis=1, keepdims=True)
    np.testing.assert_allclose(found / lengths, logits, rtol=1e-3, atol=1e-4)


def test_no_room_for_the_activations(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = 4 * 30 * (16 + 16) + 30 * 16 * GRID * GRID
    subject = small_on(photos, tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed))
    seen_of(subject, tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=needed - 1))
    with pytest.raises(OSError, match=r"^layers: the activations of 30 images take .* expected room .* TMPDIR"):
        seen_of(subject, tmp_path)


def test_how_far_it_is(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[str, int]] = []

    def track(self: object, items: Sized, description: str) -> Sized:
        shown.append((description, len(items)))
        return items

    monkeypatch.setattr("rich.progress.Progress.track", track)
    monkeypatch.setattr(seeing, "BATCH", 8)
    subject = small_on(photos, tmp_path)
    seen_of(subject, tmp_path)
    assert shown[-1] == ("Showing images to the network", 4)
