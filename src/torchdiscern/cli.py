"""The command line: parses, calls one function, prints."""

from pathlib import Path
from typing import Annotated

import typer

import torchdiscern

app = typer.Typer(
    help="A loss beside cross-entropy that makes every feature tell classes apart.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(torchdiscern.__version__)
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="A folder with one folder of images a class.  [default: handwritten digits]"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path("runs/demo"),
    seeds: Annotated[int, typer.Option(help="Paired repetitions of every arm.")] = 5,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 20,
    label_noise: Annotated[
        float, typer.Option(help="Share of training labels that are replaced by a random class.")
    ] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the results in OUT.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Train a small network with and without the loss, and show what changed."""
    # imported here, so that `--help` does not wait for torchvision and scipy
    from torchdiscern.lab.demo import Settings, run_demo

    settings = Settings(data=str(data) if data else None, seeds=seeds, epochs=epochs, label_noise=label_noise)
    try:
        run_demo(settings, out, overwrite=overwrite)
    except KeyboardInterrupt:
        kept = (out / "results.json").exists()
        left = f"Finished seeds are kept in {out}" if kept else "No seed was finished"
        typer.echo(f"Stopped. {left}; the same command goes on from there.", err=True)
        raise typer.Exit(130) from None
