"""The command line's door: a sentence where something is wrong, a traceback only with `--debug`."""

import sys


def main() -> None:
    try:
        from torchdiscern.cli import app

        app(prog_name="torchdiscern")
    except ModuleNotFoundError as error:
        if "--debug" in sys.argv or (error.name or "").startswith("torchdiscern"):
            raise
        message = str(error) if "pip install" in str(error) else _missing(error.name)
        sys.exit(f"torchdiscern: {message}")
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        if "--debug" in sys.argv:
            raise
        sys.exit(f"torchdiscern: {error}")


def _missing(name: str | None) -> str:
    return (
        f"the command line needs {name}, which is not installed; "
        "run: pip install 'torchdiscern[lab]' (in a clone: pip install '.[lab]')"
    )


if __name__ == "__main__":
    main()
