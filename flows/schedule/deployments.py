"""What can be started on Prefect's page, and by the schedule: nights, promotion, rollback, audit and verification.

prefect.yaml offers the same flows to a work pool. Their parameters are typed, so that Prefect shows them as forms.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.client.schemas.objects import State
from prefect.context import get_run_context
from prefect.runtime import flow_run
from prefect.states import Completed, Failed
from prefect.types.entrypoint import EntrypointType
from pydantic import BaseModel, Field

from flows.audit.audit import audit as audited
from flows.audit.verify import verify as verified
from flows.night.params import tracks
from flows.promotion.prefect_flow import promote_version, roll_back
from flows.schedule.calendar import Calendar, stored
from flows.schedule.scheduled import Attempted, attempt, is_done, now_utc, pass_over, worst
from flows.schedule.state import TAG, calendar_of
from flows.workspace.night_log import FAILED, GATE_CLOSED, NOTHING_NEW
from flows.workspace.project import Project, find_project
from pipeline.reports.markdown import markdown_table
from pipeline.runtime.errors import InputError
from pipeline.runtime.track import track_named

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

TrackName = Literal["agents", "models"]


class NightRequest(BaseModel):
    """A night now; for a date that was missed there is the flow backfill."""

    tracks: list[TrackName] = Field(
        default=[], description="Whose routers to retrain; none named: those of params.yaml."
    )
    scheduled: datetime | None = Field(
        default=None, description="Leave it empty: the schedule fills it in where it catches up."
    )


class BackfillRequest(BaseModel):
    """A night for a date of the schedule that has none."""

    scheduled: datetime = Field(description="The date and time that the schedule meant, in its time zone.")
    tracks: list[TrackName] = Field(
        default=[], description="Whose routers to retrain; none named: those of params.yaml."
    )


class VersionRequest(BaseModel):
    """A registered version."""

    version: str = Field(default="champion", description="A version's number, or an alias.")
    track: TrackName = Field(default="agents", description="Whose router: agents, or models.")


class VerifyRequest(VersionRequest):
    """A registered version, or all of them."""

    every: bool = Field(default=False, description="Every version of the track, not this one alone.")


# Defaults, so that a form can be sent as it is.
_EVERY_TRACK, _CHAMPION, _CHAMPION_ALONE = NightRequest(), VersionRequest(), VerifyRequest()


def _dated() -> str:
    """`night 2026-11-26 03:00`, in the schedule's zone: the date asked for, else when it was meant to begin."""
    request = flow_run.get_parameters().get("request") or {}
    asked = request.get("scheduled") if isinstance(request, dict) else request.scheduled
    name, calendar = flow_run.get_flow_name(), calendar_of(find_project())
    if not asked:
        return f"{name} {calendar.local(flow_run.get_scheduled_start_time())}"
    try:
        return f"{name} {calendar.local(calendar.meant(datetime.fromisoformat(str(asked))))}"
    except (ValueError, OverflowError):  # a date that the flow refuses
        return f"{name} {asked}"


@flow(name="night", flow_run_name=_dated, persist_result=False)
def night(request: NightRequest = _EVERY_TRACK) -> State[None]:
    """Retrain, gate and register each track, if anything is new."""
    projects = _projects(request.tracks)
    asked = request.scheduled
    scheduled = _of_the_schedule(calendar_of(projects[0]), asked) if asked else _meant_for()
    if scheduled is None:
        return _state(attempt(projects))
    if passed := pass_over(projects, calendar_of(projects[0]), scheduled, now_utc()):
        return Completed(name="Passed over", message=passed)
    return _state(attempt(projects, stored(scheduled)))


@flow(name="backfill", flow_run_name=_dated, persist_result=False)
def backfill(request: BackfillRequest) -> State[None]:
    """A night for a scheduled date that was missed, failed or was passed over; from today's data, as any night."""
    projects = _projects(request.tracks)
    scheduled = stored(_of_the_schedule(calendar_of(projects[0]), request.scheduled))
    waiting = [project for project in projects if not is_done(project, scheduled)]
    if not waiting:
        return Completed(name="Nothing new", message=f"the night of {scheduled} is done already")
    # By hand, so that a date whose nights failed may be tried again; its log entry still bears the date.
    return _state(attempt(waiting, scheduled, again=True))


