"""What is exported runs elsewhere, and the loss leaves no trace in it."""

from collections.abc import Callable
from pathlib import Path

import onnx
import onnxruntime
import pytest
import torch
from rich.console import Console
from safetensors import safe_open

from torchdiscern.lab import Run
from torchdiscern.lab.training.export import example_of, export

SMALL = {"epochs": 1, "per_class": 4, "batch_size": 6, "val_fraction": 0.2, "image_size": 32, "start_epoch": 1}
NETWORKS = [
    {"model": "small"},
    {"model": "resnet18", "width": 16, "dropout": 0.4},
    pytest.param({"model": "cvt13", "width": 16}, marks=pytest.mark.long),
    pytest.param({"model": "efficientnet-lite0", "head": 16}, marks=pytest.mark.long),
]


def graph(program: torch.export.ExportedProgram) -> list[tuple[str, str, str]]:
    return [(node.op, str(node.target), str(node.args)) for node in program.graph.nodes]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["model"])
def test_with_the_loss_and_without_the_graph_is_the_same_node_for_node(
    photos: Path, trained: Callable[..., Run], network: dict[str, object]
) -> None:
    """The paper's "no cost at inference"."""
    plain, ours = (
        trained("scratch", arm, data=str(photos), arm=arm, threads=1, **SMALL | network) for arm in ("ce", "gini")
    )
    assert (ours.folder / "metrics.csv").read_text().count("terms/loss") == 1
    files = [[export(run, kind) for run in (plain, ours)] for kind in ("torch.export", "onnx")]
    programs = [torch.export.load(path) for path in files[0]]
    assert graph(programs[0]) == graph(programs[1])
    nodes = [[(n.op_type, *n.input, *n.output) for n in onnx.load(path).graph.node] for path in files[1]]
    assert nodes[0] == nodes[1]
    assert len(nodes[0]) > 5

    images = example_of(ours, batch=5)  # another batch than the one exported with
    with torch.no_grad():
        expected = ours.model()(images)
        assert not torch.allclose(expected, plain.model()(images))
        torch.testing.assert_close(programs[1].module()(images), expected, rtol=1e-4, atol=1e-4)
    session = onnxruntime.InferenceSession(files[1][1])
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), expected, rtol=1e-3, atol=1e-3)


def test_safetensors_say_what_they_are(trained: Callable[..., Run]) -> None:
    run = trained("digits", epochs=1)
    with safe_open(export(run, "safetensors"), "pt") as file:
        about = file.metadata()
        assert set(file.keys()) == set(run.weights)
    assert about["classes"].split("\n") == list("0123456789")
    assert about["model"] == "small"
    assert len(about["mean"].split()) == 1


def test_a_file_that_differs_is_not_written(trained: Callable[..., Run], monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained("digits", epochs=1)
    monkeypatch.setattr("torchdiscern.lab.training.export.TOLERANCE", -1.0)
    with pytest.raises(ValueError, match="format: the onnx file gives logits that differ"):
        export(run, "onnx", console=Console(quiet=True))
    assert not (run.folder / "model.onnx").exists()
    with pytest.raises(ValueError, match=r"format: got 'onx', expected .*'onnx'"):
        export(run, "onx")
