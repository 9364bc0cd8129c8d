"""`promote` and `rollback`."""

from __future__ import annotations

from dataclasses import asdict

from flows.promotion.promotion import Move, adopt, promote, rollback
from flows.workspace.project import find_project
from pipeline.runtime.errors import InputError
from switchtender.show import print_json, print_table, say


def print_promotion(
    version: str, reason: str, force: bool, adopting: bool, dry_run: bool, as_json: bool, track: str = ""
) -> None:
    """Promote, and show the gates as they were read today."""
    if bool(version) == adopting:
        raise InputError("name one version to promote, or say --adopt without one; see 'switchtender promote --help'")
    project = find_project(track=track)
    if adopting:
        _print(adopt(project, reason, dry_run=dry_run), "adopted", dry_run, as_json)
    else:
        _print(promote(project, version, reason, force=force, dry_run=dry_run), "promoted", dry_run, as_json)


def print_rollback(reason: str, force: bool, dry_run: bool, as_json: bool, track: str = "") -> None:
    """Roll back, and say to which version."""
    _print(
        rollback(find_project(track=track), reason, force=force, dry_run=dry_run), "rolled back to", dry_run, as_json
    )


def _print(move: Move, done: str, dry_run: bool, as_json: bool) -> None:
    if as_json:
        gates = [asdict(gate) for gate in move.gates]
        print_json({"from": move.version_from or None, "to": move.version_to, "dry_run": dry_run, "gates": gates})
        return
    if move.gates:
        rows = [[g.gate, g.value, g.limit, g.verdict, g.reason] for g in move.gates]
        print_table(f"Gates of version {move.version_to}", ["gate", "value", "limit", "verdict", "reason"], rows)
    word = f"would be {done}" if dry_run else done
    say(f"{word} version {move.version_to} (before: {f'version {move.version_from}' if move.version_from else 'none'})")
