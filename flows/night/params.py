"""What params.yaml says of nights: which tracks, when, and how the flow behaves around the stages."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from flows.workspace.project import Project
from pipeline.runtime.params import Section, read
from pipeline.runtime.track import track_named


class NightlyParams(Section):
    """Which tracks a night trains, when the schedule starts it, and how the flow behaves around the stages.

    `cron` has five fields and speaks of `timezone`; `page` is the address of the service's page, for links, or empty.
    `textfile` is where metrics for node_exporter are written after each night, from the project's folder, or empty.
    """

    tracks: list[str] = Field(min_length=1)
    cron: str
    timezone: str
    page: str
    textfile: str = ""
    stage_timeout_minutes: float = Field(gt=0)
    retries: int = Field(ge=0)
    retry_delay_seconds: float = Field(ge=0)

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        return known_zone(name)


def known_zone(name: str) -> str:
    """The name of a time zone.

    Raises:
        ValueError: there is none of that name.
    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"'{name}' is no time zone; give one such as Europe/Berlin or UTC") from error
    return name


def nightly_params(project: Project) -> NightlyParams:
    """The section `nightly` of the checkout's params.yaml.

    Raises:
        ParamsError: see `pipeline.runtime.params.read`.
    """
    return read("nightly", NightlyParams, project.root / "params.yaml")


def tracks(project: Project) -> tuple[Project, ...]:
    """The project seen from each track that a night trains, in the order of params.yaml.

    Raises:
        InputError: a track is unknown.
    """
    return tuple(project.on(track_named(name)) for name in nightly_params(project).tracks)
