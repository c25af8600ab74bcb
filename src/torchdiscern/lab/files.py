"""Writing so that nothing is ever half there, and what room there is."""

import os
import tempfile
from pathlib import Path

UNKNOWN_MEMORY = 4 * 2**30


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes beside `path` and renames, so that a reader sees the old content or the new, whole."""
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.chmod(0o644)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def make_folder(path: Path, argument: str) -> None:
    """Makes a folder that can be written to, or says in one sentence why not."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(
            f"{argument}: cannot write to {str(path)!r} ({reason}), expected a folder to write to; "
            f"choose another with --{argument}."
        ) from error


def check_file(path: Path, argument: str) -> None:
    """Makes the folder of a file that is to be written, or says in one sentence why it cannot be."""
    if path.is_dir():
        raise IsADirectoryError(
            f"{argument}: {str(path)!r} is a folder, expected a file to write; choose another with --{argument}."
        )
    make_folder(path.parent, argument)


def cache_folder() -> Path:
    """Where what was downloaded or computed once is kept: `TORCHDISCERN_CACHE`, else `~/.cache/torchdiscern`."""
    return Path(os.environ.get("TORCHDISCERN_CACHE") or "~/.cache/torchdiscern").expanduser()


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Bytes that can be had now; where the system does not tell, a guess that most machines meet."""
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    try:
        pages = os.sysconf("SC_AVPHYS_PAGES")
        return pages * os.sysconf("SC_PAGE_SIZE") if pages > 0 else UNKNOWN_MEMORY
    except (AttributeError, OSError, ValueError):
        return UNKNOWN_MEMORY