@flow(name="audit", persist_result=False)
def audit(request: VersionRequest = _CHAMPION) -> State[None]:
    """Which data and which decisions made a version; the page is left as an artifact."""
    from pipeline.reports.audit_export import documentation

    found = audited(_project(request.track), request.version)
    create_markdown_artifact(documentation(found), key="audit", description=f"audit of version {found.version}")
    return Completed(message=f"version {found.version}, run {found.run_key}")


@flow(name="verify", persist_result=False)
def verify(request: VerifyRequest = _CHAMPION_ALONE) -> State[None]:
    """Hash everything again: files, signatures, provenance, data in cache and remote, and the logs."""
    results = verified(_project(request.track), request.version, request.every, [], lambda chosen: chosen)
    faults = [finding for result in results for finding in result.findings if finding.is_fault]
    checked = sum(result.checked for result in results)
    told = f"{checked} things checked, {f'{len(faults)} faults' if faults else 'sound'}"
    table = markdown_table(("where", "what", "state"), [(fault.where, fault.path, fault.state) for fault in faults])
    create_markdown_artifact(f"## {told}\n\n{table if faults else ''}\n", key="verify", description=told)
    return Failed(name="Not sound", message=told) if faults else Completed(message=told)


def _projects(names: list[TrackName]) -> list[Project]:
    project = _project()
    return [project.on(track_named(name)) for name in dict.fromkeys(names)] or list(tracks(project))


def _project(track: str = "") -> Project:
    project = find_project(Path.cwd(), track)
    project.enter_environment()
    return project


def _meant_for() -> datetime | None:
    """The date of the schedule that started this flow run; None where a person did."""
    run: Any = getattr(get_run_context(), "flow_run", None)
    return run.expected_start_time if run is not None and run.auto_scheduled else None


def _of_the_schedule(calendar: Calendar, date: datetime) -> datetime:
    """A date that a person named, in the schedule's zone where it has none of its own.

    Raises:
        InputError: the schedule has no night then, or it lies ahead.
    """
    meant = calendar.meant(date)
    if meant > now_utc():
        raise InputError(f"the night of {meant} is still to come; start a night without a date instead")
    try:
        latest = calendar.latest(meant)
    except OverflowError:  # of the first days that a computer counts
        latest = None
    if latest != meant:
        before = f"; the one before is {calendar.local(latest)}" if latest else ""
        raise InputError(f"the schedule '{calendar.cron}' has no night at {meant}{before}")
    return meant


def _state(attempts: list[Attempted]) -> State[None]:
    """The state of a flow run: the worst of what came of its tracks, each with its reason."""
    told = "; ".join(f"{one.track}: {one.result}{f' ({one.reason})' if one.reason else ''}" for one in attempts)
    result = worst(attempts)
    if result == FAILED:
        return Failed(message=told)
    if result == GATE_CLOSED:
        return Failed(name="Gate closed", message=told)
    return Completed(name="Nothing new" if result == NOTHING_NEW else "Completed", message=told)


def deployments(calendar: Calendar | None, mark: str = "") -> list[RunnerDeployment]:
    """Every flow as a deployment, the night with its schedule where there is one; `mark` is a further tag."""
    tags = [TAG, mark] if mark else [TAG]
    timed: dict[str, Any] = {}
    if calendar is not None:
        from prefect.schedules import Cron

        timed = {"schedules": [Cron(calendar.cron, timezone=calendar.timezone)]}
    return [
        _deployed(night, "nightly", tags=tags, concurrency_limit=1, **timed),
        _deployed(backfill, "by-hand", tags=tags, concurrency_limit=1),
        *(_deployed(one, "by-hand", tags=tags) for one in (promote_version, roll_back, audit, verify)),
    ]


def _deployed(one: Any, name: str, **settings: Any) -> RunnerDeployment:
    # By module and not by file: an installed package has its files elsewhere.
    made: RunnerDeployment = one.to_deployment(
        name, description=one.description, entrypoint_type=EntrypointType.MODULE_PATH, **settings
    )
    return made
