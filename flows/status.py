"""What is registered, what serves, and how the last night ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flows import runs
from flows.project import Project
from flows.registry import CHALLENGER, CHAMPION, RegisterParams, Registry, Version
from flows.runs import Run, clone_of
from pipeline.errors import InputError
from pipeline.params import read


def _registry(project: Project) -> Registry:
    if not project.mlflow_database.exists() and project.tracking_uri.startswith("sqlite"):
        raise InputError("nothing is registered yet (var/mlflow.db is not there); run 'make nightly' first")
    return Registry(project, read("register", RegisterParams, project.root / "params.yaml").model)


def status_of(project: Project) -> dict[str, Any]:
    """Versions by alias and the last finished night, as plain values.

    Raises:
        InputError: no store yet.
        SwitchtenderError: the store cannot be read.
    """
    registry = _registry(project)
    versions = [_facts(alias, found) for alias in (CHAMPION, CHALLENGER) if (found := registry.version_at(alias))]
    last = runs.latest_finished(project)
    return {"model": registry.model, "versions": versions, "last_night": _night(project, last) if last else None}


def _facts(alias: str, version: Version) -> dict[str, Any]:
    return {
        "alias": alias,
        "version": version.version,
        "aliases": list(version.aliases),
        "run_key": version.run_key,
        "micro_f1": float(version.tags["micro_f1"]),
        "train_rows": int(version.tags["train_rows"]),
        "git_commit": version.tags["git_commit"],
        "router_sha256": version.tags["router_sha256"],
    }


def _night(project: Project, run: Run) -> dict[str, Any]:
    stages = clone_of(project, run.key) / "var" / "stages"
    metrics = json.loads((stages / "evaluate" / "metrics.json").read_text(encoding="utf-8"))
    return {
        "run_key": run.key,
        "verdict": run.verdict,
        "version": run.version or None,
        "started": run.started,
        "ended": run.ended,
        "commit": run.commit,
        "gates": json.loads((stages / "gate" / "verdict.json").read_text(encoding="utf-8"))["gates"],
        "metrics": metrics["systems"]["router"],
        "report": run.report,
    }


def router_at(project: Project, which: str) -> tuple[Path, dict[str, Any]]:
    """The router folder of a version number or alias, and which version that is.

    Raises:
        InputError: there is no such version.
    """
    registry = _registry(project)
    found = registry.version(which) if which.isdigit() else registry.version_at(which)
    if found is None:
        raise InputError(f"no version has the alias '{which}'; see 'switchtender status'")
    return registry.router_folder(found), {"version": found.version, "run_key": found.run_key}
