"""The peers' own virtual environment: made once from peers.txt, and made anew when that file changes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from pipeline.runtime.tables import sha256_file

PINS = Path(__file__).with_name("peers.txt")
_MARK = ".made-from"


class NotInstalled(Exception):
    """The environment cannot be made; says why in one line."""


def peer_python(work: Path) -> Path:
    """The interpreter of the environment under `work`.

    Raises:
        NotInstalled: pip could not install it.
    """
    folder = work / "peers"
    python, made_from = folder / "bin" / "python", f"{sha256_file(PINS)} {sys.version}"
    mark = folder / _MARK
    if mark.is_file() and mark.read_text(encoding="utf-8") == made_from:
        return python
    print(f"making the peers' environment in {folder}: about 1.8 GB, once", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    _run([sys.executable, "-m", "venv", str(folder)])
    _run([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(PINS)])
    mark.write_text(made_from, encoding="utf-8")
    return python


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise NotInstalled(str(error)) from error
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line or "Error" in line]
        raise NotInstalled((lines or ["pip failed"])[-1].strip()[:200])
