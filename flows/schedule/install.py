"""Nights without the schedule's process: a systemd unit and timer, or a line of a crontab, that start `nightly`."""

from __future__ import annotations

import hashlib
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
from pipeline.runtime.text import is_unicode

_UNITS = Path.home() / ".config" / "systemd" / "user"
_MINUTE, _HOUR, _DAY, _MONTH, _WEEKDAY = range(5)
_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_FIRST = {_MINUTE: "0", _HOUR: "0", _DAY: "1", _MONTH: "1"}
_PART = re.compile(r"(\*|[0-9]+(?:-[0-9]+)?)(?:/([0-9]+))?")
_CRONTAB_PART = re.compile(r"(\*|(?:[0-9]+|[a-zA-Z]{3})(?:-(?:[0-9]+|[a-zA-Z]{3}))?)(?:/[0-9]+)?")


@dataclass(frozen=True)
class Installation:
    """Files to write, or a block of lines for the crontab; `then` is what to type afterwards, `undo` what ends it."""

    files: dict[Path, str]
    crontab: str
    then: tuple[str, ...]
    undo: tuple[str, ...]


def planned(project: Project, calendar: Calendar, *, elsewhere: bool = False) -> Installation:
    """What this machine takes: systemd's units for this user where systemd runs, else a crontab's line.

    `elsewhere` gives both where it takes neither: they are to be looked at, and used on another machine.

    Raises:
        InputError: the machine has neither, or the cron line cannot be told to it.
    """
    if shutil.which("systemctl") and Path("/run/systemd/system").is_dir():
        return systemd_units(project, calendar, _UNITS)
    if shutil.which("crontab"):
        return crontab_block(project, calendar)
    if elsewhere:
        units = systemd_units(project, calendar, _UNITS)
        return replace(units, crontab=crontab_block(project, calendar).crontab)
    raise InputError(
        "this machine has neither systemd nor crontab; let whatever starts its services run 'switchtender schedule'"
    )


def systemd_units(project: Project, calendar: Calendar, folder: Path) -> Installation:
    """A unit that runs a night and a timer for it, named by the project's folder: each project has its own.

    A night missed while the machine was off is run once.

    Raises:
        InputError: systemd cannot say the cron line, or the project's path.
    """
    root = _of_one_line(project.root)
    digest = hashlib.sha256(root.encode("utf-8", "surrogateescape")).hexdigest()
    unit = f"switchtender-night-{re.sub('[^A-Za-z0-9]+', '-', project.root.name).strip('-')[:40]}-{digest[:8]}"
    name = _without_specifiers(project.root.name)
    service = (
        f"[Unit]\nDescription=Switchtender: a night of {name}\n\n"
        f"[Service]\nType=oneshot\nWorkingDirectory={_without_specifiers(root)}\n"
        f"ExecStart={_systemd_quoted(sys.executable)} -m switchtender nightly\n"
        "# 3 is a closed gate, which the report tells; it is no failure of the unit.\nSuccessExitStatus=3\n"
    )
    timer = (
        f"[Unit]\nDescription=Switchtender: when a night of {name} begins\n\n"
        f"[Timer]\nOnCalendar={on_calendar(calendar)}\nPersistent=true\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )
    places = folder / f"{unit}.service", folder / f"{unit}.timer"
    return Installation(
        dict(zip(places, (service, timer), strict=True)),
        "",
        ("systemctl --user daemon-reload", f"systemctl --user enable --now {unit}.timer", "loginctl enable-linger"),
        (f"systemctl --user disable --now {unit}.timer", f"rm {shlex.join(map(str, places))}"),
    )


def crontab_block(project: Project, calendar: Calendar) -> Installation:
    """Lines for a crontab between two that name the project; cron reads a bare % as the end of the command.

    Raises:
        InputError: cron cannot say the line, or the project's path.
    """
    fields = calendar.cron.split()
    if len(fields) != 5 or not all(_CRONTAB_PART.fullmatch(part) for field in fields for part in field.split(",")):
        raise InputError(f"cron cannot say '{calendar.cron}'; use 'switchtender schedule', which can")
    root = _of_one_line(project.root)
    command = f"cd {shlex.quote(root)} && {shlex.quote(sys.executable)} -m switchtender nightly"
    line = f"{command} >> {shlex.quote(str(project.var / 'nightly.log'))} 2>&1".replace("%", "\\%")
    first, last = _marks(root)
    text = f"{first}\nCRON_TZ={calendar.timezone}\n{calendar.cron} {line}\n{last}"
    return Installation({}, text, (), (f"crontab -e, and delete the lines from '{first}' to '{last}'",))


def _marks(root: str) -> tuple[str, str]:
    return f"# switchtender: nights of {root}", f"# switchtender: end of nights of {root}"


def _of_one_line(root: Path) -> str:
    if re.search(r"[\x00-\x1f\x7f]", str(root)) or not is_unicode(str(root)):
        raise InputError(f"{str(root)!a} has a line end or a control character in it; move the project elsewhere")
    return str(root)


def install(plan: Installation) -> list[str]:
    """Write what was planned in place of what was there for this project; returns where.

    Raises:
        SwitchtenderError: the crontab could not be read or written.
        TableError: a file could not be written.
    """
    for path, text in plan.files.items():
        write_text(text, path)
    if not plan.crontab:
        return [str(path) for path in plan.files]
    first, *_, last = plan.crontab.splitlines()
    ours = re.compile(f"^{re.escape(first)}\n.*?^{re.escape(last)}\n?", re.DOTALL | re.MULTILINE)
    others = ours.sub("", _crontab("-l"))
    # At the end, since CRON_TZ holds for every line below it.
    _crontab("-", f"{others.rstrip()}\n{plan.crontab}\n".lstrip())
    return ["your crontab"]


def _crontab(argument: str, lines: str = "") -> str:
    done = subprocess.run(
        ["crontab", argument], input=lines.encode("utf-8", "surrogateescape"), capture_output=True, check=False
    )
    said = done.stderr.decode("utf-8", "replace")
    # Having none is an answer; anything else that fails must not pass for it, or every line would be lost.
    if done.returncode != 0 and not (argument == "-l" and "no crontab" in said.lower()):
        raise SwitchtenderError(f"crontab {argument} failed: {one_line(said)}; nothing was changed")
    return done.stdout.decode("utf-8", "surrogateescape")


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
        end = int(last or (6 if step else first))  # `3/2` is every second day from the third on
        found += [_WEEKDAYS[day] for day in range(int(first), end + 1, int(step or 1))]
    return list(dict.fromkeys(found))


def _parsed(calendar: Calendar, part: str) -> tuple[str, str]:
    found = _PART.fullmatch(part)
    first, _, last = found.group(1).partition("-") if found else ("", "", "")
    if found is None or (last and int(first) > int(last)):
        raise InputError(f"systemd cannot say '{part}' of '{calendar.cron}'; write numbers, rising ranges and steps")
    return found.group(1), found.group(2) or ""


def _without_specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _systemd_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_without_specifiers(escaped)}"'
