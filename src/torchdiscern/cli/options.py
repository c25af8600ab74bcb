"""Options that several commands take."""

from typing import Annotated

import typer

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
