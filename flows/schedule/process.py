"""The schedule's process: keeps Prefect's server and the runner of flows up, and takes up dates that were missed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from types import FrameType

from flows.night.params import tracks
from flows.night.prefect_server import advertise, api_at, is_healthy, require_free, start_server, wait_until_up
from flows.notifications.sending import notify_quietly
from flows.schedule import state
from flows.schedule.calendar import Calendar, stored
from flows.schedule.prefect_runs import crash_left_behind, require_no_other, start_night
from flows.schedule.scheduled import is_under_way, missed, now_utc, pass_over_before
from flows.schedule.state import TAG, own_mark
from flows.workspace.lock import held, holder_of
from flows.workspace.night_log import nights
from flows.workspace.processes import end_group, end_marked, values_of
from flows.workspace.project import Project
from pipeline.runtime.errors import SwitchtenderError, one_line

MARK = "SWITCHTENDER_SCHEDULE"
"""Borne by every process that the schedule starts: a killed one's are found by it and ended."""
_FLOW_RUN = "PREFECT__FLOW_RUN_ID"
"""In the environment of each process that Prefect's runner starts for a flow run."""
_LOOK_SECONDS = 5.0
_LOOKS_A_WORD = 360
"""Word that no night brings (a champion that grows old, a date given up) is looked for twice an hour."""
_GRACE = timedelta(seconds=45)
"""How long after a date Prefect may take to start its night before the date counts as missed."""
_START_PATIENCE_SECONDS = 3600.0
_STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_CALM_SECONDS = 60.0
"""A child that lived so long was well; the pause before its next start begins from the shortest again."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class ScheduleOptions:
    """When, and where Prefect's server listens (on loopback); `ui` serves Prefect's page there."""

    calendar: Calendar
    port: int
    ui: bool


def run_schedule(project: Project, projects: Sequence[Project], options: ScheduleOptions, tell: Tell) -> None:
    """Run until SIGTERM or SIGINT. PREFECT_API_URL names a server that is kept elsewhere.

    Raises:
        HeldByAnotherRun: a schedule of this project is running.
        InputError: the cron line or the time zone is none, the log of nights cannot be read, or the port is taken.
        SwitchtenderError: Prefect's server does not start.
    """
    options.calendar.after(now_utc())
    project.claim()
    nights(project)
    with held(project.var / "schedule.lock", "the schedule"), _stopped_by_signals():
        os.environ[MARK] = str(project.root)
        end_marked(MARK, str(project.root))
        with _Children(project, options, tell) as children:
            tell(next_night(options.calendar, projects, now_utc()))
            if options.ui:
                tell(f"Prefect's page: {children.api.removesuffix('/api')}")
            tell_new = _without_repeats(tell)
            for look in count(1):
                time.sleep(_LOOK_SECONDS)
                children.keep_up()
                take_up_missed(children.api, project, now_utc(), tell_new)
                if look % _LOOKS_A_WORD == 0:
                    notify_quietly(project, tell)


def _without_repeats(tell: Tell) -> Tell:
    """What tells a line, unless it is the one told before: what hinders a night hinders it at every look."""
    told = [""]

    def tell_new(line: str) -> None:
        if line != told[0]:
            tell(line)
        told[0] = line

    return tell_new


def next_night(calendar: Calendar, projects: Sequence[Project], now: datetime) -> str:
    """One line: when the next night is, in the schedule's zone, and of which tracks."""
    date = calendar.after(now)
    names = " and ".join(project.track.name for project in projects)
    when = f"{calendar.local(date)}, in {_told(date - now)} (cron '{calendar.cron}')"
    return f"Next night: {when}, of {names}. Ctrl-C ends the schedule."


def _told(ahead: timedelta) -> str:
    minutes = max(1, round(ahead.total_seconds() / 60))
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{days} d" if days else "", f"{hours} h" if hours else "", f"{minutes} min" if minutes else ""]
    return " ".join(part for part in parts if part)


