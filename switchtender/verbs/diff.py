"""`diff`: what differs between two versions; it writes nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from pipeline.runtime.text import to_digits
from switchtender.options import Json, TrackOption, VersionArgument
from switchtender.show import SHORT_SHA256, print_json, print_table, say, short

if TYPE_CHECKING:
    from pipeline.versions.diff import VersionDiff

MOST_FLIPS, MOST_ROWS = 20, 20

app = typer.Typer()


@app.command(epilog="Example: switchtender diff 1 2")
def diff(older: VersionArgument, newer: VersionArgument, as_json: Json = False, track: TrackOption = "") -> None:
    """What differs between two versions: rows, params, code, metrics, and the prompts that they route differently."""
    from flows.audit import diff as comparing
    from flows.workspace.project import find_project

    found = comparing.diff(find_project(track=track), older, newer)
    if as_json:
        print_json(found.to_json())
        return
    if found.older.version == found.newer.version:
        say(f"Both are version {found.older.version}: nothing differs.")
        return
    before, after = (f"version {one.version} ({one.commit[:SHORT_SHA256]})" for one in (found.older, found.newer))
    say(f"From {before} to {after}")
    _print_row_diff(found)
    _print_changes(found)
    _print_holdout_diff(found)


def _print_row_diff(found: VersionDiff) -> None:
    rows = found.rows
    counts = {name: len(getattr(rows, name)) for name in ("added", "removed", "reworded", "relabelled")}
    say("rows: " + ", ".join(f"{count} {name}" for name, count in counts.items()))
    came = [["added", r.prompt_id, "", _cell(r.agents), r.fate] for r in rows.added]
    went = [["removed", r.prompt_id, _cell(r.agents), "", ""] for r in rows.removed]
    other = [
        [name, change.prompt_id, _cell(change.before), _cell(change.after), change.why or "in the data"]
        for name, changes in (("reworded", rows.reworded), ("relabelled", rows.relabelled), ("moved", rows.moved))
        for change in changes
    ]
    _print_some("Rows", ["", "row", "before", "after", "fate or why"], [*came, *went, *other], MOST_ROWS)
    if rows.fates:
        print_table("Other fates", ["fate", "rows"], [[name, count] for name, count in rows.transitions.items()])
    if found.outcomes:
        say("outcomes: " + ", ".join(f"{count} {name}" for name, count in asdict(found.outcomes).items()))
    say(f"augmented rows: {rows.augmented_added} came, {rows.augmented_removed} went")


def _print_changes(found: VersionDiff) -> None:
    for title, changes in (("Params", found.params), ("Environment", found.environment), ("Files", found.files)):
        if changes:
            cells = [[c.name, short(_none(c.before)), short(_none(c.after))] for c in changes]
            print_table(title, ["name", "before", "after"], cells)
        else:
            say(f"{title.lower()}: no difference")
    if found.code:
        rows: list[list[object]] = [[change.path, change.lines_added, change.lines_removed] for change in found.code]
        print_table("Code", ["file", "lines added", "removed"], rows)
    else:
        say("code: no difference")


def _none(value: object) -> object:
    return "-" if value is None else value


def _print_holdout_diff(found: VersionDiff) -> None:
    holdout = found.holdout
    rows = [
        [m.metric, m.prompts, m.before, m.after, *(_signed(figure) for figure in vars(m.difference).values())]
        for m in holdout.metrics
    ]
    title = f"On {holdout.common} holdout prompts of both (95 % intervals)"
    print_table(title, ["metric", "prompts", "before", "after", "difference", "low", "high"], rows)
    flips = [[f.prompt_id, *(", ".join(names) for names in (f.truth, f.dropped, f.gained)), f.outcome]
             for f in holdout.flips]  # fmt: skip
    title = f"{len(flips)} holdout prompts are routed differently, {holdout.better} better and {holdout.worse} worse"
    _print_some(title, ["row", "label", "no longer chosen", "now chosen", "is"], flips, MOST_FLIPS)


def _signed(value: float) -> str:
    return f"{'-' if value < 0 else '+'}{to_digits(abs(value))}"


def _cell(value: str) -> str:
    return short(value).replace("|", ", ")


def _print_some(title: str, columns: list[str], rows: list[list[Any]], most: int) -> None:
    if rows:
        print_table(title, columns, rows[:most])
    else:
        say(f"{title}: none")
    if len(rows) > most:
        say(f"  ... and {len(rows) - most} more; --json lists all")
