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


Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks.")]
RecipeName = Annotated[
    str | None, typer.Argument(help="A recipe that ships (`torchdiscern recipes`), or a .yaml file.")
]
Data = Annotated[
    str | None, typer.Option(help="A folder with one folder of images a class, or a data set by name.")
]
Model = Annotated[str | None, typer.Option(help="A network by name.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting of the recipe; as often as needed."),
]


@app.command()
def train(
    recipe: RecipeName = None,
    data: Data = None,
    model: Model = None,
    out: Annotated[Path | None, typer.Option(help="Where the run goes.  [default: runs/NAME-ARM-SEED]")] = None,
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


@app.command()
def compare(
    recipe: RecipeName = None,
    data: Data = None,
    model: Model = None,
    arms: Annotated[
        str, typer.Option(help="Arms by name (`torchdiscern arms`), with commas; A+B joins two.")
    ] = "ce,gini,renyi",
    own: Annotated[
        list[str] | None,
        typer.Option("--arm", metavar="NAME:KEY=VALUE,...", help="An arm of your own; as often as needed."),
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="Paired repetitions of every arm; five are the fewest that judge.")
    ] = 5,
    tune: Annotated[int, typer.Option(help="Trials that choose settings for each arm; 0 for none.")] = 0,
    tuning_seeds: Annotated[int, typer.Option(help="Seeds that each trial is trained on.")] = 1,
    robust: Annotated[bool, typer.Option("--robust", help="Attack every trained network, too.")] = False,
    cross_validated: Annotated[
        bool, typer.Option("--cross-validated", help="Look for wrong labels by cross-validation, too.")
    ] = False,
    named: Annotated[
        str | None,
        typer.Option(metavar="ARM:MEASURE", help="The one contrast that is named before the runs."),
    ] = None,
    band: Annotated[float, typer.Option(help="Points of accuracy that make no difference in practice.")] = 0.2,
    difference: Annotated[
        float, typer.Option(help="Points of accuracy for which the plan says how many seeds it takes.")
    ] = 1.0,
    jobs: Annotated[int, typer.Option(help="Runs at once.")] = 1,
    engine: Annotated[str, typer.Option(help="local, or ray for several machines.")] = "local",
    address: Annotated[str | None, typer.Option(help="Of a running Ray cluster.")] = None,
    cpus: Annotated[float, typer.Option(help="Processors that each run takes of the cluster.")] = 1,
    gpus: Annotated[float, typer.Option(help="GPUs that each run takes of it.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Where it goes.  [default: runs/compare-NAME]")] = None,
    settings: Set = None,
    keep_weights: Annotated[bool, typer.Option("--keep-weights", help="Keep the trained weights.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and train nothing.")] = False,
    debug: Debug = False,
) -> None:
    """Train several arms under the same seeds, and say where they differ; goes on where it was stopped."""
    from rich.console import Console

    from torchdiscern.lab.comparing.compare import compare, default_folder
    from torchdiscern.lab.comparing.design import BASELINE, chosen_arms
    from torchdiscern.lab.training.run import chosen_recipe

    found = chosen_recipe(recipe, data, model, settings or ())
    if found is None:
        raise ValueError(
            "recipe: got neither a recipe nor --data, expected one of them; as in torchdiscern compare digits, "
            "or torchdiscern compare --data photos."
        )
    if engine not in ("local", "ray"):
        raise ValueError(f"engine: got {engine!r}, expected local or ray; choose one.")
    if named is not None and ":" not in named:
        raise ValueError(f"named: got {named!r}, expected ARM:MEASURE; as in --named renyi:accuracy.")
    folder = out or default_folder(found)
    try:
        compare(
            found,
            chosen_arms([BASELINE, *arms.split(",")], own or ()),
            seeds,
            out=folder,
            tune=tune,
            tuning_seeds=tuning_seeds,
            robust=robust,
            cross_validated=cross_validated,
            named=(named.rpartition(":")[0], named.rpartition(":")[2]) if named else None,
            band=band,
            difference=difference,
            keep_weights=keep_weights,
            jobs=jobs,
            engine="ray" if engine == "ray" else "local",
            address=address,
            cpus=cpus,
            gpus=gpus,
            plan_only=dry_run,
            console=Console(),
        )
    except KeyboardInterrupt:
        typer.echo(f"Stopped. What was done is kept in {folder}; the same command goes on from there.", err=True)
        raise typer.Exit(130) from None


@app.command()
def arms(
    name: Annotated[str | None, typer.Argument(help="One of them, or several joined by +.")] = None,
    debug: Debug = False,
) -> None:
    """List what a comparison can train, or print an arm's card: formula, source, weights, cost, when not."""
    from rich.console import Console
    from rich.markdown import Markdown

    from torchdiscern.lab.arms_page import card, table

    Console().print(table() if name is None else Markdown(card(name)))


recipes = typer.Typer(help="The recipes that ship.", invoke_without_command=True)
app.add_typer(recipes, name="recipes")


@recipes.callback()
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


@recipes.command("show")
def show_recipe(name: Annotated[str, typer.Argument(help="Its name.")], debug: Debug = False) -> None:
    """Print a recipe with all its settings, as YAML."""
    from torchdiscern.lab.recipe import Recipe

    typer.echo(Recipe.named(name).to_yaml(), nl=False)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    data: Annotated[
        Path | None,
        typer.Option(help="Other images: a folder with one folder a class.  [default: the run's test images]"),
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


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run.")],
    format: Annotated[str, typer.Option(help="onnx, torch.export or safetensors.")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="The file.  [default: in the run's folder]")] = None,
    debug: Debug = False,
) -> None:
    """Write a trained network as a file that other programs run, and check it."""
    from rich.console import Console

    from torchdiscern.lab.training.export import export
    from torchdiscern.lab.training.folder import Run

    console = Console()
    console.print(f"Written: {export(Run(run), format, out, console)}", markup=False, soft_wrap=True)


data_app = typer.Typer(help="Folders of images.", no_args_is_help=True)
app.add_typer(data_app, name="data")


@data_app.command("check")
def check_data(
    folder: Annotated[Path, typer.Argument(help="A folder with one folder of images a class.")],
    debug: Debug = False,
) -> None:
    """Read every image of a folder, and say what training would leave out, convert or stumble over."""
    from rich.console import Console

    from torchdiscern.lab.data import check_folder

    check_folder(folder, Console())
