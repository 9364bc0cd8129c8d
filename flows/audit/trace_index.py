"""Keeping the index of `trace`, var/trace.db: one version after each registration, or all of them again.

It holds nothing that the versions' own lineage tables do not say, but for pruned versions: their tables are gone, so
only the index still knows their rows. Prune indexes a version before removing it, and a rebuild carries it over.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from flows.records.registration_log import registrations
from flows.records.removal_log import PRUNED, RemovalLog
from flows.records.signed_logs import signer_of
from flows.registry.versions import PROVENANCE_TAG, Version, opened, versions_of
from flows.workspace.project import Project
from pipeline.runtime.errors import HeldByAnotherRun, SwitchtenderError, VerificationFailed
from pipeline.runtime.tables import sha256_file
from pipeline.versions.commands import see_verify
from pipeline.versions.folder import EVIDENCE, LINEAGE, VersionFolder
from pipeline.versions.signing import Signer
from pipeline.versions.trace_index import (
    Indexed,
    TraceIndex,
    lineage_rows,
    read_index,
    sign_index,
    state_of,
    write_index,
)

_PATIENCE = 600


@dataclass(frozen=True)
class Rebuilt:
    """How many versions the new index holds, and which of them it has from the old one."""

    versions: int
    carried: tuple[str, ...]


def index_signer(project: Project) -> Signer | None:
    """Who signs for the index; nobody with Sigstore, which would ask who one is at each night."""
    signer = signer_of(project)
    return signer if signer.params.method == "key" else None


def index_state(project: Project) -> str:
    """Whether the index is there, and as it was signed."""
    return state_of(project.trace_index, index_signer(project))


def adopt_index(project: Project) -> None:
    """Sign for an index of the release before, as long as no version of this release is in the signed log."""
    signer = index_signer(project)
    if signer is not None and not registrations(project):
        sign_index(project.trace_index, signer)


def update_index(project: Project, version: Version) -> None:
    """Take one version into the index. Again, it changes nothing. A damaged index is set aside and begun anew; reads
    stay right, and `rebuild_index` brings the other versions back.

    Raises:
        VerificationFailed: the version's lineage is missing or not as recorded.
        SwitchtenderError: the index cannot be written.
    """
    path = project.trace_index
    with _writing(project):
        with read_index(path, index_signer(project)) as index:
            known = index.versions().get(version.version)
        if known is None or known.provenance_sha256 != version.tags.get(PROVENANCE_TAG, ""):
            write_index(path, lambda index: _add(index, version), index_signer(project))


def rebuild_index(project: Project) -> Rebuilt:
    """Build the index again from the versions' own lineage tables. Pruned versions have none any more: their rows are
    carried over from the old index, unless that is missing or damaged.

    Raises:
        VerificationFailed: a version's files are missing without having been pruned, or are not as recorded.
        SwitchtenderError: a store cannot be read, or the index cannot be written.
    """
    versions, removed = versions_of(project), RemovalLog(project)
    path = project.trace_index
    carried: list[str] = []

    def fill(index: TraceIndex) -> None:
        done = {version.version for version in versions.all if take_in(index, version, removed)}
        with read_index(path, index_signer(project)) as old:
            for number, known in sorted(old.versions().items(), key=lambda item: int(item[0])):
                if number not in done and removed.version(number, PRUNED):
                    index.add(known, (found.row for found in old.of_version(number)))
                    carried.append(number)

    with _writing(project):
        write_index(path, fill, index_signer(project), anew=True)
        with read_index(path, index_signer(project)) as index:
            return Rebuilt(len(index.versions()), tuple(carried))


def take_in(index: TraceIndex, version: Version, removed: RemovalLog) -> bool:
    """Add a version from its own lineage; False where it was pruned, so that there is none any more."""
    try:
        _add(index, version)
    except SwitchtenderError:
        if removed.version(version.version, PRUNED) is None:
            raise
        return False
    return True


def _add(index: TraceIndex, version: Version) -> None:
    with opened(version) as folder:
        if not folder.root.is_dir():
            raise VerificationFailed(
                f"the files of version {version.version} are missing, and it was not pruned; {see_verify(version)}"
            )
        index.add(_proved(version, folder), lineage_rows(folder.root / EVIDENCE / LINEAGE))


def _proved(version: Version, folder: VersionFolder) -> Indexed:
    """A version's entry, after its lineage was held against its provenance, and that against MLflow's tag."""
    try:
        lineage = sha256_file(folder.root / EVIDENCE / LINEAGE)
    except OSError:
        lineage = "nothing"
    provenance = folder.provenance_sha256()
    recorded = folder.provenance().subjects.get(f"{EVIDENCE}/{LINEAGE}")
    if lineage != recorded or provenance != version.tags.get(PROVENANCE_TAG):
        raise VerificationFailed(f"the lineage of version {version.version} is not as recorded; {see_verify(version)}")
    return Indexed(version.version, version.run_key, provenance, lineage)


@contextmanager
def _writing(project: Project) -> Iterator[None]:
    from filelock import FileLock, Timeout

    project.var.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(project.var / "trace.lock", timeout=_PATIENCE):
            yield
    except Timeout as error:
        raise HeldByAnotherRun(
            f"{project.trace_index} is being written by another run; run this again later"
        ) from error
