"""`witness`: the signed head of the logs, for somebody who keeps it elsewhere."""

from __future__ import annotations

from typing import Annotated

import typer

from switchtender.options import Json
from switchtender.show import print_json, say, say_aside

app = typer.Typer()


@app.command(epilog="Example: switchtender witness --to /media/auditor/switchtender.jsonl")
def witness(
    to: Annotated[
        list[str] | None,
        typer.Option(help="Also write it to: a file, git:REMOTE, or a URL such as s3://bucket/prefix; repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the signed head of all logs: one line by which 'verify --witness' finds a later cut or rewriting."""
    from flows.records.witness import keep, witness_params
    from flows.records.witness import witness as signed_head
    from flows.workspace.project import find_project

    project = find_project()
    found = signed_head(project, witness_params(project))
    for place in to or ():
        keep(project, found, place)
        say_aside(f"written to {place}")
    if as_json:
        print_json({"head": found.head.to_line(), "timestamp": found.timestamp or None, "written": to or []})
    else:
        say(found.to_line())