def take_up_missed(api: str, project: Project, now: datetime, tell: Tell) -> None:
    """Ask for the night of the latest date that was missed, once an attempt; later, where it cannot be asked now.

    Of the tracks that params.yaml names by now: the flow, too, reads them anew.

    A run that ended before it could note an attempt (a full disk, code that does not import) is asked for again hourly.
    One that ended while the server was gone could not say so, and no night would begin while it holds their one place.
    """
    try:
        projects = tracks(project)
        date = missed(projects, now - _GRACE)
        if date is None or is_under_way(projects[0]):
            return
        pass_over_before(projects, date)
        tried = sum(night.scheduled == stored(date) for night in nights(projects[0]))
        names, once, mark = [project.track.name for project in projects], f"{tried} {now:%d %H}", own_mark(projects[0])
        crash_left_behind(api, mark, _GRACE, lambda: values_of(_FLOW_RUN))
        start_night(api, names, date, once, mark=mark)
    except (SwitchtenderError, OSError) as error:
        tell(f"missed nights are not taken up yet: {one_line(error)}")


@dataclass
class _Child:
    """A process that is started again where it ends, after a pause that doubles while it does not stay up."""

    start: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes] = field(init=False)
    since: float = field(default_factory=time.monotonic)
    pause: float = 1.0

    def __post_init__(self) -> None:
        self.process = self.start()

    def keep_up(self, name: str, tell: Tell) -> None:
        """Start it again where it has ended."""
        if self.process.poll() is None:
            return
        self.pause = 1.0 if time.monotonic() - self.since > _CALM_SECONDS else min(60.0, self.pause * 2)
        tell(f"{name} ended (exit {self.process.returncode}) and is started again; see var/prefect")
        time.sleep(self.pause)
        self.process, self.since = self.start(), time.monotonic()


class _Children:
    """Prefect's server, unless it is kept elsewhere, and the runner."""

    def __init__(self, project: Project, options: ScheduleOptions, tell: Tell) -> None:
        self.project, self.options, self.tell = project, options, tell
        self.api = os.environ.get("PREFECT_API_URL", "").rstrip("/") or api_at(options.port)
        self.keeps_server = not os.environ.get("PREFECT_API_URL")
        self.server: _Child | None = None
        self.runner: _Child | None = None

    def __enter__(self) -> _Children:
        # A night by hand has a server of its own on the same database: wait for its end.
        if (night := holder_of(self.project.lock)) is not None:
            self.tell(
                f"Waiting for {night.purpose} (process {night.pid}) to end, which has a Prefect server of its own."
            )
        with held(self.project.lock, "the schedule's start", _START_PATIENCE_SECONDS):
            try:
                if self.keeps_server:
                    require_free(self.options.port)
                    self.server = _Child(self._start_server)
                    wait_until_up(self.project, self.server.process, self.api)
                    advertise(self.project, self.api)
                else:
                    require_no_other(self.api, own_mark(self.project))
                os.environ["PREFECT_API_URL"] = self.api
                crash_left_behind(self.api, TAG if self.keeps_server else own_mark(self.project))
                state.begin(self.project, self.options.calendar, now_utc())
                self.runner = _Child(self._start_runner)
            except BaseException:
                self._end()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def keep_up(self) -> None:
        if self.server:
            self.server.keep_up("Prefect's server", self.tell)
        if self.runner and is_healthy(self.api):
            self.runner.keep_up("the runner", self.tell)

    def _end(self) -> None:
        for child in (self.runner, self.server):
            if child:
                end_group(child.process)
        # A stage has a session of its own, which outlives a night that had to be killed.
        end_marked(MARK, str(self.project.root))

    def _start_server(self) -> subprocess.Popen[bytes]:
        return start_server(self.project, self.api, self.project.environment(), ui=self.options.ui)

    def _start_runner(self) -> subprocess.Popen[bytes]:
        with (self.project.prefect_home / "runner.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "flows.schedule.runner"],
                cwd=self.project.root,
                env=self.project.environment() | {"PREFECT_LOGGING_LEVEL": "INFO"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM, and SIGHUP of a terminal that closes, end the block as Ctrl-C does; what follows on it is not broken off
    by another one.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in _STOPPING:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in _STOPPING if signal.getsignal(number) != signal.SIG_IGN}
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
