"""What is inspected: runs, networks with a file of weights, and what is refused."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from inspected_networks import grey, signed
from PIL import Image
from safetensors.torch import save_file
from subject_cases import plain, saved
from torchvision import models

from torchdiscern.lab import Run
from torchdiscern.lab.inspecting.subject import subject_of
from torchdiscern.lab.networks import make_network


def test_a_network_of_ours_is_built_as_its_file_is(photos: Path, tmp_path: Path) -> None:
    for model, width in (("small", 16), ("resnet18", 8)):
        module = make_network(model, 3, width=width).module
        before = torch.random.get_rng_state()
        subject = subject_of(model, str(photos), weights=saved(module, tmp_path), size=16)
        assert torch.equal(torch.random.get_rng_state(), before)
        found = subject.network.module.state_dict()
        assert {name: value.tolist() for name, value in module.state_dict().items()} == {
            name: value.tolist() for name, value in found.items()
        }
        assert not any(part.training for part in subject.network.module.modules())
        assert subject.inputs.shape == (30, 3, 16, 16)
        assert subject.classes == ["blue", "green", "red"]
        assert torch.equal(subject.labels, torch.arange(3).repeat_interleave(10))
        assert (subject.classifies, subject.by_order) == (True, True)
        assert (subject.mean, subject.std) == ((0.0,) * 3, (1.0,) * 3)
        assert any("pixels in [0, 1]" in note for note in subject.notes)


def test_timm_is_given_what_timm_expects(photos: Path, tmp_path: Path) -> None:
    module = timm.create_model("test_resnet", num_classes=3)
    subject = subject_of("timm/test_resnet", str(photos), weights=saved(module, tmp_path))
    assert subject.inputs.shape[-1] == 160  # what the network is made for
    config: Any = module.pretrained_cfg
    assert subject.mean == tuple(config["mean"])
    assert subject.std == tuple(config["std"])
    assert subject.classifies
    assert subject.facts["Weights"] == "weights.safetensors"
    assert not any("pixels in [0, 1]" in note for note in subject.notes)


def test_a_classifier_of_other_classes_is_none_for_these(photos: Path, tmp_path: Path) -> None:
    module = models.resnet18(num_classes=1000)
    path = tmp_path / "weights.pth"
    torch.save({"epoch": 3, "state_dict": module.state_dict()}, path)
    subject = subject_of("torchvision/resnet18", str(photos), weights=path, size=32)
    assert subject.network.module.get_submodule("fc").out_features == 1000
    assert (subject.classifies, subject.by_order) == (False, False)
    assert any("1000 outputs and the data 3 classes" in note for note in subject.notes)
    assert subject.mean == (0.485, 0.456, 0.406)


def test_what_the_folder_lost_is_said(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    (tmp_path / "photos" / "nothing").mkdir()
    (tmp_path / "photos" / "red" / "3.png").write_bytes(b"no image")
    notes = subject_of("efficientnet-lite0", str(tmp_path / "photos"), size=32).notes
    assert "Unreadable or damaged: 1, left out; the first is 'red/3.png'." in notes
    assert "Class without images: 1, left out; the first is 'nothing'." in notes


def test_a_file_without_classifier_has_none(photos: Path, tmp_path: Path) -> None:
    state = make_network("small", 3).module.state_dict()
    path = tmp_path / "w.safetensors"
    save_file(
        {name: value for name, value in state.items() if "classifier" not in name} | {"x": torch.ones(1)}, path
    )
    subject = subject_of("small", str(photos), weights=path, size=16)
    assert not subject.classifies
    notes = " ".join(subject.notes)
    assert "no weights of the classifier 'classifier'" in notes
    assert "1 tensor(s) that small has no place for, such as 'x'" in notes


def test_a_classifier_that_is_a_convolution(photos: Path, tmp_path: Path) -> None:
    module = signed(3)
    subject = subject_of("inspected_networks:signed", str(photos), weights=saved(module, tmp_path), size=32)
    assert subject.classifies
    images = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(subject.network.module(images), module(images))


def test_grey_and_colour(photos: Path, tmp_path: Path) -> None:
    colour = saved(make_network("small", 10).module, tmp_path)
    subject = subject_of("small", "digits", weights=colour)
    assert subject.inputs.shape == (1797, 3, 8, 8)
    rows = torch.tensor([3, 1])
    assert torch.equal(subject.inputs[rows][:, 2], subject.images.tensor()[rows][:, 0])
    path = saved(make_network("small", 3, channels=1).module, tmp_path)
    subject = subject_of("small", str(photos), weights=path, size=8)
    assert subject.inputs.shape == (30, 1, 8, 8)
    red = subject.images.tensor()[:1].float()
    expected = 0.299 * red[:, :1] + 0.587 * red[:, 1:2] + 0.114 * red[:, 2:]
    assert (subject.inputs[torch.tensor([0])] - expected).abs().max() <= 0.5
    subject = subject_of("inspected_networks:grey", "digits", weights=saved(grey(10), tmp_path))
    assert subject.inputs.shape == (1797, 1, 8, 8)


def test_layers_stand_in_the_order_of_the_network(photos: Path, tmp_path: Path) -> None:
    path = saved(make_network("resnet18", 3, width=8).module, tmp_path)
    layers = ("avgpool", "layer2", "layer3", "layer2")
    subject = subject_of("resnet18", str(photos), weights=path, size=16, layers=layers)
    assert subject.layers == ("layer2", "layer3", "avgpool")
    assert subject.facts["Layers"] == "layer2, layer3, avgpool"


def test_parts_of_a_folder(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("test", 2)):
        for number, name in enumerate("ab"):
            (tmp_path / "set" / part / name).mkdir(parents=True)
            for index in range(count):
                image = Image.new("RGB", (8, 8), (number * 90, index * 30, 50 * len(part)))
                image.save(tmp_path / "set" / part / name / f"{index}.png")
    path, data = saved(make_network("small", 2).module, tmp_path), str(tmp_path / "set")

    def files(split: str) -> list[str]:
        subject = subject_of("small", data, weights=path, size=8, split=split)
        assert subject.images.labels[subject.rows].tolist() == subject.labels.tolist()
        return [subject.images.files[row] for row in subject.rows]

    assert files("auto") == files("test") == ["test/a/0.png", "test/a/1.png", "test/b/0.png", "test/b/1.png"]
    assert len(files("train")) == 6
    assert len(files("all")) == 10
    with pytest.raises(ValueError, match=r"^split: the data has no 'val' images, .* choose 'test' or 'train' or"):
        files("val")


@pytest.fixture
def run(trained: Callable[..., Run]) -> Run:
    return trained("digits", epochs=1, width=8, per_class=20, label_noise=0.4, holdout_classes=2)


def test_a_run_shows_its_own_images(run: Run) -> None:
    made = run.made_with
    subject = subject_of(str(run.folder))
    assert len(subject.rows) == made["data"]["test"]
    assert subject.classes == made["classes"]
    assert len(subject.classes) == 8
    names = [subject.images.classes[label] for label in subject.images.labels[subject.rows].tolist()]
    assert [subject.classes[label] for label in subject.labels.tolist()] == names
    assert (subject.classifies, subject.by_order) == (True, False)
    assert list(subject.mean) == made["mean"]
    assert subject.facts["Split"] == "test"
    assert subject.facts["Fingerprint of the data"] == made["data"]["fingerprint"]
    for name, value in run.weights.items():
        assert torch.equal(subject.network.module.state_dict()[name], value), name
    train = subject_of(str(run.folder), split="train", layers=["features"])
    assert len(train.rows) == made["data"]["train"]
    assert train.layers == ("features",)
    names = [train.images.classes[label] for label in train.images.labels[train.rows].tolist()]
    wrong = sum(one != other for one, other in zip(names, [train.classes[c] for c in train.labels], strict=True))
    assert wrong == round(0.4 * len(names))  # the labels that the run was given
    assert any(note.startswith(f"{wrong:,} of the labels shown are wrong on purpose") for note in train.notes)
    assert not subject.notes
    assert len(subject.about_labels) == 1
    assert "has learned from some of these" in train.about_labels[1]
    whole = subject_of(str(run.folder), split="all")
    assert len(whole.rows) == 1797 - made["data"]["held_out"]
    assert int(whole.labels.min()) == 0


def test_a_run_shows_other_images_with_its_own_classes(run: Run, tmp_path: Path) -> None:
    known = run.made_with["classes"]
    shades = {known[5]: 10, known[2]: 200}
    for name, shade in shades.items():
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", (20, 20), (shade, shade, shade)).save(tmp_path / "set" / name / "0.png")
    subject = subject_of(str(run.folder), str(tmp_path / "set"))
    assert subject.classes == known
    found = dict(zip(subject.labels.tolist(), subject.inputs[subject.rows].float().mean((1, 2, 3)), strict=True))
    assert found == {5: 10, 2: 200}
    assert subject.inputs.shape[1:] == (1, 8, 8)
    (tmp_path / "set" / "stranger").mkdir()
    Image.new("RGB", (20, 20)).save(tmp_path / "set" / "stranger" / "0.png")
    with pytest.raises(ValueError, match="has the class 'stranger' that the run does not know"):
        subject_of(str(run.folder), str(tmp_path / "set"))
    with pytest.raises(ValueError, match=r"^weights: got .* for the run .*, which has its own, expected none; "):
        subject_of(str(run.folder), weights=run.weights_file)
    with pytest.raises(ValueError, match=r"^size: got '64' for the run .*, which has its own, expected none; "):
        subject_of(str(run.folder), size=64)
    with pytest.raises(ValueError, match=r"^layers: the (model|network) has no layer 'feature', .*'features'"):
        subject_of(str(run.folder), layers=["feature"])
    run.result_file.unlink()
    with pytest.raises(ValueError, match=r"holds no result\.json, expected a run; finish it with --resume\.$"):
        subject_of(str(run.folder))


def test_weights_at_hand_need_no_file(photos: Path) -> None:
    subject = subject_of("efficientnet-lite0", str(photos), size=32)
    own = make_network("efficientnet-lite0", 3, pretrained=True)
    assert not subject.classifies
    assert subject.mean == own.mean
    name = "conv_head.weight"
    assert torch.equal(subject.network.module.state_dict()[name], own.module.state_dict()[name])


def test_logits_are_the_file_s(photos: Path, tmp_path: Path) -> None:
    module = timm.create_model("test_vit", num_classes=3).eval()
    subject = subject_of("timm/test_vit", str(photos), weights=saved(module, tmp_path))
    images = subject.images.tensor().float() / 255
    config: Any = module.pretrained_cfg
    mean, std = (torch.tensor(config[one]).view(1, 3, 1, 1) for one in ("mean", "std"))
    with torch.no_grad():
        torch.testing.assert_close(plain(subject, *subject.layers)[0], module((images - mean) / std))


class Attack:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.trace,)


def test_a_file_of_weights_cannot_run_code(photos: Path, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"fc.weight": torch.ones(1), "more": Attack(tmp_path / "trace")}, path)
    with pytest.raises(
        ValueError, match=r"^weights: .* could not be read as tensors by name \(UnpicklingError\)"
    ):
        subject_of("small", str(photos), weights=path)
    assert not (tmp_path / "trace").exists()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


def test_what_is_refused(photos: Path, tmp_path: Path) -> None:
    data = str(photos)
    path = saved(make_network("small", 3).module, tmp_path)
    (tmp_path / "noise.pt").write_bytes(b"noise")
    save_file({}, tmp_path / "none.safetensors")
    for model, given, message in (
        ("resnet19", {}, r"^model: 'resnet19' is no folder .* did you mean 'resnet18'"),
        (str(tmp_path), {}, r"^run: .* holds no result\.json, expected the folder of a run"),
        ("timm/resnet18", {}, r"^weights: got none for 'timm/resnet18', expected a file, .* --weights FILE"),
        ("timm/resnet1818", {"weights": path}, r"^network: got 'timm/resnet1818', expected a network that timm"),
        ("small", {"weights": tmp_path / "nowhere.pt"}, r"^weights: there is no file .*nowhere\.pt"),
        ("small", {"weights": tmp_path / "noise.pt"}, r"^weights: .*noise\.pt' could not be read as tensors"),
        ("small", {"weights": tmp_path / "none.safetensors"}, r"^weights: .*none.* could not be read as tensors"),
        ("resnet18", {"weights": path}, r"^weights: .* has nothing for '.*' of 'resnet18' \(\d+ such\)"),
        ("small", {"weights": path, "split": "tset"}, r"^split: got 'tset', expected one of .*'test'"),
        ("small", {"weights": path, "layers": ["feature"]}, r"^layers: the network has no layer 'feature'"),
        ("small", {"weights": path, "layers": ["classifier.x"]}, r"^layers: the network has no layer"),
        ("none_of:mine", {"weights": path}, r"^network: there is no module 'none_of'"),
    ):
        with pytest.raises(ValueError, match=message):
            subject_of(model, data, **given)
    with pytest.raises(
        ValueError, match=r"^data: got none for 'small', expected images to show it, .* --data\.$"
    ):
        subject_of("small", weights=path)


def test_a_layer_without_features_of_each_image(tmp_path: Path, photos: Path) -> None:
    module = timm.create_model("test_vit", num_classes=3)
    layers = ("blocks.0.attn.qkv", "blocks.0.attn.q_norm")
    path = saved(module, tmp_path)
    assert subject_of("timm/test_vit", str(photos), weights=path, layers=layers[:1]).layers == layers[:1]
    module = timm.create_model("test_maxvit", num_classes=3)
    window = next(name for name, part in module.named_modules() if name.endswith("attn_block.attn"))
    with pytest.raises(
        ValueError, match=rf"^layers: '{window}' gives .* for 2 images, expected features of each"
    ):
        subject_of("timm/test_maxvit", str(photos), weights=saved(module, tmp_path), layers=(window,))
