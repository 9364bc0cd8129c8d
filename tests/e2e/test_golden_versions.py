"""Versions that earlier releases registered are still verified, audited and replayed by today's code."""

from __future__ import annotations

import json
import shutil

import pytest
from sandbox import ROOT, Sandbox, copy_project

import mlflow
from flows.audit.replay import replay
from flows.records.removal_log import RemovalLog
from flows.registry.verification import check_version
from flows.registry.versions import Versions
from flows.workspace.project import Project
from pipeline.versions.replay_comparison import IDENTICAL, WITHIN_BOUND

pytestmark = pytest.mark.nights  # it replays a night, and evens out the two processes
GOLDEN = ROOT / "tests" / "golden"
MODEL = "agent-router"
RELEASES = sorted(path.parent.name for path in GOLDEN.glob("*/facts.json"))


def test_there_is_a_golden_version() -> None:
    assert RELEASES


@pytest.fixture(scope="module", params=RELEASES)
def restored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Today's project with one golden version registered in it."""
    golden = GOLDEN / request.param
    facts = json.loads((golden / "facts.json").read_text())
    sandbox = copy_project(tmp_path_factory.mktemp("golden") / "project")
    project = Project(sandbox.root)
    shutil.copytree(golden / "remote", project.dvc_remote, dirs_exist_ok=True)
    shutil.copytree(golden / "remote", project.dvc_cache, dirs_exist_ok=True)
    shutil.copyfile(golden / "signing.pub", project.var / "keys" / "signing.pub")
    shutil.copytree(golden / "artifact", project.artifacts / "golden")
    sandbox.git("fetch", "--quiet", str(golden / "run.bundle"), "refs/switchtender/runs/*:refs/switchtender/runs/*")
    client = mlflow.MlflowClient(f"sqlite:///{project.mlflow_database}")
    client.create_registered_model(MODEL)
    client.create_model_version(MODEL, (project.artifacts / "golden").as_uri(), tags=facts["tags"])
    return project


def test_it_verifies(restored: Project) -> None:
    version = Versions(restored, MODEL).number("1")
    verified = check_version(restored, version, RemovalLog(restored))
    assert verified.findings == ()
    assert verified.checked > 60


def test_it_routes_and_is_audited(restored: Project) -> None:
    sandbox = Sandbox(restored.root)
    routed = json.loads(sandbox.run("route", "Translate this letter into Dutch.", "--version", "1", "--json").stdout)
    assert "translation" in routed["agents"]
    audit = json.loads(sandbox.run("audit", "1", "--json").stdout)
    assert audit["run"]["key"] == Versions(restored, MODEL).number("1").run_key


@pytest.mark.heavy  # fast twin: that of test_two_nights_audited, by the same code
def test_it_replays(restored: Project) -> None:
    certificate, _ = replay(restored, "1", lambda _: None)
    assert certificate.verdict in (IDENTICAL, WITHIN_BOUND)
    assert certificate.drift.agreement > 0.99
