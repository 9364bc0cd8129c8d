"""Nights without the schedule's process: a systemd unit and timer, or a line of a crontab, that start `nightly`."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from flows.schedule.calendar import Calendar
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, SwitchtenderError, one_line
from pipeline.runtime.tables import write_text

UNIT = "switchtender-night"
_UNITS = Path.home() / ".config" / "systemd" / "user"
_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY = range(5)
_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_FIRST = {_MINUTE: "0", _HOUR: "0", _DAY: "1", _MONTH: "1"}
_PART = re.compile(r"(\*|\d+(?:-\d+)?)(?:/(\d+))?")


@dataclass(frozen=True)
class Installation:
    """Files to write, or a line for the crontab; `then` is what to type afterwards."""

    files: dict[Path, str]
    crontab: str
    then: tuple[str, ...]


def planned(project: Project, calendar: Calendar, *, elsewhere: bool = False) -> Installation:
    """What this machine takes: systemd's units for this user where systemd runs, else a crontab's line.

    `elsewhere` gives both where it takes neither: they are to be looked at, and used on another machine.

    Raises:
        InputError: the machine has neither, or the cron line cannot be told to it.
    """
    crontab = Installation({}, crontab_line(project, calendar), ())
    if shutil.which("systemctl") and Path("/run/systemd/system").is_dir():
        return systemd_units(project, calendar, _UNITS)
    if shutil.which("crontab"):
        return crontab
    if elsewhere:
        return replace(systemd_units(project, calendar, _UNITS), crontab=crontab.crontab)
    raise InputError(
        "this machine has neither systemd nor crontab; let whatever starts its services run 'switchtender schedule'"
    )


def systemd_units(project: Project, calendar: Calendar, folder: Path) -> Installation:
    """A unit that runs a night and a timer for it; a night missed while the machine was off is run once.

    Raises:
        InputError: systemd cannot say the cron line.
    """
    service = (
        f"[Unit]\nDescription=Switchtender: a night of {project.root.name}\n\n"
        f"[Service]\nType=oneshot\nWorkingDirectory={_systemd_path(project.root)}\n"
        f"ExecStart={_systemd_quoted(sys.executable)} -m switchtender nightly\n"
        "# 3 is a closed gate, which the report tells; it is no failure of the unit.\nSuccessExitStatus=3\n"
    )
    timer = (
        f"[Unit]\nDescription=Switchtender: when a night of {project.root.name} begins\n\n"
        f"[Timer]\nOnCalendar={on_calendar(calendar)}\nPersistent=true\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )
    files = {folder / f"{UNIT}.service": service, folder / f"{UNIT}.timer": timer}
    return Installation(
        files,
        "",
        ("systemctl --user daemon-reload", f"systemctl --user enable --now {UNIT}.timer", "loginctl enable-linger"),
    )


def crontab_line(project: Project, calendar: Calendar) -> str:
    """A line for crontab; cron reads a bare % as the end of the line."""
    command = f"cd {shlex.quote(str(project.root))} && {shlex.quote(sys.executable)} -m switchtender nightly"
    log = shlex.quote(str(project.var / "nightly.log"))
    return f"CRON_TZ={calendar.timezone}\n{calendar.cron} {command} >> {log} 2>&1".replace("%", "\\%")


def install(plan: Installation) -> list[str]:
    """Write what was planned; returns where. What is there already is not written twice.

    Raises:
        SwitchtenderError: the crontab could not be read or written.
        TableError: a file could not be written.
    """
    for path, text in plan.files.items():
        write_text(text, path)
    if not plan.crontab:
        return [str(path) for path in plan.files]
    before = subprocess.run(["crontab", "-l"], capture_output=True, text=True, check=False).stdout
    if plan.crontab not in before:
        lines = f"{before.rstrip()}\n{plan.crontab}\n".lstrip()
        done = subprocess.run(["crontab", "-"], input=lines, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SwitchtenderError(f"crontab took no line: {one_line(done.stderr)}; nothing was changed")
    return ["your crontab"]


def on_calendar(calendar: Calendar) -> str:
    """A cron line as systemd's OnCalendar, in the calendar's zone.

    Raises:
        InputError: it names days of the month and of the week both, either of which cron takes and systemd does not.
    """
    fields = calendar.cron.split()
    if len(fields) != 5 or (fields[_DAY] != "*" and fields[_WEEKDAY] != "*"):
        raise InputError(f"systemd cannot say '{calendar.cron}'; use 'switchtender schedule', which can")
    minute, hour, day, month = (_field(calendar, fields[place], place) for place in (_MINUTE, _HOUR, _DAY, _MONTH))
    weekdays = "" if fields[_WEEKDAY] == "*" else f"{','.join(_weekdays(calendar, fields[_WEEKDAY]))} "
    return f"{weekdays}*-{month}-{day} {hour}:{minute}:00 {calendar.timezone}"


def _field(calendar: Calendar, text: str, place: int) -> str:
    """A list of numbers, ranges and steps; systemd writes a range with two dots, and a step from its first number."""
    parts = []
    for part in text.split(","):
        span, step = _parsed(calendar, part)
        span = span.replace("-", "..")
        if step:
            span = f"{_FIRST[place] if span == '*' else span}/{step}"
        parts.append(span)
    return ",".join(parts)


def _weekdays(calendar: Calendar, text: str) -> list[str]:
    found = []
    for part in text.split(","):
        span, step = _parsed(calendar, part)
        first, _, last = ("0-6" if span == "*" else span).partition("-")
        found += [_WEEKDAYS[day] for day in range(int(first), int(last or first) + 1, int(step or 1))]
    return list(dict.fromkeys(found))


def _parsed(calendar: Calendar, part: str) -> tuple[str, str]:
    found = _PART.fullmatch(part)
    if found is None:
        raise InputError(f"systemd cannot say '{part}' of '{calendar.cron}'; write numbers, ranges and steps")
    return found.group(1), found.group(2) or ""


def _systemd_path(path: Path) -> str:
    return str(path).replace("%", "%%")


def _systemd_quoted(text: str) -> str:
    return f'"{_systemd_path(Path(text))}"'
