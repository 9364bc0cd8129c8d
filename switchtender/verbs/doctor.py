"""`doctor`: whether a night has what it needs; mending what a copy, a move or a kill left behind."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.runtime.errors import SwitchtenderError, listed
from switchtender.options import Json
from switchtender.show import print_json, print_table, say

if TYPE_CHECKING:
    from flows.workspace.project import Project

app = typer.Typer()


@app.command(epilog="Example: switchtender doctor")
def doctor(
    relocating: Annotated[
        bool, typer.Option("--relocate", help="Mend what a copy or a move of the project left behind.")
    ] = False,
    mending: Annotated[
        bool, typer.Option("--mend", help="Put right what the signed logs can tell: logs, aliases, index, run records.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check what a night needs, and say how to mend what is missing."""
    from flows.workspace.project import find_project

    project = find_project()
    if relocating:
        _relocate(project, as_json)
    elif mending:
        _mend(project, as_json)
    else:
        _check(project, as_json)


def _check(project: Project, as_json: bool) -> None:
    from flows.doctor import checks

    found = checks(project)
    if as_json:
        print_json([asdict(check) for check in found])
    else:
        print_table("doctor", ["check", "state", "found", "mend"], [[c.check, c.state, c.found, c.mend] for c in found])
    missing = [check.check for check in found if check.state != "ok"]
    if missing:
        raise SwitchtenderError(f"not ready: {', '.join(missing)}")


def _mend(project: Project, as_json: bool) -> None:
    from flows.mend import mend

    done = mend(project)
    if as_json:
        print_json({"mended": done})
    else:
        say("\n".join(done) or "nothing to mend")


def _relocate(project: Project, as_json: bool) -> None:
    from flows.relocate import relocate

    done = relocate(project)
    if as_json:
        print_json(asdict(done))
    else:
        say(f"{done.rows} addresses in MLflow's tables rewritten, {len(done.restored)} refs found again")
    if done.missing:
        raise SwitchtenderError(
            f"{len(done.missing)} refs were found nowhere ({listed(done.missing)}); fetch them from the checkout "
            "that var came from: git fetch PATH 'refs/switchtender/*:refs/switchtender/*'"
        )
