"""Which version answered, and when: one entry for each swap of what serves. An alias's history is not what answered.

`server` says which one: `command` is the command line and MLflow's own loader, which follow a promotion at once;
a running service writes under its own name when it has swapped.
"""

from __future__ import annotations

from dataclasses import dataclass

from filelock import FileLock

from flows.workspace import runs
from flows.workspace.project import Project
from pipeline.versions.hash_chain import append, entries, read_log

LOG = "served.jsonl"
COMMAND = "command"
_PATIENCE = 30
"""Seconds to wait for another writer."""


@dataclass(frozen=True)
class ServingPeriod:
    """One stretch of time in which a version answered; `until` is empty while it still does."""

    version: str
    server: str
    since: str
    until: str


def record_swap(project: Project, version: str, provenance_sha256: str, server: str = COMMAND) -> None:
    """Note that from now on this version answers; with an empty version, that the server stopped."""
    entry = {"at": runs.now(), "server": server, "version": version, "provenance_sha256": provenance_sha256}
    path = project.records / LOG
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock"), timeout=_PATIENCE):  # a service and a promotion write at the same time
        append(path, entry)


def serving_periods(project: Project) -> list[ServingPeriod]:
    """Every stretch, oldest first.

    Raises:
        VerificationFailed: the log is broken.
    """
    path = project.records / LOG
    found: list[ServingPeriod] = []
    open_at: dict[str, int] = {}
    for entry in entries(read_log(path), str(path)):
        last = open_at.pop(entry["server"], None)
        if last is not None:
            before = found[last]
            found[last] = ServingPeriod(before.version, before.server, before.since, entry["at"])
        if entry["version"]:
            open_at[entry["server"]] = len(found)
            found.append(ServingPeriod(entry["version"], entry["server"], entry["at"], ""))
    return found
