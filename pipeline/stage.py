"""How a stage is run from the command line: `python -m pipeline.<stage>` inside a project folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.errors import SwitchtenderError
from pipeline.tables import write_json

STAGES = Path("var/stages")
"""Each stage writes its outputs to STAGES/<stage>/; the names are in dvc.yaml."""

Summary = dict[str, int | float | str | None]


def run_stage(name: str, run: Callable[[], Summary]) -> None:
    """Run a stage, write its summary (a flat mapping of figures) and print it; end with its exit code.

    A user's error is one line on stderr and its documented exit code.
    """
    try:
        summary = run()
        write_json(summary, STAGES / name / "summary.json")
    except SwitchtenderError as error:
        print(f"{name}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    print(f"{name}: " + ", ".join(f"{key} {_short(value)}" for key, value in summary.items()))


def _short(value: int | float | str | None) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def shows_progress() -> bool:
    """Whether a progress bar is wanted: on a terminal, or where the caller passes ours through to one."""
    return sys.stderr.isatty() or os.environ.get("SWITCHTENDER_PROGRESS") == "always"
