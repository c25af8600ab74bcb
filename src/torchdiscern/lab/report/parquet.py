"""Everything in a feature report as Parquet files, for programs."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from torchdiscern.lab.files import make_folder, write_atomically
from torchdiscern.lab.report.contents import Contents, Inspected, Layer

Columns = Mapping[str, Any]


def write_parquet(contents: Contents, folder: Path) -> list[Path]:
    """Writes `features`, `distributions`, `classes`, `images` and, where there are some, `labels` and `changes`.

    Shares, accuracies and probabilities are in [0, 1]; what is unknown, as the owner of a dead feature, is null.

    Args:
        contents: of the report.
        folder: made where it is missing; files of these names in it are replaced.

    Returns:
        The files.

    Raises:
        ModuleNotFoundError: pyarrow is not installed.
        OSError: nothing can be written there.
    """
    check_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    make_folder(folder, "out")
    written = []
    for name, parts in _tables(contents).items():
        found = pa.concat_tables([pa.table(dict(part)) for part in parts]) if parts else None
        if found is None:
            continue
        sink = pa.BufferOutputStream()
        pq.write_table(found, sink)
        path = folder / f"{name}.parquet"
        write_atomically(path, sink.getvalue().to_pybytes())
        written.append(path)
    return written


def check_pyarrow() -> None:
    """Says how to install what Parquet files need."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Parquet files need pyarrow, which is not installed; run: pip install 'torchdiscern[parquet]'",
            name=error.name,
        ) from error


def _tables(contents: Contents) -> dict[str, list[Columns]]:
    layers = [(network, layer) for network in contents.networks for layer in network.layers]
    return {
        "features": [_features(contents, network, layer) for network, layer in layers],
        "distributions": [_distribution(contents, network, layer) for network, layer in layers],
        "classes": [_classes(contents, network, layer) for network, layer in layers],
        "images": [_images(contents, network) for network in contents.networks],
        "labels": list(_labels(contents)),
        "changes": list(_changes(contents)),
    }


def _features(contents: Contents, network: Inspected, layer: Layer) -> Columns:
    D = len(layer.owner)
    live, owner = ~layer.dead, layer.owner
    return {
        "network": [network.name] * D,
        "layer": [layer.name] * D,
        "feature": np.arange(D),
        "owner": _texts([contents.classes[c] if c >= 0 else None for c in owner]),
        "share": _where(live, layer.share),
        "share_low": _where(live, layer.low[owner, np.arange(D)]),
        "share_high": _where(live, layer.high[owner, np.arange(D)]),
        "impurity": layer.impurity,
        "impurity_renyi": layer.impurity_renyi,
        "effective_classes": _where(live, layer.effective),
        "firing_rate": layer.firing,
        "mean_activation": layer.mean,
        "removal": _floats(np.full(D, np.nan) if layer.removal is None else layer.removal),
        "dead": layer.dead,
        "broken": layer.broken,
    }


def _distribution(contents: Contents, network: Inspected, layer: Layer) -> Columns:
    C, D = layer.distribution.shape
    return {
        "network": [network.name] * (C * D),
        "layer": [layer.name] * (C * D),
        "feature": np.tile(np.arange(D), C),
        "class": [name for name in contents.classes for _ in range(D)],
        "share": layer.distribution.ravel(),
        "low": layer.low.astype(np.float64).ravel(),
        "high": layer.high.astype(np.float64).ravel(),
    }


def _classes(contents: Contents, network: Inspected, layer: Layer) -> Columns:
    C = len(contents.classes)
    columns: dict[str, Any] = {
        "network": [network.name] * C,
        "layer": [layer.name] * C,
        "class": contents.classes,
        "images": np.bincount(contents.labels, minlength=C),
        "features_owned": np.bincount(layer.owner[layer.owner >= 0], minlength=C),
        "coverage": layer.coverage,
        "prior": layer.prior,
    }
    made = network.decisions if layer is network.layers[-1] else None
    unknown = np.full(C, np.nan)
    right, all_of = (unknown, unknown) if made is None else (made.confusion.diagonal(), made.confusion.sum(1))
    with np.errstate(invalid="ignore"):
        columns["accuracy"] = _floats(right / all_of)
    for k in sorted({k for one in contents.networks if one.decisions for k in one.decisions.few}):
        known = made is not None and k in made.few
        columns[f"accuracy_of_{k}_features"] = _floats(made.few[k][1] if made and known else unknown)
    columns["logit_by_own_features"] = _floats(unknown if made is None else made.owned_part)
    columns["logit_by_all_features"] = _floats(unknown if made is None else made.whole_part)
    return columns


def _images(contents: Contents, network: Inspected) -> Columns:
    N, made = len(contents.files), network.decisions
    unknown = np.full(N, np.nan)
    return {
        "network": [network.name] * N,
        "file": contents.files,
        "label": [contents.classes[c] for c in contents.labels],
        "predicted": _texts([None] * N if made is None else [contents.classes[c] for c in made.predicted]),
        "probability": _floats(unknown if made is None else made.probability),
        "probability_of_label": _floats(unknown if made is None else made.own_probability),
        "logit": _floats(unknown if made is None else made.logits[:, 0]),
        "logit_of_label": _floats(unknown if made is None else made.logits[:, 1]),
    }


def _labels(contents: Contents) -> Iterator[Columns]:
    for network in contents.networks:
        found = network.suspicions
        if found is not None:
            yield {
                "network": _texts([network.name] * len(found.rows)),
                "file": _texts([contents.files[row] for row in found.rows]),
                "label": _texts([contents.classes[contents.labels[row]] for row in found.rows]),
                "nearer": _texts([contents.classes[c] for c in found.nearer]),
                "margin": found.margin.astype(np.float64),
            }


def _changes(contents: Contents) -> Iterator[Columns]:
    if contents.changes is not None:
        yield {
            "first": contents.changes.first,
            "second": contents.changes.second,
            "distance": contents.changes.distance,
        }


def _where(known: Any, values: Any) -> Any:
    return _floats(np.where(known, values, np.nan))


def _floats(values: Any) -> Any:
    """float64, null where unknown, also where nothing is known."""
    import pyarrow as pa

    return pa.array(np.asarray(values, np.float64), from_pandas=True)


def _texts(values: list[Any]) -> Any:
    import pyarrow as pa

    return pa.array(values, pa.string())
