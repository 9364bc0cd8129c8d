"""Which rows that were forgotten a version was made with, by its own signed lineage.

The tag in MLflow that `forget` writes is for people; whoever writes MLflow's store can take it away.
"""

from __future__ import annotations

from flows.records.removal_log import ERASED, FORGOTTEN, RemovalLog
from flows.registry.versions import Version
from flows.workspace.project import Project
from pipeline.data.forgetting import forgotten_rows
from pipeline.versions.folder import EVIDENCE, LINEAGE, VersionFolder
from pipeline.versions.trace_index import SEPARATOR, lineage_rows

HOLDOUT = "holdout"  # as in pipeline.data.fates, which takes pandas along
FORGOTTEN_TAG = "switchtender.forgotten_rows"


def tagged_rows(version: Version) -> set[str]:
    """The ids that the tag names."""
    return set(version.tags.get(FORGOTTEN_TAG, "").replace(",", " ").replace(SEPARATOR, " ").split())


def forgotten_in(project: Project, folder: VersionFolder) -> tuple[str, ...]:
    """Ids of forgotten rows that taught a version, also through augmented ones, or were in the holdout that judged it.

    Raises:
        VerificationFailed: the removal log cannot be trusted.
        SwitchtenderError: the lineage cannot be read.
    """
    listed = set(forgotten_rows(project.root))
    unlisted = recorded_rows(RemovalLog(project)) - {one for one, _ in listed}
    held: set[str] = set()
    known: dict[str, set[str]] = {}
    for row in lineage_rows(folder.root / EVIDENCE / LINEAGE):
        known.setdefault(row.prompt_id, set()).add(row.text_sha256)
        if row.taught or row.split == HOLDOUT:
            held |= {row.prompt_id, *filter(None, row.parents.split(SEPARATOR))}
    taken = {one for one, text in listed if text in known.get(one, ())} | unlisted
    return tuple(sorted(taken & held))


def recorded_rows(removed: RemovalLog) -> set[str]:
    """Ids of every row that the signed log says was forgotten."""
    return {row for removal in removed.all if removal.kind in (FORGOTTEN, ERASED) for row in removal.rows}
