from pathlib import Path

import numpy as np
import pytest
import torch

from torchdiscern import functional
from torchdiscern.lab.pictures import QUANTILES, TOP, Pictures


@pytest.fixture
def pictures() -> Pictures:
    generator = torch.Generator().manual_seed(0)
    features = torch.rand(30, 9, generator=generator)
    features[:, 4] = 0  # dead
    pixels = torch.arange(30, dtype=torch.uint8).view(30, 1, 1, 1).expand(30, 1, 8, 8)
    found = Pictures(["zero", "one", "two"])
    found.add("an arm", features, torch.arange(30) % 3, pixels)
    return found


def test_the_images_are_those_that_make_the_feature_fire_most(pictures: Pictures) -> None:
    arm = pictures.arms["an arm"]
    features = torch.rand(30, 9, generator=torch.Generator().manual_seed(0))
    for feature, images, labels in zip(arm["chosen"], arm["images"], arm["labels"], strict=True):
        strongest = features[:, feature].argsort(descending=True)[:TOP]
        assert images[:, 0, 0, 0].tolist() == strongest.tolist()
        assert labels.tolist() == (strongest % 3).tolist()


def test_features_are_chosen_by_impurity_among_the_living(pictures: Pictures) -> None:
    arm = pictures.arms["an arm"]
    impurity = functional.gini(torch.from_numpy(arm["distribution"])).numpy()
    living = np.delete(np.arange(9), 4)
    order = living[impurity[living].argsort()]
    assert arm["chosen"].tolist() == order[[0, 2, 4, 5, 7]].tolist()
    assert len(arm["chosen"]) == len(QUANTILES)


def test_features_that_are_all_dead_leave_nothing_to_show() -> None:
    found = Pictures(["zero", "one"])
    found.add("an arm", torch.zeros(4, 3), torch.tensor([0, 1, 0, 1]), torch.zeros(4, 1, 8, 8, dtype=torch.uint8))
    assert len(found.arms["an arm"]["chosen"]) == 0


def test_saved_and_loaded_are_the_same(pictures: Pictures, tmp_path: Path) -> None:
    pictures.save(tmp_path / "pictures.npz")
    loaded = Pictures.load(tmp_path / "pictures.npz")
    assert loaded.classes == pictures.classes
    for name, array in pictures.arms["an arm"].items():
        np.testing.assert_array_equal(loaded.arms["an arm"][name], array)
