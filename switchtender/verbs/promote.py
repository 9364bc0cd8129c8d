"""`promote` and `rollback`: which version serves."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.runtime.errors import InputError
from switchtender.options import DryRun, Json, Reason, TrackOption
from switchtender.show import print_gates, print_json, say

if TYPE_CHECKING:
    from flows.promotion.judging import Move

app = typer.Typer()


@app.command(epilog='Example: switchtender promote 2 --reason "better on rare agents, checked by hand"')
def promote(
    version: Annotated[str, typer.Argument(help="The version's number; left out with --adopt.")] = "",
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Even though a gate is closed; recorded as forced.")] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Accept the alias champion as somebody moved it in MLflow.")
    ] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    track: TrackOption = "",
) -> None:
    """Put a version into service: bytes proved, gates read again, compared with the champion of today."""
    from flows.promotion import promotion
    from flows.workspace.project import find_project

    if bool(version) == adopt:
        raise InputError("name one version to promote, or say --adopt without one; see 'switchtender promote --help'")
    project = find_project(track=track)
    if adopt:
        _print(promotion.adopt(project, reason, force=force, dry_run=dry_run), "adopted", dry_run, as_json)
    else:
        move = promotion.promote(project, version, reason, force=force, dry_run=dry_run)
        _print(move, "promoted", dry_run, as_json)


@app.command(epilog='Example: switchtender rollback --reason "complaints about translations"')
def rollback(
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Although it learnt from rows forgotten since.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
    track: TrackOption = "",
) -> None:
    """Put the version before the present one into service again."""
    from flows.promotion import promotion
    from flows.workspace.project import find_project

    move = promotion.rollback(find_project(track=track), reason, force=force, dry_run=dry_run)
    _print(move, "rolled back to", dry_run, as_json)


def _print(move: Move, done: str, dry_run: bool, as_json: bool) -> None:
    """The gates as they were read today, and what was, or would be, `done`."""
    if as_json:
        gates = [asdict(gate) for gate in move.gates]
        print_json(
            {
                "from": move.version_from or None,
                "to": move.version_to,
                "dry_run": dry_run,
                "gates": gates,
                "uncommitted_at_night": list(move.night_params),
                "uncommitted": list(move.params),
            }
        )
        return
    if move.gates:
        print_gates(f"Gates of version {move.version_to}", move.gates)
    for when, changed in (("its night ran", move.night_params), ("it is judged", move.params)):
        for setting in changed:
            say(f"no commit has this: {when} with {setting}")
    word = f"would be {done}" if dry_run else done
    say(f"{word} version {move.version_to} (before: {f'version {move.version_from}' if move.version_from else 'none'})")
