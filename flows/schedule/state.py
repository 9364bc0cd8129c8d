"""Which dates the schedule keeps, and since when, in `var/schedule.json`."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from flows.night.params import nightly_params
from flows.schedule.calendar import Calendar, stored
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import write_json
from pipeline.runtime.text import parse_json

TAG = "switchtender"
"""Of every deployment."""
FOLDER = "folder:"
"""How the tag of one project's deployments begins."""


@dataclass(frozen=True)
class ScheduleState:
    """`since` is when these dates began to hold: earlier ones were never meant."""

    cron: str
    timezone: str
    since: str

    @property
    def calendar(self) -> Calendar:
        return Calendar(self.cron, self.timezone)


def schedule_state(project: Project) -> ScheduleState | None:
    """What the file says; None where no schedule has run, or the file does not say what a schedule writes."""
    try:
        found = ScheduleState(**parse_json(_path(project).read_text(encoding="utf-8")))
        ZoneInfo(found.timezone)
        since = datetime.fromisoformat(found.since)
        found.calendar.dates(since, since)
        return found if since.tzinfo else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, InputError):
        return None


def calendar_of(project: Project) -> Calendar:
    """The dates that hold: of the schedule that runs or ran last, else of params.yaml.

    Raises:
        ParamsError: params.yaml cannot be read.
    """
    state = schedule_state(project)
    if state is not None:
        return state.calendar
    params = nightly_params(project)
    return Calendar(params.cron, params.timezone)


def begin(project: Project, calendar: Calendar, now: datetime) -> None:
    """Note that these dates hold; where they are those of before, they hold since then.

    A beginning that lies ahead was noted by a clock that was wrong: no date would be missed until then.
    """
    before = schedule_state(project)
    if before is None or before.calendar != calendar or datetime.fromisoformat(before.since) > now:
        write_json(asdict(ScheduleState(calendar.cron, calendar.timezone, stored(now))), _path(project))


def own_mark(project: Project) -> str:
    """The tag of a project's own deployments, by which a server tells them from those of other folders and hosts."""
    return f"{FOLDER}{platform.node()}:{project.root.resolve()}"


def _path(project: Project) -> Path:
    return project.var / "schedule.json"
