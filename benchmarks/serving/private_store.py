"""A private copy of a project with two more versions, whose answers tell which bytes gave them.

Each is the version in service over again (or another model folder) under its own number, signed anew; only the cost of
an agent differs, so that every answer shows by its cost whose `router.json` was read.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlparse

from flows.promotion.in_service import version_named
from flows.records.promotion_log import PROMOTED, Promotion, promotions, record_promotion
from flows.records.signed_logs import signer_of
from flows.registry.mlflow_store import Registry
from flows.registry.versions import CHAMPION, PROVENANCE_TAG, RUN_KEY, Version, opened, versions_of
from flows.workspace import runs
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import read_json, write_json
from pipeline.versions.folder import FOLDER, PROVENANCE, SIGNATURE, VersionFolder, digests
from pipeline.versions.provenance import Build, statement

_KEPT = (".git", ".dvc", "data", "params.yaml", "dvc.yaml", "dvc.lock")
_KEPT_OF_VAR = ("mlflow.db", "artifacts", "keys", "records", "dvc")
_PLACES = (
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("runs", "artifact_uri"),
    ("experiments", "artifact_location"),
    ("logged_models", "artifact_location"),
)
"""Where MLflow's store names files by their whole path."""
COSTS = (0.001, 0.002)
TAMPERED_COST = 0.007


@dataclass(frozen=True)
class Marked:
    """A registered version, and what one agent costs by it."""

    version: Version
    cost: float


def copied(project: Project, root: Path) -> Project:
    """The project's files, git repository, keys, logs, store and DVC objects at another place; no clone of a night.

    From here on this process and its children use the copy's store, whatever the environment named.

    Raises:
        InputError: the project's store is not a file under var.
    """
    if not project.mlflow_database.is_file():
        raise InputError(f"{project.mlflow_database} is missing; run a night there, or name another with --project")
    for folder, names in ((Path(), _KEPT), (Path("var"), _KEPT_OF_VAR)):
        for name in names:
            source, target = project.root / folder / name, root / folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, symlinks=True)
            elif source.exists():
                shutil.copy2(source, target)
    copy = Project(root)
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{copy.mlflow_database}"
    with closing(sqlite3.connect(copy.mlflow_database)) as store, store:
        for table, column in _PLACES:
            query = f"update {table} set {column} = replace({column}, ?, ?)"
            store.execute(query, (project.root.resolve().as_uri(), root.as_uri()))
    return copy


def add_versions(project: Project, model: Path | None) -> list[Marked]:
    """Two versions with marked costs, out of the one in service; with `model`, they answer by that folder.

    Raises:
        InputError: no version is in service.
    """
    base = version_named(project, versions_of(project), CHAMPION)
    return [_added(project, base, model, f"load-test-{number}", cost) for number, cost in enumerate(COSTS, start=1)]


def _added(project: Project, base: Version, model: Path | None, run_key: str, cost: float) -> Marked:
    place = project.artifacts / run_key
    with opened(base) as folder:
        shutil.copytree(folder.root.parent.parent, place)
    copy = VersionFolder(place / "artifacts" / FOLDER)
    if model is not None:
        shutil.rmtree(copy.model)
        shutil.copytree(model, copy.model)
    set_costs(copy, cost)
    _sign(project, copy, run_key)
    registry = Registry(project, versions_of(project).model)
    tags = {**base.tags, RUN_KEY: run_key, PROVENANCE_TAG: copy.provenance_sha256()}
    registry.client.create_model_version(registry.model, place.as_uri(), tags=tags)
    found = versions_of(project).of_run(run_key)
    assert found is not None
    return Marked(found, cost)


def _sign(project: Project, folder: VersionFolder, run_key: str) -> None:
    known = folder.provenance()
    build = Build(
        run_key, known.commit, known.params, known.environment, known.materials, known.started, known.ended, "load-test"
    )
    (folder.root / PROVENANCE).write_bytes(statement(build, digests(folder.root)))
    folder.signature.unlink()
    signer_of(project).sign(folder.root, folder.root.parent / SIGNATURE)


def set_costs(folder: VersionFolder, cost: float) -> None:
    """Let every agent of a version cost so much; done to a signed version, this is tampering."""
    path = folder.model / "router.json"
    description = read_json(path)
    write_json({**description, "costs": [cost] * len(description["candidates"])}, path)


def folder_of(version: Version) -> VersionFolder:
    """Where a version's files are."""
    return VersionFolder(Path(unquote(urlparse(version.source).path)) / "artifacts" / FOLDER)


def point_at(project: Project, marked: Marked) -> None:
    """Say in the signed promotion log that a version serves, though nothing was proved: `promote` would refuse it."""
    before = promotions(project)[-1].version_to
    digest = marked.version.tags[PROVENANCE_TAG]
    record_promotion(
        project, Promotion(runs.now(), "load test", PROMOTED, before, marked.version.version, "tampered", digest, True)
    )
    Registry(project, versions_of(project).model).set_alias(CHAMPION, marked.version.version)
