"""Which night made which version: what binds a number in MLflow to a signed provenance.

MLflow's rows can be edited by whoever writes its store; a number whose provenance is not the one noted here is not
that version.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from flows.records.signed_logs import REGISTRATIONS, SignedLogs, file_of, known_facts
from flows.workspace.project import Project


@dataclass(frozen=True)
class RegistrationEntry:
    """One version, by number in MLflow, and the sha256 of its signed provenance."""

    at: str
    version: str
    run_key: str
    provenance_sha256: str


def record_registrations(project: Project, made: Iterable[RegistrationEntry]) -> None:
    """Note versions, all or none."""
    file = file_of(project, REGISTRATIONS)
    SignedLogs(project).append([(file, asdict(entry)) for entry in made])


def registrations(project: Project) -> dict[str, RegistrationEntry]:
    """Every version that was ever registered, by number; none before a night of this release.

    Raises:
        VerificationFailed: a log is not as it was signed.
    """
    found = SignedLogs(project).entries(file_of(project, REGISTRATIONS))
    return {entry["version"]: known_facts(entry, RegistrationEntry) for entry in found}
