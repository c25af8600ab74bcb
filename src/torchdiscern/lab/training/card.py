"""The model card of a run."""

import shlex
from html import escape
from typing import Any

from torchdiscern.lab import arms
from torchdiscern.lab.environment import trained_on
from torchdiscern.lab.recipe import Recipe
from torchdiscern.lab.training.durations import duration
from torchdiscern.lab.training.folder import Run
from torchdiscern.lab.training.results import as_markdown


def card(run: Run, result: dict[str, Any]) -> str:
    """A README for the run's folder: what the model is, its numbers, how to load it, what it is not."""
    recipe, made = run.recipe, run.made_with
    data, classes = made["data"], [_plain(name) for name in made["classes"]]
    shown = ", ".join(classes[:20]) + (f" and {len(classes) - 20} more" if len(classes) > 20 else "")
    size, channels = made["image_size"], made["channels"]
    terms = recipe.arm in arms.TERMS or recipe.arm == arms.RECOMMENDED
    loss = f"cross-entropy and discriminability terms ({recipe.arm})" if terms else arms.in_words(recipe.arm)
    loss = f"`{loss}`" if ":" in recipe.arm else loss
    paragraphs = [
        f"# {_plain(recipe.name or recipe.model)}",
        f"A classifier of {len(classes)} classes: {_plain(recipe.model)} trained with {loss} on "
        f"{_plain(data['name'])}, by torchdiscern {made['versions']['torchdiscern']}.",
        "## Use",
        _USE.format(folder=run.folder.name, channels=channels, size=size),
        "`model.safetensors` holds the weights under the network's own names. Normalisation: mean "
        f"{_numbers(made['mean'])}, deviation {_numbers(made['std'])} of pixels in [0, 1]. `torchdiscern export` "
        "writes ONNX or a `torch.export` program, with normalisation inside. "
        f"`{shlex.join(['torchdiscern', 'report', run.folder.name])}` shows what each feature tells apart.",
        f"Classes, in the order of the outputs: {shown}.",
        "## Numbers",
        as_markdown(result),
        f"The weights are those of the {result['selected']} ({result['best']['epoch']} of {recipe.epochs}). "
        '"Accuracy '
        'by k features" lets each class keep only its k most contributing features. One run of one seed: what '
        "differs between two runs, several seeds must show.",
        "## Training",
        f"{data['train']:,} images to train, {data['val']:,} to validate, {data['test']:,} to test; "
        f"{recipe.epochs} epochs in {duration(result['seconds']['training'])} at "
        f"{result['images_per_second']:,.0f} images a second on "
        f"{trained_on(made['hardware'], recipe.accelerator)} ({made['precision']}). "
        "`recipe.yaml` holds every setting, versions, hardware and a fingerprint of the "
        "images; `torchdiscern train recipe.yaml` trains it again.",
        "## Limits",
        "\n".join(f"- {said}" for said in _caveats(recipe, result)),
        'Method: Croitoru, Grigore and Ionescu, "Discriminability-enforcing loss to improve representation '
        'learning", '
        "CVPR Workshops 2022, arXiv 2202.07073.",
    ]
    return "\n\n".join(paragraphs) + "\n"


_USE = """```python
from torchdiscern.lab import Run

model = Run("{folder}").model()  # this folder; takes pixels in [0, 1], [B, {channels}, {size}, {size}]
```"""


def _caveats(recipe: Recipe, result: dict[str, Any]) -> list[str]:
    said = []
    if recipe.label_noise:
        said.append("Labels of training and validation images were made wrong on purpose (`label_noise`).")
    if recipe.holdout_classes:
        said.append(f"{recipe.holdout_classes} classes were held out.")
    test = result["best"]["test"]
    if test is None:
        said.append("No image was held out for testing, so how well it does on new ones is not known.")
    else:
        half = 196 * (test["accuracy"] * (1 - test["accuracy"]) / test["images"]) ** 0.5
        said.append(f"{test['images']:,} test images: they give the accuracy to about {half:.1f} points (95%).")
    if result["best"]["validation"] is None:
        said.append("No image was held out for validation; the last epoch was taken.")
    else:
        said.append("The test images chose nothing; the validation images chose the epoch.")
    said.append("The network knows only its classes: it gives one of them for any image.")
    said.append(
        "Nothing is known of images unlike those above, nor of fairness between groups of people in them."
    )
    return said


def _numbers(values: list[float]) -> str:
    return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"


def _plain(text: str) -> str:
    """Text that no reader of Markdown takes for markup."""
    escaped = "".join("\\" + one if one in "\\`*_[]#|" else one for one in text)
    return " ".join(escape(escaped, quote=False).split())
