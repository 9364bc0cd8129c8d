"""One night a scheduled date: which date is missed, what stands for it, and what a clock that jumps changes."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.night.outcome import NightEnded
from flows.schedule import scheduled, state
from flows.schedule.calendar import Calendar, stored
from flows.schedule.scheduled import attempt, missed, pass_over, pass_over_before
from flows.workspace.night_log import CUT_SHORT, FAILED, NOTHING_NEW, PASSED_OVER, CutShort, Night, logged, nights, note
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError
from pipeline.runtime.track import MODELS

DAILY = Calendar("0 3 * * *", "UTC")


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"2026-05-{text}").replace(tzinfo=UTC)


@pytest.fixture
def projects(tmp_path: Path) -> list[Project]:
    """Both tracks of a project whose schedule began on the first of May."""
    project = Project(tmp_path)
    state.begin(project, DAILY, at("01T12:00"))
    return [project, project.on(MODELS)]


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Nights that find nothing new, in place of real ones; their tracks in order."""
    done: list[str] = []

    def night(project: Project, _tell: object, *, scheduled: str, patience: float) -> NightEnded:
        done.append(project.track.name)
        with logged(project, scheduled) as entry:
            entry.ended(NOTHING_NEW)
        return NightEnded(project.track.name, "k", False, "passed", None, (), "", "", "")

    monkeypatch.setattr(scheduled, "night", night)
    return done


def test_one_path_on_two_hosts_has_two_marks(projects: list[Project], monkeypatch: pytest.MonkeyPatch) -> None:
    here = state.own_mark(projects[0])
    monkeypatch.setattr("platform.node", lambda: "another-host")
    assert state.own_mark(projects[0]) != here


@pytest.mark.parametrize(
    ("now", "date"),
    [("02T02:59", None), ("02T03:00", "02T03:00"), ("02T20:00", "02T03:00"), ("09T03:30", "09T03:00")],
)
def test_only_the_latest_date_since_the_schedule_began_is_missed(
    projects: list[Project], now: str, date: str | None
) -> None:
    assert missed(projects, at(now)) == (at(date) if date else None)


def test_a_date_is_missed_until_each_track_has_had_its_night(projects: list[Project], ran: list[str]) -> None:
    attempt(projects[:1], stored(at("02T03:00")))
    assert missed(projects, at("02T04:00")) == at("02T03:00")
    attempt(projects, stored(at("02T03:00")))
    assert ran == ["agents", "models"]
    assert missed(projects, at("02T04:00")) is None


def test_a_date_has_one_night_however_often_it_is_started(projects: list[Project], ran: list[str]) -> None:
    for _ in range(3):
        attempt(projects, stored(at("02T03:00")))
    assert ran == ["agents", "models"]


def test_a_clock_set_back_repeats_no_night_and_one_set_forward_costs_none(
    projects: list[Project], ran: list[str]
) -> None:
    attempt(projects, stored(at("02T03:00")))
    assert missed(projects, at("01T22:00")) is None
    assert missed(projects, at("02T03:00")) is None
    attempt(projects, stored(at("20T03:00")))  # the clock stood on the 20th for a while
    assert missed(projects, at("03T03:00")) == at("03T03:00")


def test_new_dates_hold_from_when_they_were_set(projects: list[Project]) -> None:
    state.begin(projects[0], Calendar("0 2 * * *", "UTC"), at("05T12:00"))
    assert missed(projects, at("05T13:00")) is None
    assert missed(projects, at("06T02:30")) == at("06T02:00")


def test_a_schedule_that_starts_again_keeps_its_beginning(projects: list[Project]) -> None:
    state.begin(projects[0], DAILY, at("05T12:00"))
    assert missed(projects, at("05T12:00")) == at("05T03:00")


def test_a_beginning_that_a_wrong_clock_noted_does_not_hold(projects: list[Project]) -> None:
    state.begin(projects[0], DAILY, at("01T12:00") - timedelta(days=9))
    assert missed(projects, at("01T12:00")) == at("01T03:00")


@pytest.mark.parametrize(
    "change",
    [{"since": "2026-05-01T12:00"}, {"since": "soon"}, {"cron": "* * * * * *"}, {"cron": 3}, {"timezone": "Mars/Base"},
     {"timezone": ""}, {"later": "key"}],
)  # fmt: skip
def test_a_damaged_state_is_none_and_is_written_anew(projects: list[Project], change: dict[str, object]) -> None:
    path = projects[0].var / "schedule.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert missed(projects, at("04T04:00")) is None
    state.begin(projects[0], DAILY, at("03T12:00"))
    assert missed(projects, at("04T04:00")) == at("04T03:00")


