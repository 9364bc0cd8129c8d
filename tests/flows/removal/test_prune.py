"""`prune` on a project with two registered versions."""

from __future__ import annotations

import json
import shutil

import pytest
from removing import run, state
from sandbox import Sandbox

from flows.promotion import promotion
from flows.records.signed_logs import REF
from flows.registry.relocation import local
from flows.workspace.project import Project

LOGS = ("promotions", "registrations", "removals", "served")


def _never_served(project: Sandbox) -> None:
    """Rewrite the records as if only version 2 had ever been put into service, and each copy of their head."""
    import mlflow

    shutil.rmtree(project.root / "var/records")
    project.git("update-ref", "-d", REF)
    for path in project.root.glob("var/runs/*/run.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"head": ""}))
    client = mlflow.MlflowClient(f"sqlite:///{project.root / 'var/mlflow.db'}")
    client.delete_registered_model_alias("agent-router", "champion")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(promotion, "require_continued", lambda *_: None)
        promotion.promote(Project(project.root), "2", "not asked for any more")


def test_what_never_served_is_pruned_and_the_rest_stays_whole(project: Sandbox, left: str) -> None:
    _never_served(project)
    before = state(project)
    told = run(project, "prune", "--keep", "1", "--dry-run")
    assert state(project) == before
    done = run(project, "prune", "--keep", "1")
    assert done == told | {"dry_run": False}
    assert done["versions"] == ["1"]
    assert done["megabytes"] > 1
    one, two, logs = json.loads(project.run("verify", "--all", "--json").stdout)
    assert [finding["state"] for finding in one["findings"]] == ["pruned"]
    assert two["findings"] == []
    # The rewriting above is told: version 2 signed what the logs were in its night.
    assert {finding["path"] for finding in logs["findings"]} <= {f"{name}.jsonl" for name in LOGS}
    first = next((project.root / "var/runs").glob("*-0001"))
    assert [path.name for path in first.iterdir()] == ["run.json"]
    place = local(project.versions()[0].source)
    assert place is not None
    assert not place.exists()
    assert project.git("for-each-ref", f"refs/switchtender/runs/{first.name}")
    assert run(project, "prune", "--keep", "1")["versions"] == []
    traced = run(project, "trace", left)
    assert "1" in json.dumps(traced)


def test_what_served_or_is_recent_is_not_pruned(project: Sandbox) -> None:
    assert run(project, "prune", "--keep", "1")["versions"] == []
    _never_served(project)
    assert run(project, "prune", "--keep", "2")["versions"] == []
