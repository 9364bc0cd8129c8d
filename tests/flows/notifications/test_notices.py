"""What there is to tell of a project: failed nights, closed gates, challengers, an old champion."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from made_versions import PARAMS as MADE_PARAMS
from made_versions import MadeProject

from flows.notifications.notices import EVENTS, NIGHT_FAILED, NotifyParams, notices
from flows.records.promotion_log import promotions
from flows.workspace.night_log import (
    CUT_SHORT,
    FAILED,
    GATE_CLOSED,
    MOST_ATTEMPTS,
    NOTHING_NEW,
    PASSED_OVER,
    REGISTERED,
    logged,
)
from flows.workspace.project import Project

NOW = datetime.now(UTC)
PARAMS = NotifyParams(
    to=["env:WORD"], events=list(EVENTS), champion_days=30, suspects=0, prefect_block="", registry_webhook=""
)
DATE = "2026-03-01T03:00:00+00:00"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "params.yaml").write_text("nightly: {tracks: [agents]}\n")
    return Project(tmp_path)


def tried(project: Project, result: str, reason: str = "", run_key: str = "", scheduled: str = "") -> None:
    with logged(project, scheduled) as entry:
        if run_key:
            entry.works_on(run_key)
        if result:
            entry.ended(result, reason)


def told(project: Project, params: NotifyParams = PARAMS, now: datetime = NOW) -> list[tuple[str, str]]:
    return [(notice.event, notice.title) for notice in notices(project, params, now)]


@pytest.mark.parametrize("result", [REGISTERED, NOTHING_NEW, "", CUT_SHORT])
def test_a_night_that_went_well_or_goes_on_is_no_news(project: Project, result: str) -> None:
    tried(project, result)
    assert told(project) == []


def test_a_failed_night_is_told_with_its_reason(project: Project) -> None:
    tried(project, FAILED, "stage train failed (exit 1): no space", scheduled=DATE)
    (notice,) = notices(project, PARAMS, NOW)
    assert notice.title == "agents: the night of 2026-03-01 03:00 failed"
    assert notice.text.startswith("stage train failed (exit 1): no space. What serves stays.")


def test_a_date_that_is_passed_over_after_it_hides_no_failed_night(project: Project) -> None:
    tried(project, FAILED, "stage train failed (exit 1): no space", scheduled=DATE)
    before = told(project)
    tried(project, PASSED_OVER, "missed; a later night stands for it")
    assert before == told(project) != []


def test_a_closed_gate_is_one_thing_however_many_nights_it_stays_closed(project: Project) -> None:
    tried(project, GATE_CLOSED, "gate not passed: micro_f1", "nightly-2026-03-01-0001")
    for _ in range(2):
        tried(project, GATE_CLOSED, "nothing new since nightly-2026-03-01-0001; gate not passed: micro_f1")
    (notice,) = notices(project, PARAMS, NOW)
    assert (notice.thing, "gate not passed: micro_f1" in notice.text) == ("nightly-2026-03-01-0001", True)


def test_what_a_later_night_mended_is_no_news(project: Project) -> None:
    tried(project, FAILED, "no space")
    tried(project, NOTHING_NEW)
    assert told(project) == []


def test_a_date_that_is_given_up_is_told(project: Project) -> None:
    for _ in range(MOST_ATTEMPTS):
        assert told(project) == []
        tried(project, CUT_SHORT, "Prefect's server is gone", scheduled=DATE)
    assert told(project) == [(NIGHT_FAILED, "agents: the night of 2026-03-01 03:00 failed")]


def test_only_the_events_asked_for_are_told(project: Project) -> None:
    tried(project, FAILED, "no space")
    assert told(project, PARAMS.model_copy(update={"events": ["gate closed"]})) == []


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> MadeProject:
    """Version 1 in service, version 2 the challenger."""
    made = MadeProject(tmp_path_factory.mktemp("made"))
    both = {**MADE_PARAMS, "models": {"register": {"model": "model-router", "first_becomes_champion": True}}}
    (made.project.root / "params.yaml").write_text(yaml.safe_dump(both))
    for number in (1, 2):
        made.add(number)
    made.promote(1, "the first")
    made.alias("challenger", 2)
    return made


def test_a_challenger_is_told_until_it_serves(versions: MadeProject) -> None:
    project = versions.project
    assert ("new challenger", "agents: version 2 passed its gates and waits for promotion") in told(project)


@pytest.mark.parametrize(
    ("days", "things"), [(29, []), (30, ["agents 1 1"]), (59, ["agents 1 1"]), (60, ["agents 1 2"])]
)
def test_an_old_champion_is_told_every_so_many_days(versions: MadeProject, days: int, things: list[str]) -> None:
    now = datetime.fromisoformat(promotions(versions.project)[-1].at) + timedelta(days=days, minutes=5)
    found = [one.thing for one in notices(versions.project, PARAMS, now) if one.event == "old champion"]
    assert found == things