@pytest.mark.parametrize("scheduled", ["2026-05-02T03:00", "yesterday", "0001-01-01T00:00:00"])
def test_a_date_that_is_none_of_a_schedule_stops_no_night(projects: list[Project], scheduled: str) -> None:
    note(projects[0], Night("agents", "2026-05-02T03:00:00+00:00", scheduled, result=FAILED))
    pass_over_before(projects, at("05T03:00"))
    assert missed(projects, at("05T04:00")) == at("05T03:00")


def test_what_a_night_by_hand_noted_meanwhile_is_not_the_dates_own(
    projects: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    def held_off(project: Project, *_: object, **__: object) -> NightEnded:
        with logged(project) as entry:
            entry.ended(NOTHING_NEW)
        raise InputError("held")

    monkeypatch.setattr(scheduled, "night", held_off)
    attempt(projects, stored(at("02T03:00")))
    assert missed(projects, at("02T04:00")) is None


def test_missed_dates_do_not_pile_up(projects: list[Project], ran: list[str]) -> None:
    told = pass_over(projects, DAILY, at("02T03:00"), at("04T09:00"))
    assert told == "missed; the night of 2026-05-04 03:00 UTC stands for it"
    assert not pass_over(projects, DAILY, at("04T03:00"), at("04T09:00"))
    assert [(one.track, one.result) for one in nights(projects[0])] == [
        ("agents", PASSED_OVER),
        ("models", PASSED_OVER),
    ]
    attempt(projects, stored(at("02T03:00")))
    assert ran == []


def test_dates_that_nobody_started_are_noted_as_passed_over(projects: list[Project], ran: list[str]) -> None:
    attempt(projects, stored(at("02T03:00")))
    pass_over_before(projects, at("05T03:00"))
    pass_over_before(projects, at("05T03:00"))
    noted = [one.scheduled[8:10] for one in nights(projects[0]) if one.result == PASSED_OVER and one.track == "agents"]
    assert noted == ["03", "04"]
    assert missed(projects, at("05T04:00")) == at("05T03:00")


def test_a_date_whose_run_was_lost_is_noted_when_the_next_begins(projects: list[Project], ran: list[str]) -> None:
    for day in ("02", "04"):
        attempt(projects, stored(at(f"{day}T03:00")))
    told = [(one.scheduled[8:10], one.result) for one in nights(projects[0]) if one.track == "agents"]
    assert told == [("02", NOTHING_NEW), ("03", PASSED_OVER), ("04", NOTHING_NEW)]


def failing(error: Exception, begins: bool) -> Callable[..., NightEnded]:
    def night(project: Project, _tell: object, *, scheduled: str, patience: float) -> NightEnded:
        if not begins:
            raise error
        with logged(project, scheduled):
            raise error

    return night


@pytest.mark.parametrize("begins", [True, False])
def test_a_night_that_fails_is_noted_once_and_leaves_the_next_its_own(
    projects: list[Project], monkeypatch: pytest.MonkeyPatch, begins: bool
) -> None:
    monkeypatch.setattr(scheduled, "night", failing(InputError("params.yaml is gone"), begins))
    found = attempt(projects, stored(at("02T03:00")))
    assert [(one.track, one.result, one.reason) for one in found] == [
        ("agents", FAILED, "params.yaml is gone"),
        ("models", FAILED, "params.yaml is gone"),
    ]
    assert [one.result for one in nights(projects[0])] == [FAILED, FAILED]
    assert missed(projects, at("02T04:00")) is None


def test_a_full_disk_leaves_the_next_track_its_night_and_the_date_open(
    projects: list[Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> NightEnded:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(scheduled, "night", full)
        disk.setattr(scheduled, "note", full)
        found = attempt(projects, stored(at("02T03:00")))
    assert [(one.track, one.result) for one in found] == [("agents", FAILED), ("models", FAILED)]
    assert "No space left on device; mend that" in found[0].reason
    assert missed(projects, at("02T04:00")) == at("02T03:00")


def test_a_date_whose_server_was_gone_is_taken_up_again(
    projects: list[Project], monkeypatch: pytest.MonkeyPatch, ran: list[str]
) -> None:
    with monkeypatch.context() as gone:
        gone.setattr(scheduled, "night", failing(CutShort("Prefect's server is gone"), begins=True))
        with pytest.raises(CutShort):
            attempt(projects, stored(at("02T03:00")))
    assert [one.result for one in nights(projects[0])] == [CUT_SHORT]
    assert missed(projects, at("02T04:00")) == at("02T03:00")
    attempt(projects, stored(at("02T03:00")))
    assert missed(projects, at("02T04:00")) is None
