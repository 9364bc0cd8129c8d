"""The log of nights: one line when a night of a track begins and one when it ends, also where nothing was new.

A run's record (see `runs`) says what was trained; this log says what was tried, for which scheduled date, and why it
ended as it did. It proves nothing and is not signed: it is what the engineer on duty reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from flows.workspace.json_lines import append_line, read_entries
from flows.workspace.project import Project
from pipeline.runtime.errors import SwitchtenderError, one_line

REGISTERED, NOTHING_NEW, GATE_CLOSED, FAILED = "registered", "nothing new", "gate closed", "failed"
CUT_SHORT = "cut short"
"""Killed, or its Prefect server gone: a scheduled date that ended so is taken up again."""
PASSED_OVER = "passed over"
"""A scheduled date that was missed, and for which the night of a later date stands."""
SETTLED = frozenset({REGISTERED, NOTHING_NEW, GATE_CLOSED, FAILED, PASSED_OVER})
"""Results after which a scheduled date is done with."""
MOST_ATTEMPTS = 3
"""A scheduled date whose nights are cut short so often is left to a person."""


class CutShort(SwitchtenderError):
    """A night could not go on for a reason that lies outside of it; it goes on where it stopped when run again."""


@dataclass(frozen=True)
class Night:
    """One attempt at a night of a track. `result` and `ended` are empty while it is under way, and where it was killed.

    `scheduled` is the date and time, in UTC, that the schedule meant it for; empty where a person started it.
    """

    track: str
    started: str
    scheduled: str = ""
    run_key: str = ""
    result: str = ""
    reason: str = ""
    version: str = ""
    ended: str = ""


def nights(project: Project) -> list[Night]:
    """Every night of both tracks, in the order begun.

    Raises:
        InputError: the log cannot be read.
    """
    found = {(night.track, night.started): night for night in read_entries(_path(project), Night) if _is_dated(night)}
    return list(found.values())


class NightUnderWay:
    """The entry of the night that runs now; each change is written at once."""

    def __init__(self, project: Project, scheduled: str) -> None:
        self.project = project
        self.night = note(project, Night(project.track.name, moment(), scheduled))

    def works_on(self, run_key: str) -> None:
        """Note which run the night makes or takes up."""
        self.night = note(self.project, replace(self.night, run_key=run_key))

    def ended(self, result: str, reason: str = "", version: str = "") -> None:
        """Note how the night ended."""
        self.night = note(
            self.project, replace(self.night, result=result, reason=reason, version=version, ended=moment())
        )


@contextmanager
def logged(project: Project, scheduled: str = "") -> Iterator[NightUnderWay]:
    """Note that a night of the project's track begins and, where the block raises, why. Call under the lock."""
    entry = NightUnderWay(project, scheduled)
    try:
        yield entry
    except BaseException as error:
        result = FAILED if isinstance(error, Exception) and not isinstance(error, CutShort) else CUT_SHORT
        # What ended it from outside has no words of its own: a SystemExit's are its code.
        reason = one_line(error, 300) if isinstance(error, Exception) else ""
        # What went wrong with the night counts, not that a full disk does not take this line either.
        with suppress(OSError):
            entry.ended(result, reason or type(error).__name__)
        raise


def settled_dates(project: Project) -> set[tuple[str, str]]:
    """Track and scheduled date of every night of a schedule that needs no further attempt; raises as `nights`."""
    tried = [night for night in nights(project) if night.scheduled]
    attempts = Counter((night.track, night.scheduled) for night in tried)
    given_up = {date for date, times in attempts.items() if times >= MOST_ATTEMPTS}
    return given_up | {(night.track, night.scheduled) for night in tried if night.result in SETTLED}


def is_settled(project: Project, scheduled: str) -> bool:
    """Whether a night of the project's track that the schedule meant for `scheduled` needs no further attempt."""
    return (project.track.name, scheduled) in settled_dates(project)


def note(project: Project, night: Night) -> Night:
    """Append a night as it stands now."""
    append_line(_path(project), asdict(night))
    return night


def moment() -> str:
    """This moment in UTC; two nights of one track never share it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _path(project: Project) -> Path:
    return project.var / "nights.jsonl"


def _is_dated(night: Night) -> bool:
    """Whether its moments are moments, in a zone: the schedule compares them."""
    try:
        return all(datetime.fromisoformat(date).tzinfo is not None for date in (night.started, night.scheduled) if date)
    except ValueError:
        return False
