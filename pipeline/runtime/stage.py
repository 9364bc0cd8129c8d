"""How a stage is run from the command line: `python -m pipeline.stages.<stage> [track]` inside a project folder."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from pipeline.runtime.errors import SwitchtenderError, refused_by_the_system
from pipeline.runtime.tables import write_json
from pipeline.runtime.terminal import for_terminal
from pipeline.runtime.track import AGENTS, Track, track_named

STAGES = AGENTS.stages
"""Where the stages that only agents have write, each to STAGES/<stage>/; the names are in dvc.yaml."""

ORDER = (
    "validate", "split", "label_noise", "augment", "train", "suspects",
    "join", "optimize", "evaluate", "gate", "lineage",
)  # fmt: skip
"""The stages of a night in the order of dvc.yaml; each track has some of them."""

Summary = dict[str, int | float | str | None]


def run_stage(name: str, run: Callable[[], Summary]) -> None:
    """Run a stage that only one track has; see `run_stage_of`."""
    run_stage_of(AGENTS, name, lambda _: run())


def run_stage_on_track(name: str, run: Callable[[Track], Summary]) -> None:
    """Run a stage on the track that the command line names, by default the agents'; see `run_stage_of`."""
    try:
        track = track_named(sys.argv[1]) if len(sys.argv) > 1 else AGENTS
    except SwitchtenderError as error:
        print(for_terminal(f"{name}: {error}"), file=sys.stderr)
        sys.exit(error.exit_code)
    run_stage_of(track, name, run)


def run_stage_of(track: Track, name: str, run: Callable[[Track], Summary]) -> None:
    """Run a stage, write its summary (a flat mapping of figures) and print it; end with its exit code.

    A user's error is one line on stderr and its documented exit code.
    """
    try:
        summary = run(track)
        write_json(summary, track.stages / name / "summary.json")
    except (SwitchtenderError, OSError) as error:
        told = refused_by_the_system(error) if isinstance(error, OSError) else error
        print(for_terminal(f"{track.prefix}{name}: {told}"), file=sys.stderr)
        sys.exit(told.exit_code)
    facts = ", ".join(f"{key} {_short(value)}" for key, value in summary.items())
    print(for_terminal(f"{track.prefix}{name}: {facts}"))


def _short(value: int | float | str | None) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def shows_progress() -> bool:
    """Whether a progress bar is wanted: on a terminal, or where the caller passes ours through to one."""
    return sys.stderr.isatty() or os.environ.get("SWITCHTENDER_PROGRESS") == "always"
