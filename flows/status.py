"""What is registered, what serves, and how the last night ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.promotion.promotion import in_service, named
from flows.registry.verification import proved
from flows.registry.versions import CHALLENGER, CHAMPION, PREVIOUS, Version, versions_of
from flows.workspace import runs
from flows.workspace.project import Project
from flows.workspace.runs import Run, clone_of
from pipeline.runtime.track import track_of


def status_of(project: Project) -> dict[str, Any]:
    """Versions by alias and the last finished night, as plain values.

    Raises:
        InputError: no store yet.
        SwitchtenderError: the store cannot be read.
    """
    versions = versions_of(project)
    serving = in_service(project, versions)
    champion = versions.number(serving.version) if serving.version else None
    listed = [(CHAMPION, champion), *((alias, versions.at(alias)) for alias in (CHALLENGER, PREVIOUS))]
    last = runs.latest_finished(project)
    return {
        "model": versions.model,
        "headline": project.track.headline,
        "versions": [_facts(alias, found) for alias, found in listed if found],
        "alias_moved_to": None if serving.agrees else serving.alias,
        "last_night": _night(project, last) if last else None,
    }


def _facts(alias: str, version: Version) -> dict[str, Any]:
    headline = track_of(version.run_key).headline
    return {
        "alias": alias,
        "version": version.version,
        "aliases": list(version.aliases),
        "run_key": version.run_key,
        headline: float(version.tags[headline]),
        "train_rows": int(version.tags["train_rows"]),
        "git_commit": version.tags["git_commit"],
        "router_sha256": version.tags["router_sha256"],
    }


def _night(project: Project, run: Run) -> dict[str, Any]:
    stages = clone_of(project, run.key) / project.track.stages
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


@contextmanager
def router_at(project: Project, which: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The router of a version number or alias, proved before it is used, and which version that is.

    Raises:
        InputError: there is no such version.
        VerificationFailed: its bytes are not what was signed.
    """
    found = named(project, versions_of(project), which)
    with proved(project, found) as folder:
        yield folder.model, {"version": found.version, "run_key": found.run_key}
