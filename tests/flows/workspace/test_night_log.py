"""The log of nights: what is noted when one begins, ends, raises, or is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.workspace.night_log import (
    CUT_SHORT,
    FAILED,
    MOST_ATTEMPTS,
    NOTHING_NEW,
    PASSED_OVER,
    REGISTERED,
    SETTLED,
    CutShort,
    is_settled,
    logged,
    nights,
)
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, SwitchtenderError
from pipeline.runtime.track import MODELS

DATE = "2026-03-01T03:00:00+00:00"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def tried(project: Project, result: str, scheduled: str = DATE) -> None:
    with logged(project, scheduled) as entry:
        entry.ended(result)


def test_a_night_is_one_entry_from_beginning_to_end(project: Project) -> None:
    with logged(project) as entry:
        entry.works_on("nightly-2026-03-01-0001")
        (under_way,) = nights(project)
        assert (under_way.result, under_way.ended) == ("", "")
        entry.ended(REGISTERED, version="3")
    (night,) = nights(project)
    assert (night.run_key, night.result, night.version) == ("nightly-2026-03-01-0001", REGISTERED, "3")
    assert night.started < night.ended


@pytest.mark.parametrize(
    ("error", "result", "reason"),
    [
        (SwitchtenderError("stage train failed\n  at once"), FAILED, "stage train failed at once"),
        (OSError(28, "No space left on device"), FAILED, "[Errno 28] No space left on device"),
        (CutShort("Prefect's server does not answer"), CUT_SHORT, "Prefect's server does not answer"),
        (KeyboardInterrupt(), CUT_SHORT, "KeyboardInterrupt"),
        (SystemExit(1), CUT_SHORT, "SystemExit"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_why_a_night_ended_early_is_noted_and_raised_on(
    project: Project, error: BaseException, result: str, reason: str
) -> None:
    with pytest.raises(type(error)), logged(project):
        raise error
    (night,) = nights(project)
    assert (night.result, night.reason) == (result, reason)


@pytest.mark.parametrize("result", [REGISTERED, NOTHING_NEW, FAILED, PASSED_OVER, CUT_SHORT, ""])
def test_a_date_is_settled_by_its_own_night_only(project: Project, result: str) -> None:
    tried(project, result)
    assert is_settled(project, DATE) == (result in SETTLED)
    assert not is_settled(project, DATE.replace("03-01", "03-02"))
    assert not is_settled(project.on(MODELS), DATE)


def test_a_date_whose_nights_are_always_killed_is_left_to_a_person(project: Project) -> None:
    for attempt in range(MOST_ATTEMPTS):
        assert not is_settled(project, DATE), attempt
        tried(project, "")
    assert is_settled(project, DATE)


@pytest.mark.parametrize(
    "end", ['{"track": "agents", "started": "2026-', "\0\0\0", '["a"]\n', '{"track": 1}\n', "{}\n"]
)
def test_what_a_kill_left_of_a_line_costs_no_other_entry(project: Project, end: str) -> None:
    tried(project, REGISTERED)
    path = project.var / "nights.jsonl"
    path.write_text(path.read_text() + end)
    tried(project, FAILED)
    assert [night.result for night in nights(project)] == [REGISTERED, FAILED]


def test_a_key_of_a_later_release_costs_no_entry(project: Project) -> None:
    tried(project, REGISTERED)
    path = project.var / "nights.jsonl"
    path.write_text(path.read_text().replace('"track"', '"host": 7, "track"'))
    assert is_settled(project, DATE)


@pytest.mark.parametrize("reason", ["a\u2028b\x85c", "name \udcff of a file", "\0"])
def test_any_reason_is_kept_in_one_line(project: Project, reason: str) -> None:
    for _ in range(2):
        with logged(project) as entry:
            entry.ended(FAILED, reason)
    assert [night.reason for night in nights(project)] == [reason] * 2


def test_a_log_that_cannot_be_read_is_not_an_empty_one(project: Project) -> None:
    (project.var / "nights.jsonl").mkdir(parents=True)
    with pytest.raises(InputError, match="a folder, not a file"):
        is_settled(project, DATE)
