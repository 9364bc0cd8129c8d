"""Wall time of a cold night and of the no-op night after it, by stage.

    python -m benchmarks.night            # in a fresh copy of the committed project

The copy is a clone in a temporary folder with nothing under var; packages are those of this environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Clone, set up, run two nights and print seconds."""
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
        env = {**os.environ, "PYTHONPATH": str(project)}
        setup = _timed([sys.executable, "-m", "flows.setup"], project, env)[0]
        cold, first = _timed([sys.executable, "-m", "switchtender", "nightly", "--json"], project, env)
        again, second = _timed([sys.executable, "-m", "switchtender", "nightly", "--json"], project, env)
        timings = json.loads((project / "var" / "runs" / first["run_key"] / "run.json").read_text())["timings"]
        _print(setup, cold, again, timings, bool(second["new"]))


def _timed(command: list[str], project: Path, env: dict[str, str]) -> tuple[float, Any]:
    started = time.monotonic()
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=True)
    return time.monotonic() - started, json.loads(done.stdout) if done.stdout.strip() else None


def _print(setup: float, cold: float, again: float, timings: list[Any], second_was_new: bool) -> None:
    print(f"{'set-up of dataset and store':<36}{setup:8.1f} s")
    for stage, seconds, how in timings:
        print(f"  {stage:<34}{seconds:8.1f} s  {how}")
    rest = cold - sum(seconds for _, seconds, _ in timings)
    print(f"  {'clone, Prefect, MLflow, report':<34}{rest:8.1f} s")
    print(f"{'cold night':<36}{cold:8.1f} s")
    print(f"{'second night':<36}{again:8.1f} s  {'ran again' if second_was_new else 'nothing new'}")
    print(f"{'ratio':<36}{cold / again:8.1f} x")


if __name__ == "__main__":
    main()
