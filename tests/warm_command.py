"""Run `python -m MODULE` as a process of its own that need not load the libraries first.

A server process, started once, has imported the libraries and nothing of the project. Each command is forked from it:
own memory, folder, environment and output, and the project's code as it lies in the folder named by PYTHONPATH. What
starts a command from nothing (the time that its imports take, say) is tested with a process of its own.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

LIBRARIES = [
    "cryptography.hazmat.primitives.serialization", "dvc.repo", "filelock", "jinja2", "matplotlib.pyplot", "mlflow",
    "mlflow.pyfunc", "model_signing", "onnxruntime", "pandas", "pyarrow.parquet", "pydantic", "rich.console",
    "rich.table", "scipy.optimize", "sklearn.linear_model", "tokenizers", "torch", "tqdm", "typer", "yaml",
]  # fmt: skip
QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "1", "DVC_NO_ANALYTICS": "1", "MPLBACKEND": "agg"}


def run_warm(
    module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a module with arguments in a folder, to its end."""
    with tempfile.TemporaryDirectory() as place:
        out, err = Path(place, "out"), Path(place, "err")
        process = _server().Process(target=_run, args=(module, arguments, str(folder), dict(environment), out, err))
        process.start()
        process.join()
        texts = [path.read_text(encoding="utf-8") if path.exists() else "" for path in (out, err)]
        return subprocess.CompletedProcess([module, *arguments], process.exitcode or 0, *texts)


@cache
def _server() -> ForkServerContext:
    """The server with the libraries loaded; it ends with this process."""
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    before = dict(os.environ)
    os.environ.update(QUIET)
    forkserver.ensure_running()
    os.environ.clear()
    os.environ.update(before)
    return context


def _run(
    module: str, arguments: Sequence[str], folder: str, environment: Mapping[str, str], out: Path, err: Path
) -> None:
    """What the forked process does: become `python -m MODULE` in that folder and environment."""
    sys.stdout, sys.stderr = out.open("w", encoding="utf-8"), err.open("w", encoding="utf-8")
    os.dup2(sys.stdout.fileno(), 1)
    os.dup2(sys.stderr.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    tests = Path(__file__).parent
    sys.path[:] = [*environment["PYTHONPATH"].split(os.pathsep), *_libraries(tests)]
    sys.argv[1:] = arguments
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()


def _libraries(tests: Path) -> list[str]:
    """The places that Python looks in, without this checkout's."""
    return [place for place in sys.path if place and Path(place) not in (tests, tests.parent)]
