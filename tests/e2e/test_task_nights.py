"""Nights with `models.train.router: tasks`: trained, gated, registered, audited, replayed, and a candidate joins."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from planted_models import ask, chosen, night_with_newcomer, planted, planted_project
from sandbox import Sandbox

from flows.workspace.project import Project
from flows.workspace.runs import clone_of
from pipeline.runtime.tables import read_json
from pipeline.runtime.track import MODELS

# Fast twins: test_model_nights.py (the same track, another router) and tests/switchtender/verbs/test_tasks.py.
pytestmark = pytest.mark.heavy

PROMPTS = ["Write a lazy function that sorts a list of buoys", "Compose a loud poem about the storm for a wedding"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, prefect_address: str) -> Sandbox:
    """A project whose router discovers tasks, and pays for a dearer candidate only where that is beyond doubt."""
    place = tmp_path_factory.mktemp("tasks") / "a project"
    doubting = {"models__train__router": "tasks", "models__train__policy__doubt": 1.0}
    return planted_project(place, tiny_encoder, prefect_address, **doubting)


@pytest.fixture(scope="module")
def first(project: Sandbox) -> dict[str, Any]:
    return project.night()


@pytest.fixture(scope="module")
def joined(project: Sandbox, first: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The night that took in one candidate more."""
    return night_with_newcomer(project, tmp_path_factory.mktemp("later"))


def test_a_night_registers_a_router_that_found_the_kinds_of_prompts(project: Sandbox, first: dict[str, Any]) -> None:
    assert (first["track"], first["verdict"], first["version"]) == ("models", "passed", "1")
    assert chosen(project, "1", PROMPTS)[0] == ["coder", "poet"]
    assert ask(project, "route", PROMPTS[1], "--track", "models")["agents"] == ["poet"]
    tasks = ask(project, "tasks", "--track", "models")["tasks"]
    assert sum(task["size"] for task in tasks) == 225
    for task in tasks:
        kinds = {name.split("-")[0] for name in task["nearest"]}
        assert len(kinds) == 1
        best = {"code": "coder", "poem": "poet", "sum": "cheap"}[kinds.pop()]
        assert task["candidates"][0]["candidate"] == best


def test_the_policy_that_doubts_is_stored_and_told(project: Sandbox, first: dict[str, Any]) -> None:
    stages = clone_of(Project(project.root).on(MODELS), first["run_key"]) / MODELS.stages
    assert read_json(stages / MODELS.router / "router.json")["policy"] == {"kind": "best", "doubt": 1.0}
    metrics = read_json(stages / "evaluate/metrics.json")
    assert metrics["drift"]["prompts"] == 75
    assert metrics["drift"]["new"] <= 2
    error = metrics["systems"]["router"]["calibration_error"]
    assert error["low"] <= error["value"] < error["high"]


def test_the_report_shows_the_tasks_and_the_drift(project: Sandbox, first: dict[str, Any]) -> None:
    page = (project.root / first["report"]).read_text(encoding="utf-8")
    assert "The tasks that were discovered" in page
    assert "of 75 prompts of the holdout match no task" in page


def test_prompts_of_a_kind_of_their_own_are_drift(project: Sandbox, first: dict[str, Any], tmp_path: Path) -> None:
    strange = [f"ΔΕΝ καταλαβαίνω τίποτα από το κείμενο {i} που γράφεται εδώ" for i in range(5)]
    asked = pd.DataFrame({"prompt_id": [f"q{i}" for i in range(7)], "prompt": [*strange, *PROMPTS]})
    asked.to_csv(tmp_path / "asked.csv", index=False)
    page = tmp_path / "tasks.html"
    found = ask(project, "tasks", "--track", "models", "--prompts", str(tmp_path / "asked.csv"), "--html", str(page))
    assert (found["drift"]["prompts"], found["drift"]["new"]) == (7, 5)
    assert set(found["drift"]["clusters"][0]["prompt_ids"]) == {f"q{i}" for i in range(5)}
    assert "Prompts that match no task" in page.read_text(encoding="utf-8")


def test_audit_trace_and_verify_tell_of_it(project: Sandbox, first: dict[str, Any]) -> None:
    audit = ask(project, "audit", "champion", "--track", "models")
    assert all(word in json.dumps(audit) for word in (first["run_key"], "data/outcomes.csv"))
    assert ask(project, "verify", "1", "--track", "models")
    traced = ask(project, "trace", "poem-001", "--track", "models")
    assert [row["agents"] for row in traced["versions"]] == [["poet"]]


def test_a_replay_gives_the_same_bytes(project: Sandbox, first: dict[str, Any]) -> None:
    assert ask(project, "replay", "1", "--track", "models")["verdict"] == "identical"


def test_a_candidate_joins_without_training_and_changes_nothing_else(project: Sandbox, joined: dict[str, Any]) -> None:
    assert (joined["verdict"], joined["version"]) == ("passed", "2")
    prompts = sorted(set(planted()[0]["prompt"]))
    before, after = chosen(project, "1", prompts)[1], chosen(project, "2", prompts)[1]
    assert set(after) == {*before, "newcomer"}
    for name in before:
        np.testing.assert_array_equal(after[name], before[name])
    asked = ["Add up these nine invoices and tell me the total in pounds", *PROMPTS]
    assert chosen(project, "2", asked)[0] == ["newcomer", "coder", "poet"]
    run = read_json(project.root / "var/runs" / joined["run_key"] / "run.json")
    how = {stage: word for stage, _, word in run["timings"]}
    assert (how["models_train"], how["models_join"]) == ("unchanged", "ran")


def test_a_version_with_a_candidate_that_joined_replays_too(project: Sandbox, joined: dict[str, Any]) -> None:
    assert ask(project, "replay", "2", "--track", "models")["verdict"] == "identical"
