"""`doctor`: whether a night has what it needs."""

from __future__ import annotations

from dataclasses import asdict

import typer

from pipeline.runtime.errors import SwitchtenderError
from switchtender.options import Json
from switchtender.show import print_json, print_table

app = typer.Typer()


@app.command(epilog="Example: switchtender doctor")
def doctor(as_json: Json = False) -> None:
    """Check what a night needs, and say how to mend what is missing."""
    from flows.doctor import checks
    from flows.workspace.project import find_project

    found = checks(find_project())
    if as_json:
        print_json([asdict(check) for check in found])
    else:
        print_table("doctor", ["check", "state", "found", "mend"], [[c.check, c.state, c.found, c.mend] for c in found])
    missing = [check.check for check in found if check.state != "ok"]
    if missing:
        raise SwitchtenderError(f"not ready: {', '.join(missing)}")
