"""Commands that look at what a network has learned."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from torchdiscern.cli.options import Debug

if TYPE_CHECKING:
    from rich.console import Console

    from torchdiscern.lab.report.contents import Contents

Model = Annotated[
    str,
    typer.Argument(
        help="The folder of a finished run, timm/NAME, torchvision/NAME, efficientnet-lite0, "
        "or package.module:function."
    ),
]
Shown = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="A folder with one folder of images a class, or a data set by name.",
        show_default="a run's own",
    ),
]
Weights = Annotated[
    Path | None, typer.Option(help="The network's weights, .safetensors, .pt or .pth; a run has its own.")
]
Layers = Annotated[
    list[str] | None,
    typer.Option("--layer", metavar="NAME", help="A layer to inspect.", show_default="what the classifier reads"),
]
Size = Annotated[
    int | None, typer.Option(help="Pixels a side of the images.", show_default="what the network is made for")
]
Split = Annotated[
    str, typer.Option(help="Which images: test, val, train, all, or auto: test where there are some, else all.")
]
Tables = Annotated[
    bool, typer.Option("--parquet", help="Write all numbers as Parquet files beside the page, too.")
]


def inspect(
    model: Model,
    data: Shown = None,
    layer: Layers = None,
    weights: Weights = None,
    size: Size = None,
    split: Split = "auto",
    out: Annotated[
        Path | None,
        typer.Option(help="The page.", show_default="features.html, in the run's folder where MODEL is a run"),
    ] = None,
    parquet: Tables = False,
    debug: Debug = False,
) -> None:
    """Show which classes each feature of a network fires for, on which images, in one page that loads nothing."""
    from rich.console import Console

    from torchdiscern.lab.inspecting import inspect

    console = Console()
    page = out or (Path(model) if Path(model).is_dir() else Path()) / "features.html"
    _check_room(page, parquet)
    found = inspect(model, data, weights=weights, layers=layer or (), size=size, split=split, console=console)
    _write(found, page, parquet, console)


def report(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run, or of a comparison.")],
    run2: Annotated[
        Path | None, typer.Argument(help="The folder of another run, to be shown beside the first.")
    ] = None,
    data: Shown = None,
    layer: Layers = None,
    arms: Annotated[
        str | None,
        typer.Option(
            metavar="A,B",
            help="Arms of a comparison; one alone stands beside the baseline.",
            show_default="the baseline and the named contrast's arm, else the first rival",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The page.", show_default="features.html, in the folder where one is named"),
    ] = None,
    parquet: Tables = False,
    debug: Debug = False,
) -> None:
    """Show what the features of a run, of two runs or of a comparison's arms tell apart, in one page."""
    from rich.console import Console

    from torchdiscern.lab.inspecting.reporting import report

    console = Console()
    chosen = [name.strip() for name in (arms or "").split(",") if name.strip()]
    page = out or (run if run2 is None and run.is_dir() else Path()) / "features.html"
    _check_room(page, parquet)
    found = report(run, run2, data=data, layers=layer or (), arms=chosen, console=console)
    _write(found, page, parquet, console)


def labels(
    model: Model,
    data: Shown = None,
    weights: Weights = None,
    size: Size = None,
    split: Split = "all",
    out: Annotated[Path, typer.Option(help="A CSV file for the suspicious labels.")] = Path("labels.csv"),
    cleaned: Annotated[
        Path | None, typer.Option(help="A text file for the names of all other images, one a line.")
    ] = None,
    debug: Debug = False,
) -> None:
    """List the images whose label is doubtful, worst first, and the class that each stands nearer to."""
    from rich.console import Console

    from torchdiscern.lab.files import check_file, write_atomically
    from torchdiscern.lab.inspecting import inspect
    from torchdiscern.lab.inspecting.label_list import as_csv, other_files, table

    console = Console()
    check_file(out, "out")
    if cleaned:
        check_file(cleaned, "cleaned")
        if cleaned.resolve() == out.resolve():
            raise ValueError(
                f"cleaned: {str(cleaned)!r} is the file of --out, expected another, as it would overwrite it; "
                "choose another with --cleaned."
            )
    found = inspect(model, data, weights=weights, size=size, split=split, console=console)
    console.print(table(found))
    write_atomically(out, as_csv(found))
    console.print(f"All of them: {out}", markup=False, soft_wrap=True)
    if cleaned:
        kept, unwritable = other_files(found)
        write_atomically(cleaned, "".join(f"{name}\n" for name in kept))
        console.print(f"All other images: {cleaned}", markup=False, soft_wrap=True)
        if unwritable:
            console.print(
                f"{len(unwritable):,} of them are not in it, as a line cannot hold their names, first "
                f"{unwritable[0]!r}; rename them.",
                markup=False,
            )


def _check_room(page: Path, parquet: bool) -> None:
    """Before hours of work, not after."""
    from torchdiscern.lab.files import check_file
    from torchdiscern.lab.report.parquet import check_pyarrow

    check_file(page, "out")
    if parquet:
        check_pyarrow()


def _write(found: "Contents", page: Path, parquet: bool, console: "Console") -> None:
    from torchdiscern.lab.report.page import write_page
    from torchdiscern.lab.report.parquet import write_parquet

    with console.status("Writing the page"):
        written = write_page(found, page)
    for note in found.notes:
        console.print(note, markup=False, highlight=False)
    if written != page:
        console.print("The images would not fit into one file of 50 MB, so they lie beside the page.")
    console.print(f"Page: {written}", markup=False, soft_wrap=True)
    if parquet:
        folder = page.with_name(f"{page.stem}-parquet")
        files = ", ".join(path.name for path in write_parquet(found, folder))
        console.print(f"Numbers: {folder}, {files}", markup=False, soft_wrap=True)
