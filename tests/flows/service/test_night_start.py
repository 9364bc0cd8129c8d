"""A night that is asked for on the page: only through a schedule that runs, and with what it would do told before."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_nights import project_in

from flows.night.prefect_server import advertise
from flows.service import night_start
from flows.workspace.lock import held
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError
from pipeline.serving.page.actions import NightRehearsal


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    (tmp_path / "a project").mkdir()
    return project_in(tmp_path / "a project")


def test_without_a_schedule_it_is_said_which_command_starts_one(project: Project) -> None:
    for ask in (lambda: night_start.rehearse(project, ()), lambda: night_start.start(project, (), "ana")):
        with pytest.raises(InputError, match="run 'switchtender schedule' and leave it running"):
            ask()


def test_what_a_killed_schedule_left_behind_starts_none(project: Project, prefect_address: str) -> None:
    advertise(project, prefect_address)
    with pytest.raises(InputError, match="no schedule runs"):
        night_start.start(project, (), "ana")


def test_a_schedule_whose_server_is_not_up_yet_is_told_apart(project: Project) -> None:
    with held(project.var / "schedule.lock", "the schedule"), pytest.raises(InputError, match="not answer yet"):
        night_start.rehearse(project, ())


def test_the_schedule_is_asked_for_the_tracks_that_were_chosen(project: Project, own_prefect: str) -> None:
    from prefect.client.orchestration import SyncPrefectClient

    with SyncPrefectClient(api=own_prefect) as client:
        deployment = client.create_deployment(client.create_flow_from_name("night"), "nightly")
        advertise(project, own_prefect)
        before = {run.id for run in client.read_flow_runs()}
        with held(project.var / "schedule.lock", "the schedule"):
            night_start.start(project, ("models",), "ana")
        (asked,) = [run for run in client.read_flow_runs() if run.id not in before]
        assert asked.parameters["request"] == {"tracks": ["models"], "scheduled": None}
        client.delete_deployment(deployment)


def test_a_rehearsal_tells_what_is_new_and_what_it_would_wait_for(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Identifying a night takes a whole project; that is tried where nights are.
    monkeypatch.setattr(night_start, "identify", lambda seen: _Named(seen.track.name))
    monkeypatch.setattr(night_start, "nothing_new", lambda _, name: None if name == "agents" else "a run")
    monkeypatch.setattr(night_start, "tracks_of", lambda seen: seen.both)
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    with held(project.var / "schedule.lock", "the schedule"):
        assert night_start.rehearse(project, ()) == NightRehearsal({"agents": True, "models": False}, waits=False)
        with held(project.lock, project.track.flow):
            assert night_start.rehearse(project, ("models",)) == NightRehearsal({"models": False}, waits=True)


class _Named:
    def __init__(self, digest: str) -> None:
        self.digest = digest
