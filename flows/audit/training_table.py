"""The table that a version learnt from, byte for byte: as it lies here, or fetched by its recorded commit."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.audit.replay import prepare
from flows.promotion.in_service import version_named
from flows.registry.versions import opened, versions_of
from flows.workspace.project import Project
from flows.workspace.runs import clone_of
from pipeline.runtime.tables import sha256_file
from pipeline.versions.provenance import DATA


@contextmanager
def recorded_table(project: Project, which: str) -> Iterator[Path]:
    """The table of a version number or alias: the project's, where it is still the same, else the run's, else a copy
    out of git and DVC's remote that is removed afterwards.

    Raises:
        InputError: there is no such version.
        VerificationFailed: it is nowhere as it was recorded.
    """
    version = version_named(project, versions_of(project), which)
    with opened(version) as folder:
        provenance = folder.provenance()
    recorded = {material.name: material.digest.get("sha256") for material in provenance.of(DATA)}
    for root in (project.root, clone_of(project, version.run_key)):
        own = Project(root, project.track)
        table = own.table if (root / "params.yaml").is_file() else Path()
        if (root / table).is_file() and sha256_file(root / table) == recorded.get(table.as_posix()):
            yield root / table
            return
    scratch_root = project.var / "scratch"
    scratch_root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch_root) as scratch:
        clone = prepare(project, version, provenance, Path(scratch))
        yield clone / Project(clone, project.track).table
