"""Files of weights in the forms in which people have them."""

from pathlib import Path

import pytest
import torch
from inspected_networks import fixed
from safetensors.torch import save_file
from subject_cases import saved
from torchvision import models

from torchdiscern.lab.inspecting.loading import load_network
from torchdiscern.lab.networks import make_network


def test_a_function_that_heeds_no_number_of_classes(tmp_path: Path) -> None:
    found = load_network("inspected_networks:fixed", saved(fixed(2), tmp_path), 32)
    assert found.num_classes == 5


def test_functions_that_make_no_network(tmp_path: Path) -> None:
    path = saved(fixed(2), tmp_path)
    with pytest.raises(ValueError, match=r"takes no argument num_classes, .* `def of_no_number\(num_classes\): "):
        load_network("inspected_networks:of_no_number", path, 32)
    with pytest.raises(
        ValueError, match=r"'inspected_networks:failing' failed \(KeyError: 'backbone'\), expected"
    ):
        load_network("inspected_networks:failing", path, 32)


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod."])
def test_names_of_wrapped_networks(tmp_path: Path, wrapper: str) -> None:
    state = make_network("small", 3, width=16).module.state_dict()
    save_file({wrapper + name: value for name, value in state.items()}, tmp_path / "w.safetensors")
    found = load_network("small", tmp_path / "w.safetensors", 16).network.module.state_dict()
    assert all(torch.equal(found[name], value) for name, value in state.items())


def test_weights_of_a_deeper_network_are_refused(tmp_path: Path) -> None:
    path = saved(models.resnet34(num_classes=4), tmp_path)
    with pytest.raises(ValueError, match=r"weights: \d+ of \d+ tensors of .* have no place in 'timm/resnet18'"):
        load_network("timm/resnet18", path, 32)
