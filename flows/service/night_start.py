"""A night that somebody asks for on the page: what it would do, and the schedule asked to start it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from flows.night.nightly import nothing_new
from flows.night.params import tracks as tracks_of
from flows.night.prefect_server import running_server
from flows.schedule.prefect_runs import start_night
from flows.schedule.state import own_mark
from flows.workspace.identity import identify
from flows.workspace.lock import holder_of
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError
from pipeline.runtime.track import track_named
from pipeline.serving.engine.log import log
from pipeline.serving.page.actions import NightRehearsal


def rehearse(project: Project, tracks: Sequence[str]) -> NightRehearsal:
    """What a night of these tracks would do; of those of params.yaml where none is named. Nothing starts.

    Raises:
        InputError: no schedule runs, or a night would be refused, as for uncommitted code.
    """
    _server(project)
    wanted = [project.on(track_named(name)) for name in tracks] or tracks_of(project)
    is_new = {one.track.name: nothing_new(one, identify(one).digest) is None for one in wanted}
    return NightRehearsal(is_new, waits=holder_of(project.lock) is not None)


def start(project: Project, tracks: Sequence[str], who: str) -> None:
    """Ask the schedule's Prefect server for a night.

    Raises:
        InputError: no schedule runs.
        SwitchtenderError: its server took no night.
    """
    asked = start_night(_server(project), list(tracks), mark=own_mark(project))
    log("night_asked", by=who, tracks=list(tracks), flow_run=str(asked))


def _server(project: Project) -> str:
    """The API of the Prefect server through which the schedule takes nights."""
    if holder_of(project.var / "schedule.lock") is None:
        raise InputError(
            "no schedule runs here, and it is what starts nights; run 'switchtender schedule' and leave it running, "
            f"or run one night with '{project.night_command}'"
        )
    # The schedule's own first: the variable may be set here, and not where the schedule was started.
    if not (address := running_server(project) or os.environ.get("PREFECT_API_URL", "").rstrip("/")):
        raise InputError("the schedule's Prefect server does not answer yet; try again in a minute, or see var/prefect")
    return address
