"""Commands that train one network at a time, measure and export it, and look at its images."""

from pathlib import Path
from typing import Annotated

import typer

from torchdiscern.cli.options import Data, Debug, Model, RecipeName, Set


def demo(
    data: Annotated[
        Path | None,
        typer.Option(help="A folder with one folder of images a class.", show_default="handwritten digits"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the results go.")] = Path("runs/demo"),
    seeds: Annotated[int, typer.Option(help="Paired repetitions of every arm.")] = 5,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 20,
    label_noise: Annotated[
        float, typer.Option(help="Share of training labels that are replaced by a random class.")
    ] = 0.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the results in OUT.")] = False,
    debug: Debug = False,
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


def train(
    recipe: RecipeName = None,
    data: Data = None,
    model: Model = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the run goes.", show_default="runs/NAME-ARM-SEED")
    ] = None,
    settings: Set = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in OUT.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and train nothing.")] = False,
    debug: Debug = False,
) -> None:
    """Train a network with the loss, and leave a folder with its weights, numbers, log and model card."""
    from rich.console import Console

    from torchdiscern.lab.recipe import Recipe
    from torchdiscern.lab.training.folder import Run
    from torchdiscern.lab.training.run import LostProcessError, chosen_recipe, default_folder, is_first, train

    console = Console()
    found = chosen_recipe(recipe, data, model, settings or ())
    if found is None and not (resume and out):
        raise ValueError(
            "recipe: got neither a recipe nor --data, expected one of them, or --resume --out RUN; "
            "`torchdiscern recipes` lists what ships, --data photos takes a folder with one folder of images a "
            "class."
        )
    if dry_run:
        from torchdiscern.lab.training.plan import plan

        plan(found or Run(out or default_folder(Recipe())).recipe, console)
        return
    try:
        train(found, out, resume=resume, console=console)
    except KeyboardInterrupt:
        if is_first():
            folder = out or default_folder(found or Recipe())
            kept = "Finished epochs are kept" if Run(folder).started else "Nothing was begun"
            goes_on = f"--resume --out {folder} goes on" if Run(folder).started else "the same command begins"
            typer.echo(f"Stopped. {kept}; {goes_on}.", err=True)
        raise typer.Exit(130) from None
    except LostProcessError:
        if is_first():
            raise
        raise typer.Exit(1) from None  # the first process says it


def evaluate(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Other images: a folder with one folder a class.", show_default="the run's test images"
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the numbers.")] = None,
    debug: Debug = False,
) -> None:
    """Measure a trained network again, on its test images or on others."""
    import json

    from rich.console import Console

    from torchdiscern.lab.files import make_folder, write_atomically
    from torchdiscern.lab.training.evaluate import evaluate
    from torchdiscern.lab.training.folder import Run
    from torchdiscern.lab.training.results import measured_table

    console = Console()
    if out is not None:
        make_folder(out.parent, "out")
    found = evaluate(Run(run), data, console)
    console.print(measured_table(str(data or run), found))
    if out is not None:
        write_atomically(out, json.dumps(found, indent=2) + "\n")


def export(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    format: Annotated[str, typer.Option(help="onnx, torch.export or safetensors.")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="The file.", show_default="in the run's folder")] = None,
    debug: Debug = False,
) -> None:
    """Write a trained network as a file that other programs run, and check it."""
    from rich.console import Console

    from torchdiscern.lab.training.export import export
    from torchdiscern.lab.training.folder import Run

    console = Console()
    console.print(f"Written: {export(Run(run), format, out, console)}", markup=False, soft_wrap=True)


def list_recipes(context: typer.Context) -> None:
    """List the recipes that ship."""
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.table import Table

    from torchdiscern.lab.recipe import Recipe, recipe_names

    table = Table("recipe", "what it is for", box=None, padding=(0, 2, 0, 0))
    for name in recipe_names():
        table.add_row(name, Recipe.named(name).about)
    Console().print(table)


def show_recipe(name: Annotated[str, typer.Argument(help="Its name.")], debug: Debug = False) -> None:
    """Print a recipe with all its settings, as YAML."""
    from torchdiscern.lab.recipe import Recipe

    typer.echo(Recipe.named(name).to_yaml(), nl=False)


def check_data(
    folder: Annotated[Path, typer.Argument(help="A folder with one folder of images a class.")],
    debug: Debug = False,
) -> None:
    """Read every image of a folder, and say what training would leave out, convert or stumble over."""
    from rich.console import Console

    from torchdiscern.lab.data import check_folder

    check_folder(folder, Console())
