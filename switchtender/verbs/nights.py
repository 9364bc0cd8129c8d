"""`nights`: every night of both tracks, how it ended, and what to do next."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.runtime.text import clock
from switchtender.options import Json
from switchtender.show import print_json, print_table, say

if TYPE_CHECKING:
    from pipeline.reports.night_history import NightHistory, NightRow

app = typer.Typer()


@app.command(epilog="Example: switchtender nights --track models --most 100")
def nights(
    as_json: Json = False,
    track: Annotated[str, typer.Option("--track", metavar="agents|models", help="Of one track only.")] = "",
    most: Annotated[int, typer.Option("--most", min=1, help="How many, the latest first.")] = 30,
    textfile: Annotated[
        Path | None, typer.Option("--textfile", help="Write metrics for node_exporter there instead, whole.")
    ] = None,
) -> None:
    """Every night of both tracks, the latest first: how it ended and why, what it measured, and what to do next."""
    from flows.night.history import history
    from flows.workspace.project import find_project
    from pipeline.runtime.plain import plain

    project = find_project(track=track)  # an unknown track is an error here
    if textfile is not None:
        from flows.night.monitoring import write_textfile

        write_textfile(project, textfile)
        return
    found = history(project, most, track)
    if as_json:
        print_json(plain(found))
    else:
        _print(found)


def _print(found: NightHistory) -> None:
    if found.nights:
        columns = ["started (UTC)", "track", "figure", "95 %", "how it went"]
        rows = [[clock(one.started), one.track, *_figure(one), _told(one)] for one in found.nights]
        print_table("Nights", columns, rows)
    else:
        say("No night yet; 'switchtender nightly' runs one, 'switchtender schedule' one each night.")
    for one in found.nights:
        if one.advice and not one.advice.startswith("nothing"):
            say(f"{clock(one.started)} {one.track}: {one.advice}.")
    if found.older:
        say(f"{found.older} older; --most {len(found.nights) + found.older} shows them all.")
    if found.note:
        say(f"When versions went into service cannot be said: {found.note}.")


def _figure(night: NightRow) -> tuple[float | None, str]:
    """Micro-F1 of agents, quality of models, and its interval."""
    figure = night.figure
    return (figure.value, f"{figure.low:.3f}-{figure.high:.3f}") if figure else (None, "-")


def _told(night: NightRow) -> str:
    """Its state and why, what it took, read and doubted, how far one is that is under way."""
    from pipeline.reports.night_report import duration

    at = f"{night.stage}{'' if night.percent is None else f' {night.percent:.0f} %'}" if night.stage else ""
    rows = night.rows
    facts = (
        f"version {night.version}" if night.version and not night.reason else night.reason,
        f"stage {at}" if at else "",
        duration(night.seconds) if night.stages else "",
        "" if rows.read is None else f"{rows.kept} of {rows.read} rows",
        "" if rows.suspects is None else f"{rows.suspects} suspects",
        f"in service {clock(night.promoted)}" if night.promoted else "",
        night.note,
    )
    told = ", ".join(filter(None, facts))
    return told if told.startswith(night.state) else ": ".join(filter(None, (night.state, told)))
