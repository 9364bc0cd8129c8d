"""`nights`: a table for people, JSON for programs, and what to do next below."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_nights import MadeNight, make_night, project_in
from typer.testing import CliRunner

from flows.workspace.night_log import GATE_CLOSED
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError
from switchtender.app import app


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    return project_in(tmp_path)


def printed(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["nights", *arguments])
    if done.exception is not None:
        raise done.exception
    return done.stdout


def test_nights_are_told_with_what_to_do_next(project: Project) -> None:
    assert "No night yet" in printed()
    make_night(project, MadeNight(1, version="1", value=0.712))
    make_night(project, MadeNight(2, GATE_CLOSED, "gate not passed: micro_f1"))
    told = printed()
    assert "0.712" in told
    assert "registered: version 1, 2 min 03 s, 499 of 502 rows, 40 suspects" in told
    assert "gate closed: gate not passed: micro_f1" in told
    assert "2026-03-03 03:00 agents: its report (var/runs/nightly-" in told
    assert "says which gate and why" in told
    assert "1 older; --most 2 shows them all." in printed("--most", "1")


def test_metrics_for_a_monitor(project: Project) -> None:
    make_night(project, MadeNight(1, GATE_CLOSED))
    assert printed("--textfile", "night.prom") == ""
    told = (project.root / "night.prom").read_text()
    assert 'switchtender_night_last_result{result="gate closed",track="agents"} 1.0' in told


def test_as_json(project: Project) -> None:
    make_night(project, MadeNight(1, GATE_CLOSED, "gate not passed: micro_f1", value=0.5))
    make_night(project, MadeNight(2, track="models"))
    found = json.loads(printed("--json", "--track", "agents"))
    assert (found["older"], found["note"], len(found["nights"])) == (0, "", 1)
    assert found["nights"][0]["reason"] == "gate not passed: micro_f1"
    assert found["nights"][0]["figure"] == {"value": 0.5, "low": 0.47, "high": 0.52}
    with pytest.raises(InputError, match="unknown track"):
        printed("--track", "none")
