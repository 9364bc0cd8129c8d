"""`schedule`: start nights by themselves, from this process or from the machine's own timer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.runtime.errors import InputError, one_line
from switchtender.options import Json
from switchtender.show import print_json, say

if TYPE_CHECKING:
    from flows.schedule.calendar import Calendar
    from flows.workspace.project import Project

app = typer.Typer()
PORT = 4200


@app.command(epilog="Example: switchtender schedule --cron '30 2 * * *' --ui")
def schedule(
    cron: Annotated[str, typer.Option("--cron", help="Minute, hour, day, month, weekday; else params.yaml.")] = "",
    timezone: Annotated[str, typer.Option("--timezone", help="Of --cron, such as Europe/Berlin.")] = "",
    ui: Annotated[bool, typer.Option("--ui", help="Serve Prefect's page, with forms to start flows.")] = False,
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Of Prefect's server, on loopback.")] = PORT,
    install: Annotated[
        bool, typer.Option("--install", help="Write a systemd timer or a crontab line instead.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the next nights, or what --install writes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start a night at each date of params.yaml: nightly.cron, until it is ended. A missed night is caught up once."""
    from flows.night.params import tracks
    from flows.workspace.project import find_project

    project = find_project()
    project.enter_environment()
    calendar = _calendar(project, cron, timezone)
    if install:
        _install(project, calendar, dry_run, as_json)
    elif dry_run:
        _print_next(calendar, as_json)
    else:
        from flows.schedule.process import ScheduleOptions, run_schedule

        run_schedule(project, tracks(project), ScheduleOptions(calendar, port, ui), say)


def _calendar(project: Project, cron: str, timezone: str) -> Calendar:
    """The dates wanted. Raises InputError where they are none."""
    from flows.night.params import known_zone, nightly_params
    from flows.schedule.calendar import Calendar
    from flows.schedule.scheduled import now_utc

    params = nightly_params(project)
    try:
        calendar = Calendar(cron or params.cron, known_zone(timezone or params.timezone))
    except ValueError as error:
        raise InputError(one_line(error)) from error
    calendar.after(now_utc())
    return calendar


def _print_next(calendar: Calendar, as_json: bool) -> None:
    from flows.schedule.calendar import stored
    from flows.schedule.scheduled import now_utc

    dates = [calendar.after(now_utc())]
    while len(dates) < 5:
        dates.append(calendar.after(dates[-1]))
    if as_json:
        print_json({"cron": calendar.cron, "timezone": calendar.timezone, "next": [stored(date) for date in dates]})
        return
    say(f"Nights by '{calendar.cron}', {calendar.timezone}:")
    for date in dates:
        say(f"  {calendar.local(date)}")


def _install(project: Project, calendar: Calendar, dry_run: bool, as_json: bool) -> None:
    from flows.schedule.install import install, planned

    plan = planned(project, calendar, elsewhere=dry_run)
    written = [] if dry_run else install(plan)
    if as_json:
        files = {str(path): text for path, text in plan.files.items()}
        print_json({"written": written, "files": files, "crontab": plan.crontab, "then": plan.then, "undo": plan.undo})
        return
    for path, text in plan.files.items() if dry_run else ():
        say(f"# {path}\n{text}")
    if dry_run and plan.crontab:
        say(f"# crontab\n{plan.crontab}")
    for place in written:
        say(f"written: {place}")
    for title, commands in (("Then, once:", plan.then), ("To end it:", plan.undo)):
        for line in (title, *(f"  {command}" for command in commands)) if commands else ():
            say(line)
