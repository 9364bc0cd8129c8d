"""`nightly`: run a night of each track, or say what it would do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from switchtender.nights import run_nights
from switchtender.options import Json
from switchtender.show import print_json, say

if TYPE_CHECKING:
    from flows.workspace.project import Project

app = typer.Typer()


@app.command(epilog="Example: switchtender nightly --json")
def nightly(
    as_json: Json = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what a night would do, and do nothing.")] = False,
    track: Annotated[str, typer.Option("--track", metavar="agents|models", help="One track only.")] = "",
) -> None:
    """Retrain, gate and register each track of params.yaml: nightly.tracks, if anything is new.

    Exits 3 where a gate did not pass, 5 where another night is under way.
    """
    from flows.night.params import tracks
    from flows.workspace.project import find_project

    project = find_project(track=track)
    project.enter_environment()
    projects = (project,) if track else tracks(project)
    if dry_run:
        _print_plans(projects, as_json)
    else:
        run_nights(projects, as_json)


def _print_plans(projects: Sequence[Project], as_json: bool) -> None:
    from pipeline.runtime.plain import plain

    plans = [_plan(project) for project in projects]
    if as_json:
        print_json({"nights": plain(plans)})
        return
    for plan in plans:
        word = "retrain" if plan.would_run else "do nothing: nothing is new"
        say(f"A night would {word} ({plan.track}); last finished: {plan.last_finished}.")
        say(f"Uncommitted data it would take along: {', '.join(plan.uncommitted) or 'none'}.")


@dataclass(frozen=True)
class NightPlan:
    """Whether a night would run, and what on; `last_finished` is the run key of the night before it."""

    track: str
    would_run: bool
    last_finished: str | None
    uncommitted: list[str]
    identity: str


def _plan(project: Project) -> NightPlan:
    """Whether a night would run, and what it would run on."""
    from flows.night.nightly import nothing_new
    from flows.workspace import runs, snapshot
    from flows.workspace.identity import identify

    identity = identify(project)
    before = runs.latest_finished(project)
    return NightPlan(
        track=project.track.name,
        would_run=nothing_new(project, identity.digest) is None,
        last_finished=before.key if before else None,
        uncommitted=snapshot.uncommitted_data(project),
        identity=identity.digest,
    )
