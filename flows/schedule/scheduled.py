"""A night for a scheduled date: once, whoever starts it, and only the latest of those that were missed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

from flows.night.monitoring import tell_outside
from flows.night.nightly import night
from flows.schedule.calendar import Calendar, stored
from flows.schedule.state import schedule_state
from flows.workspace.lock import held
from flows.workspace.night_log import (
    CUT_SHORT,
    FAILED,
    GATE_CLOSED,
    NOTHING_NEW,
    PASSED_OVER,
    REGISTERED,
    CutShort,
    Night,
    is_settled,
    moment,
    nights,
    note,
    settled_dates,
)
from flows.workspace.project import Project
from pipeline.runtime.errors import SwitchtenderError, one_line, refused_by_the_system

_PATIENCE_SECONDS = 12 * 3600.0
"""How long a scheduled night waits for another that is under way."""
_LOST_DAYS = 1
"""So far behind a night's date others may be lost with a server that died. Further back a clock may have jumped."""


@dataclass(frozen=True)
class Attempted:
    """What came of one track; `result` is a word of the log of nights."""

    track: str
    result: str
    reason: str = ""


def attempt(projects: Sequence[Project], scheduled: str = "", *, again: bool = False) -> list[Attempted]:
    """A night of each track; one that fails leaves the next its own.

    `scheduled` is the date that they are meant for, empty for a night by hand; a track that is done with it is left,
    unless it is wanted `again`.

    Raises:
        CutShort: Prefect's server is gone; the date is taken up again.
    """
    root = projects[0]
    with held(_lock(root), "a scheduled night", _PATIENCE_SECONDS):
        if scheduled and not again:
            date = datetime.fromisoformat(scheduled)
            _pass_over_between(projects, date - timedelta(days=_LOST_DAYS), date)
        found = [_attempted(project, scheduled, again) for project in projects]
    tell_outside(root, print)
    return found


def _attempted(project: Project, scheduled: str, again: bool) -> Attempted:
    name = project.track.name
    if scheduled and not again and is_settled(project, scheduled):
        return Attempted(name, NOTHING_NEW, f"the night of {scheduled} is done already")
    known = _tries(project, scheduled)
    try:
        done = night(project, print, scheduled=scheduled, patience=_PATIENCE_SECONDS)
        return Attempted(name, done.result, done.reason)
    except CutShort:
        raise
    except (SwitchtenderError, OSError) as error:
        told = refused_by_the_system(error) if isinstance(error, OSError) else error
        if scheduled and _tries(project, scheduled) == known:
            # It never began, so nothing was noted, and the date would be tried without end.
            at, reason = moment(), one_line(told, 300)
            with suppress(OSError):  # a full disk: the date is asked for again later
                note(project, Night(name, at, scheduled, result=FAILED, reason=reason, ended=at))
        return Attempted(name, FAILED, str(told))


def _tries(project: Project, scheduled: str) -> int:
    return sum((one.track, one.scheduled) == (project.track.name, scheduled) for one in nights(project))


def pass_over(projects: Sequence[Project], calendar: Calendar, scheduled: datetime, now: datetime) -> str:
    """Where a later date has come too, note that its night stands for this one, and say so; empty where none has."""
    latest = calendar.latest(now)
    if latest is None or latest <= scheduled:
        return ""
    with held(_lock(projects[0]), "a date passed over", _PATIENCE_SECONDS):
        return _note_passed_over(projects, [scheduled], calendar.local(latest))


def pass_over_before(projects: Sequence[Project], latest: datetime) -> None:
    """Note for every date before the latest that no night came of that the latest's stands for it.

    Raises:
        HeldByAnotherRun: a scheduled night is under way.
    """
    with held(_lock(projects[0]), "dates passed over"):
        _pass_over_between(projects, datetime.min.replace(tzinfo=UTC), latest)


def _pass_over_between(projects: Sequence[Project], earliest: datetime, latest: datetime) -> None:
    state = schedule_state(projects[0])
    if state is None:
        return
    known = [datetime.fromisoformat(night.scheduled) for night in nights(projects[0]) if night.scheduled]
    start = max([earliest, datetime.fromisoformat(state.since), *(date for date in known if date < latest)])
    between = [date for date in state.calendar.dates(start, latest) if date < latest]
    _note_passed_over(projects, between, state.calendar.local(latest))


def _note_passed_over(projects: Sequence[Project], dates: Sequence[datetime], latest: str) -> str:
    reason = f"missed; the night of {latest} stands for it"
    settled = settled_dates(projects[0])
    for date, project in product(dates, projects):
        if (project.track.name, stored(date)) not in settled:
            at = moment()
            note(project, Night(project.track.name, at, stored(date), result=PASSED_OVER, reason=reason, ended=at))
    return reason


def missed(projects: Sequence[Project], now: datetime) -> datetime | None:
    """The latest date that has come and that a track still lacks a night for; None where there is none.

    Dates from before the schedule began are none of its own. One whose night is under way is not missed.
    """
    state = schedule_state(projects[0])
    latest = state.calendar.latest(now) if state else None
    if state is None or latest is None or latest < datetime.fromisoformat(state.since):
        return None
    settled = settled_dates(projects[0])
    return latest if any((project.track.name, stored(latest)) not in settled for project in projects) else None


def is_done(project: Project, scheduled: str) -> bool:
    """Whether a night of that date has come to its end, whatever its end."""
    ends = {REGISTERED, NOTHING_NEW, GATE_CLOSED}
    return any(
        (one.track, one.scheduled) == (project.track.name, scheduled) and one.result in ends for one in nights(project)
    )


def is_under_way(project: Project) -> bool:
    """Whether the scheduled night's lock is taken."""
    try:
        with held(_lock(project), "a look"):
            return False
    except SwitchtenderError:
        return True


def worst(attempts: Sequence[Attempted]) -> str:
    """The result that a person has to hear of, of several tracks."""
    found = {one.result for one in attempts}
    return next(
        word for word in (FAILED, CUT_SHORT, GATE_CLOSED, REGISTERED, PASSED_OVER, NOTHING_NEW) if word in found
    )


def now_utc() -> datetime:
    """This moment."""
    return datetime.now(UTC)


def _lock(project: Project) -> Path:
    return project.var / "scheduled.lock"
