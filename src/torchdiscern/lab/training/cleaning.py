"""Labels that a network which did not see them does not believe."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import torch
from rich.console import Console
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from torchdiscern.lab import environment
from torchdiscern.lab.data import Images
from torchdiscern.lab.files import cache_folder, write_atomically
from torchdiscern.lab.recipe import Recipe
from torchdiscern.lab.seeds import generator
from torchdiscern.lab.training.fit import fit
from torchdiscern.lab.training.measure import Reader
from torchdiscern.lab.training.prepared import MACHINE, load, prepare
from torchdiscern.lab.training.showing import reading

FOLDS = 4
# the judge of the labels is a network trained by cross-entropy alone
JUDGE = {
    "arm": "ce",
    "clean": 0.0,
    "strength": None,
    "impurity_weight": None,
    "kl_weight": None,
    "damping": None,
    "memory": 0.0,
    "prior": "batch",
    "term_labels": "target",
}


def cross_validated(
    recipe: Recipe, images: Images, console: Console, folds: int = FOLDS
) -> tuple[Tensor, Tensor]:
    """What networks that did not see an image say of it: the recipe is trained `folds` times on the other folds.

    Args:
        recipe: what to train; its `clean` is left out.
        images: the recipe's.
        console: where to show how far it is.
        folds: parts of the training images, each with every class where there are enough.

    Returns:
        The training rows `[n]` and the probabilities of the classes `[n, C]`, in float32.
    """
    recipe = recipe.with_settings(clean=0.0)
    quiet = Console(quiet=True)
    whole = prepare(recipe, quiet, images)
    rows, given = whole.labels.train, whole.labels.target[whole.labels.train]
    fold = fold_of(given, folds, recipe.seed)
    device = environment.device_of(environment.accelerator_of(recipe.accelerator))
    found = torch.zeros(len(rows), whole.num_classes)
    with reading(console, "Judging labels by networks that did not see them") as progress:
        for part in progress(range(folds)):
            prepared = prepare(recipe, quiet, images)
            prepared.labels = replace(prepared.labels, train=rows[fold != part], val=rows[:0])
            fit(prepared)
            with environment.threads(recipe.threads):
                reader = Reader(prepared, device)
                said = [logits.softmax(1).cpu() for *_, logits in reader.batches(rows[fold == part])]
            found[fold == part] = torch.cat(said)
    return rows, found


def fold_of(labels: Tensor, folds: int, seed: int) -> Tensor:
    """The fold of each sample, drawn by seed so that every class is spread evenly, `[n]`.

    Example:
        >>> fold_of(torch.tensor([0, 0, 1, 1]), 2, seed=0).view(2, 2).sum(1)
        tensor([1, 1])
    """
    order = torch.randperm(len(labels), generator=generator(seed, "folds"))
    order = order[labels[order].argsort(stable=True)]
    found = torch.empty_like(labels)
    found[order] = torch.arange(len(labels)) % folds
    return found


def believed(recipe: Recipe, images: Images, console: Console) -> Tensor:
    """The training rows without the share `clean` whose labels cross-validated networks believe least.

    The networks are those of the same recipe under cross-entropy alone; what they say is kept on disk, so that
    arms that share all other settings are cleaned by the same judgement.

    Source: cross-validated label quality as in cleanlab (Northcutt, Jiang and Chuang, 2021).
    """
    from cleanlab.rank import get_label_quality_scores

    judge = recipe.with_settings(**JUDGE)
    given = load(judge, console, images)[1].target
    path = cache_folder() / "judged" / f"{_key(judge, images)}.safetensors"
    try:
        kept = load_file(path)
        rows, said = kept["rows"], kept["said"]
    except (OSError, SafetensorError, KeyError):
        rows, said = cross_validated(judge, images, console)
        _keep(path, {"rows": rows, "said": said}, console)
    scores = torch.from_numpy(get_label_quality_scores(given[rows].numpy(), said.double().numpy()))
    out = round(recipe.clean * len(rows))
    return rows[scores.argsort(stable=True)[out:].sort().values]


def _key(judge: Recipe, images: Images) -> str:
    settings = {name: value for name, value in judge.as_dict().items() if name not in MACHINE}
    text = json.dumps([settings, images.fingerprint, torch.__version__, FOLDS])
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _keep(path: Path, tensors: dict[str, Tensor], console: Console) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, save(tensors))
    except OSError as error:
        console.print(
            f"The judgement of the labels could not be kept in {path.parent} ({error.strerror}), so the next run "
            "will make it again; TORCHDISCERN_CACHE names another folder.",
            markup=False,
        )
