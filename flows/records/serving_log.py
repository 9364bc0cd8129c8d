"""Which version answered, and when: one entry for each swap of what serves. An alias's history is not what answered.

`server` says which one: `command` is the command line and MLflow's own loader, which follow a promotion at once;
a running service writes under its own name when it has swapped.
"""

from __future__ import annotations

from dataclasses import dataclass

from flows.records.signed_logs import COMMAND, SERVED, SignedLogs, file_of, signer_of
from flows.workspace import runs
from flows.workspace.project import Project
from pipeline.runtime.plain import JsonObject


@dataclass(frozen=True)
class ServingPeriod:
    """One stretch of time in which a version answered; `until` is empty while it still does."""

    version: str
    server: str
    since: str
    until: str


def swap(version: str, provenance_sha256: str, server: str = COMMAND) -> JsonObject:
    """The entry that from now on this version answers; with an empty version, that the server stopped."""
    return {"at": runs.now(), "server": server, "version": version, "provenance_sha256": provenance_sha256}


def record_swap(project: Project, version: str, provenance_sha256: str, server: str) -> None:
    """Note what a service answers with. One that holds no private key writes what the next signed act takes along."""
    logs, file = SignedLogs(project), file_of(project, SERVED)
    if signer_of(project).signs_unattended:
        logs.append([(file, swap(version, provenance_sha256, server))])
    else:
        logs.append_unsigned(file, swap(version, provenance_sha256, server))


def serving_periods(project: Project) -> list[ServingPeriod]:
    """Every stretch, oldest first.

    Raises:
        VerificationFailed: the log is broken.
    """
    found: list[ServingPeriod] = []
    open_at: dict[str, int] = {}
    for entry in SignedLogs(project).entries(file_of(project, SERVED)):
        last = open_at.pop(entry["server"], None)
        if last is not None:
            before = found[last]
            found[last] = ServingPeriod(before.version, before.server, before.since, entry["at"])
        if entry["version"]:
            open_at[entry["server"]] = len(found)
            found.append(ServingPeriod(entry["version"], entry["server"], entry["at"], ""))
    return found
