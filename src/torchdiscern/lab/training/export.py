"""A trained network as a file that other programs run; the loss leaves no trace in it."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from safetensors.torch import save
from torch import Tensor, nn

from torchdiscern import checks
from torchdiscern.lab import arms
from torchdiscern.lab.files import make_folder, write_atomically
from torchdiscern.lab.training.folder import Run

FORMATS = {"onnx": "model.onnx", "torch.export": "model.pt2", "safetensors": "exported.safetensors"}
TOLERANCE = 1e-3  # of logits, in float32, relative to the largest


def export(run: Run, format: str, out: Path | None = None, console: Console | None = None) -> Path:
    """Writes a run's network for pixels in [0, 1], `[B, channels, S, S]` with any B, and checks what it wrote.

    Args:
        run: a finished run.
        format: `"onnx"`, checked in onnxruntime; `"torch.export"`, loaded and checked in PyTorch;
            `"safetensors"`, the weights with normalisation and class names in the file's metadata.
        out: the file; by default in the run's folder.
        console: where to print.

    Returns:
        The file.

    Raises:
        ValueError: an unknown format, no finished run, or a network that cannot be exported.
        ModuleNotFoundError: a library is missing; the command that installs it is named.
    """
    checks.check_choice(format, "format", FORMATS)
    console = console or Console(quiet=True)
    run.result  # noqa: B018, says what is missing
    path = out or run.folder / FORMATS[format]
    make_folder(path.parent, "out")
    if format == "safetensors":
        made = run.made_with
        about = {"format": "pt", "model": run.recipe.model, "classes": "\n".join(made["classes"])}
        about |= {name: " ".join(map(str, made[name])) for name in ("mean", "std")}
        kind, scale = arms.classifier_of(run.recipe.arm, run.recipe.strength)
        if kind != "linear":
            about["classifier"] = f"{scale:g} times the cosine of input and weights"
        write_atomically(path, save({k: v.contiguous() for k, v in run.weights.items()}, metadata=about))
        return path
    model = run.model()
    example = example_of(run)
    write = {"onnx": _onnx, "torch.export": _program}[format]
    data, again = write(model, example)
    difference = _difference(model, again, example)
    if not difference <= TOLERANCE:
        raise ValueError(
            f"format: the {format} file gives logits that differ by {difference:.1e} of the largest from "
            f"PyTorch's, expected at most {TOLERANCE:g}; nothing was written, use another format."
        )
    write_atomically(path, data)
    console.print(
        f"{path}: logits agree with PyTorch's to {difference:.1e} of the largest.", markup=False, soft_wrap=True
    )
    return path


def example_of(run: Run, batch: int = 2) -> Tensor:
    """Random images of the run's shape."""
    made = run.made_with
    shape = (batch, made["channels"], made["image_size"], made["image_size"])
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def exported(model: nn.Module, example: Tensor) -> torch.export.ExportedProgram:
    """The model's graph, for batches of any size.

    Raises:
        ValueError: the model cannot be exported.
    """
    try:
        return torch.export.export(model, (example,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    except Exception as error:  # the exporter raises a dozen kinds
        reason = " ".join(str(error).split())
        raise ValueError(
            f"run: the network cannot be exported ({error.__class__.__name__}: {reason:.200}), expected one that "
            "torch.export takes; use format safetensors, or change its code."
        ) from error


Run_ = Callable[[Tensor], Tensor]


def _program(model: nn.Module, example: Tensor) -> tuple[bytes, Run_]:
    data = io.BytesIO()
    torch.export.save(exported(model, example), data)
    again: Any = torch.export.load(io.BytesIO(data.getvalue())).module()
    return data.getvalue(), again


def _onnx(model: nn.Module, example: Tensor) -> tuple[bytes, Run_]:
    try:
        import onnxruntime
        import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"export to onnx needs {error.name}, which is not installed; run: pip install 'torchdiscern[export]'",
            name=error.name,
        ) from None
    program = torch.onnx.export(exported(model, example), dynamo=True, verbose=False)
    assert program is not None
    data: bytes = program.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return data, lambda images: torch.from_numpy(session.run(None, {name: images.numpy()})[0])


@torch.no_grad()
def _difference(model: nn.Module, again: Run_, example: Tensor) -> float:
    """The largest difference of logits over batches of two sizes, relative to the largest logit."""
    worst = 0.0
    for images in (example, torch.cat([example, example.flip(0), example[:1]])):
        expected = model(images)
        worst = max(worst, float((again(images) - expected).abs().max() / expected.abs().max()))
    return worst
