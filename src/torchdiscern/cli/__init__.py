"""The command line: parses, calls one function, prints."""

from collections.abc import Callable
from typing import Annotated

import typer

import torchdiscern
from torchdiscern.cli import comparing, inspecting, training

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


recipes = typer.Typer(help="The recipes that ship.", invoke_without_command=True)
recipes.callback()(training.list_recipes)
recipes.command("show")(training.show_recipe)
data = typer.Typer(help="Folders of images.", no_args_is_help=True)
data.command("check")(training.check_data)

COMMANDS: tuple[Callable[..., None], ...] = (
    training.demo,
    training.train,
    comparing.compare,
    comparing.arms,
    training.evaluate,
    training.export,
    inspecting.inspect,
    inspecting.report,
    inspecting.labels,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(recipes, name="recipes")
app.add_typer(data, name="data")
