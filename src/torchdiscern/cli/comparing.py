"""Commands that compare arms."""

from pathlib import Path
from typing import Annotated

import typer

from torchdiscern.cli.options import Data, Debug, Model, RecipeName, Set


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
    attacked: Annotated[int, typer.Option(help="Test images that --robust attacks.")] = 500,
    cross_validated: Annotated[
        bool, typer.Option("--cross-validated", help="Look for wrong labels by cross-validation, too.")
    ] = False,
    named: Annotated[
        str | None,
        typer.Option(metavar="ARM:MEASURE", help="The one contrast that is named before the runs."),
    ] = None,
    band: Annotated[float, typer.Option(help="Points of accuracy that make no difference in practice.")] = 0.2,
    difference: Annotated[
        float | None,
        typer.Option(
            help="Points of accuracy for which the plan says how many seeds it takes.",
            show_default="1, or twice the band",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at once.")] = 1,
    engine: Annotated[str, typer.Option(help="local, or ray for several machines.")] = "local",
    address: Annotated[str | None, typer.Option(help="Of a running Ray cluster.")] = None,
    cpus: Annotated[float, typer.Option(help="Processors that each run takes of the cluster.")] = 1,
    gpus: Annotated[float, typer.Option(help="GPUs that each run takes of it.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Where it goes.", show_default="runs/compare-NAME")] = None,
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
            attacked=attacked,
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


def arms(
    name: Annotated[str | None, typer.Argument(help="One of them, or several joined by +.")] = None,
    debug: Debug = False,
) -> None:
    """List what a comparison can train, or print an arm's card: formula, source, weights, cost, when not."""
    from rich.console import Console
    from rich.markdown import Markdown

    from torchdiscern.lab.arms_page import card, table

    Console().print(table() if name is None else Markdown(card(name)))
