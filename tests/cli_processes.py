"""The command line as a real process."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def run(*arguments: str, cwd: Path | None = None, code: str | None = None) -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "torchdiscern"]
    return subprocess.run(
        [sys.executable, *start, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300
    )


# several command lines in one process, since the imports take seconds; each result is an exit code, or the
# sentence that `sys.exit` would print, and what was printed
SEVERAL = """
import contextlib, io, json, os, sys
from torchdiscern.__main__ import main
os.environ["COLUMNS"] = "100"
found = []
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["torchdiscern", *arguments]
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()) as aside:
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    found.append([code, said.getvalue(), aside.getvalue()])
print(json.dumps(found))
"""


def several(cwd: Path, *lines: list[str]) -> list[tuple[Any, str]]:
    result = run(json.dumps(lines), code=SEVERAL, cwd=cwd)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert [aside for *_, aside in found if aside] == []
    return [(code, said) for code, said, _ in found]
