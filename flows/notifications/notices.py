"""What a person should hear of, read from the state of the project; nothing here sends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from pydantic import Field

from flows.curation.dataset_cache import DatasetCache
from flows.curation.label_review import suspects_of
from flows.promotion.in_service import in_service
from flows.registry.versions import CHALLENGER, Versions, versions_of
from flows.workspace.night_log import CUT_SHORT, FAILED, GATE_CLOSED, PASSED_OVER, Night, is_settled, nights
from flows.workspace.project import Project
from flows.workspace.runs import latest_finished
from pipeline.runtime.params import Section
from pipeline.runtime.track import AGENTS
from pipeline.versions.commands import command

NIGHT_FAILED, CLOSED, NEW_CHALLENGER, OLD_CHAMPION, SUSPECTS = (
    "night failed", "gate closed", "new challenger", "old champion", "suspects waiting",
)  # fmt: skip
EVENTS = (NIGHT_FAILED, CLOSED, NEW_CHALLENGER, OLD_CHAMPION, SUSPECTS)


class NotifyParams(Section):
    """Where word goes and of what; params.yaml explains each. `to` names secrets, `env:NAME` or `file:PATH`."""

    to: list[str]
    events: list[str]
    prefect_block: str
    registry_webhook: str
    champion_days: int = Field(ge=1)
    suspects: int = Field(ge=0)


@dataclass(frozen=True)
class Notice:
    """One thing to tell: which event, about what (told once), a title of a line, and what to do about it."""

    event: str
    thing: str
    title: str
    text: str


def notices(project: Project, params: NotifyParams, now: datetime) -> list[Notice]:
    """What is to be told of both tracks, whether it was told before or not.

    Raises:
        SwitchtenderError: a log or the registry cannot be read.
    """
    found = [notice for seen in project.both for notice in _of_track(seen, params, now)]
    return [notice for notice in found if notice.event in params.events]


def _of_track(project: Project, params: NotifyParams, now: datetime) -> Iterator[Notice]:
    mine = [night for night in nights(project) if night.track == project.track.name and night.result != PASSED_OVER]
    if mine:
        # A night with nothing new has no run of its own: what it says is of the run before.
        last_run = next((night.run_key for night in reversed(mine) if night.run_key), "")
        yield from _of_night(project, mine[-1], last_run)
    if not project.has_store:
        return
    versions = versions_of(project)
    yield from _of_versions(project, versions, params, now)
    if project.track is AGENTS and latest_finished(project) is not None:
        suspects = suspects_of(project, DatasetCache(project))
        if len(suspects.left) > params.suspects:
            yield Notice(
                SUSPECTS,
                f"{now:%G, week %V}",  # not after each night with the same ones
                f"{len(suspects.left)} suspected labels wait for a person",
                "Decide on them: switchtender review, or the page's tab Review.",
            )


def _of_night(project: Project, night: Night, last_run: str) -> Iterator[Notice]:
    track, date = night.track, (night.scheduled or night.started)[:16].replace("T", " ")
    if night.result == GATE_CLOSED:
        yield Notice(
            CLOSED,
            last_run,
            f"{track}: a gate is closed, {last_run} was not registered",
            f"{night.reason}. What serves stays. Look: switchtender nights, and the night's report.",
        )
    given_up = night.result in ("", CUT_SHORT) and night.scheduled and is_settled(project, night.scheduled)
    if night.result == FAILED or given_up:
        yield Notice(
            NIGHT_FAILED,
            f"{track} {night.started}",
            f"{track}: the night of {date} failed",
            f"{night.reason or 'cut short again and again'}. What serves stays. Then: {project.night_command}.",
        )


def _of_versions(project: Project, versions: Versions, params: NotifyParams, now: datetime) -> Iterator[Notice]:
    track, serving, challenger = project.track.name, in_service(project, versions), versions.at(CHALLENGER)
    if challenger and serving.version and int(challenger.version) > int(serving.version):
        yield Notice(
            NEW_CHALLENGER,
            f"{track} {challenger.version}",
            f"{track}: version {challenger.version} passed its gates and waits for promotion",
            f"Version {serving.version} serves. Compare: "
            f"{command(f'diff {serving.version} {challenger.version}', project.track)}; "
            f"then: {command(f'promote {challenger.version} --reason ...', project.track)}",
        )
    if serving.promotion:
        days = (now - datetime.fromisoformat(serving.promotion.at).astimezone(UTC)).days
        if days >= params.champion_days:
            # Told again after as many days more, not each night.
            yield Notice(
                OLD_CHAMPION,
                f"{track} {serving.version} {days // params.champion_days}",
                f"{track}: version {serving.version} has served for {days} days",
                "Is new data coming in, and do gates pass? Look: switchtender nights, switchtender status.",
            )
