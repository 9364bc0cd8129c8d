"""`status`: which version serves, which challenges, and how the last night ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from pipeline.runtime.errors import none_in_service
from pipeline.versions.commands import command
from switchtender.options import Json, TrackOption
from switchtender.show import print_gates, print_json, print_table, say

if TYPE_CHECKING:
    from flows.status import LastNight, Status
    from flows.workspace.project import Project

app = typer.Typer()


@app.command(epilog="Example: switchtender status --json")
def status(as_json: Json = False, track: TrackOption = "") -> None:
    """Which version serves, which challenges, and how the last night ended."""
    from flows.status import status_of
    from flows.workspace.project import find_project
    from pipeline.runtime.plain import plain

    project = find_project(track=track)
    found = status_of(project)
    if as_json:
        print_json(plain(found))
        return
    _print_versions(found, project)
    _print_last_night(found.last_night, project.night_command)


def _print_versions(found: Status, project: Project) -> None:
    headline = found.headline
    rows = [[one.alias, one.version, one.figure, one.run_key] for one in found.versions]
    if not any(one.alias == "champion" for one in found.versions):
        none = none_in_service(project.night_command).message
        say(f"{none[0].upper()}{none[1:]}.")
    print_table(f"Versions of {found.model}", ["alias", "version", headline.replace("_f1", "-F1"), "run key"], rows)
    if found.alias_moved_to is not None:
        moved = found.alias_moved_to or "none"
        say(f"MLflow's alias champion was moved to version {moved} from outside; that does not serve.")
        adopt, verify = (command(asked, project.track) for asked in ("promote --adopt --reason ...", "verify"))
        say(f"'{adopt}' accepts it; see '{verify}'.")


def _print_last_night(last: LastNight | None, night: str) -> None:
    if last is None:
        say(f"No night has finished yet; run '{night}'.")
        return
    print_gates(f"Gates of {last.run_key}", last.gates)
    say(f"report  {last.report}")
