"""What was removed on purpose: pruned versions, erased rows, forgotten rows. Pruned or erased is not missing."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from flows.records.signed_logs import REMOVALS, SignedLogs, file_of, known_facts
from flows.workspace.project import Project
from pipeline.runtime.plain import JsonObject

PRUNED, ERASED, FORGOTTEN = "pruned", "erased", "forgotten"


@dataclass(frozen=True)
class RemovalEntry:
    """One act: which versions, DVC objects (md5), dataset rows and files of versions it concerned, by whom and why.

    Files are paths from the project's folder; an entry of 0.1.0 has none.
    """

    at: str
    who: str
    kind: str
    reason: str
    versions: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    rows: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def record_removal(project: Project, removal: RemovalEntry) -> None:
    """Write it down before it is done, so that a removal cut short is known as one. Call under a lock."""
    SignedLogs(project).append([(file_of(project, REMOVALS), asdict(removal))])


def removals(project: Project) -> list[RemovalEntry]:
    """Every removal, oldest first.

    Raises:
        VerificationFailed: the log is broken.
    """
    return [_removal(entry) for entry in SignedLogs(project).entries(file_of(project, REMOVALS))]


def _removal(entry: JsonObject) -> RemovalEntry:
    lists = {name: tuple(entry.get(name, ())) for name in ("versions", "objects", "rows", "files")}
    return known_facts({**entry, **lists}, RemovalEntry)


class RemovalLog:
    """Looks up why something is not there."""

    def __init__(self, project: Project) -> None:
        self.all = removals(project)
        self._files = {path: removal for removal in self.all for path in removal.files}
        self._objects = {md5: removal for removal in self.all for md5 in removal.objects}

    def object(self, md5: str) -> RemovalEntry | None:
        """Why a DVC object is gone, or None where it was never removed on purpose."""
        return self._objects.get(md5)

    def file(self, path: str) -> RemovalEntry | None:
        """Why a file of a version is gone, by its path from the project's folder; None where nobody removed it."""
        return self._files.get(path)

    def version(self, number: str, kind: str) -> RemovalEntry | None:
        """The last removal of one kind that concerned a version."""
        return next((r for r in reversed(self.all) if r.kind == kind and number in r.versions), None)
