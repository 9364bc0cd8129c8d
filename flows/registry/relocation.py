"""MLflow's tables after a project was copied or moved: they hold whole addresses of artifacts.

A store of the project's own is read as if its artifacts lay beside it, wherever the rows say they are, and its rows are
rewritten before anything is written. So a copy never reaches into the project that it was made from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlparse

from flows.workspace.own_files import refuse_foreign
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, SwitchtenderError, one_line

if TYPE_CHECKING:
    from sqlalchemy import Connection

EXPERIMENT = "nightly"
ROOT_QUERY = f"select artifact_location from experiments where name = '{EXPERIMENT}'"  # noqa: S608 (names are constants, values are bound)
_COLUMNS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


@dataclass(frozen=True)
class ArtifactRoot:
    """Under which address the rows have the artifacts, and where those of this project lie now."""

    recorded: str
    own: str

    @property
    def moved(self) -> bool:
        return bool(self.recorded) and self.recorded != self.own

    def here(self, address: str) -> str:
        """An address of the rows, under the project's own folder; one that is not under their root stays."""
        rest = address.removeprefix(self.recorded)
        under = self.recorded and rest != address and (not rest or rest.startswith("/"))
        return self.own + rest if under else address


def artifact_root(project: Project, recorded: str) -> ArtifactRoot:
    """The root that the rows name, beside the project's; in a store that is not the project's own they are the same."""
    own = project.artifacts.resolve().as_uri()
    return ArtifactRoot(recorded, own if project.owns_store else recorded)


def local(address: str) -> Path | None:
    """The folder that an artifact address names on this machine; None where it is elsewhere."""
    place = urlparse(address)
    return Path(unquote(place.path)) if place.scheme in ("", "file") else None


def refuse_foreign_store(project: Project) -> None:
    """Refuse a store that is a file of another project.

    Raises:
        InputError: names that project.
    """
    file = project.store_file
    if file is not None:
        refuse_foreign(project, file, f"MLflow's store {file}", "unset MLFLOW_TRACKING_URI, or name your own")


def rows_name(project: Project) -> ArtifactRoot:
    """Under which address the rows of the project's own store have the artifacts, without a change.

    Raises:
        SwitchtenderError: the store cannot be read.
    """
    import sqlite3
    from contextlib import closing

    try:
        with closing(sqlite3.connect(f"{project.mlflow_database.as_uri()}?mode=ro", uri=True)) as store:
            known = store.execute("select count(*) from sqlite_master where name = 'experiments'").fetchone()[0]
            found = store.execute(ROOT_QUERY).fetchone() if known else None
    except sqlite3.Error as error:
        raise SwitchtenderError(
            f"{project.mlflow_database} cannot be read ({one_line(error, 100)}); put a copy of the registry back"
        ) from error
    return artifact_root(project, str(found[0]) if found else "")


def relocate_rows(project: Project, *, moved_for_good: bool = False) -> int:
    """Rewrite the rows of a store to where the project lies now; returns how many were changed. Again, none.

    Of a store that is not the project's own the rows are rewritten only with `moved_for_good`, and only where nothing
    is left in the place that they name: another checkout may use it.

    Raises:
        InputError: the store is asked over HTTP, or the place that its rows name is still in use.
    """
    # Asked before each use of MLflow's client, and almost always true: one query, and no engine is made.
    if project.owns_store and not (project.mlflow_database.exists() and rows_name(project).moved):
        return 0
    if not project.tracking_uri.startswith(("sqlite", "postgresql")):
        if moved_for_good:
            raise InputError("the registry is asked over HTTP; rewrite its artifact addresses on its own machine")
        return 0
    if not (project.owns_store or moved_for_good):
        return 0
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine(project.tracking_uri, poolclass=NullPool)
    with engine.begin() as connection:
        return _rewrite(project, connection)


def _rewrite(project: Project, connection: Connection) -> int:
    from sqlalchemy import inspect, text

    tables = set(inspect(connection).get_table_names())
    recorded = connection.execute(text(ROOT_QUERY)).scalar() if "experiments" in tables else None
    root = ArtifactRoot(str(recorded or ""), project.artifacts.resolve().as_uri())
    if not root.moved:
        return 0
    place = local(root.recorded)
    if not project.owns_store and (place is None or place.exists()):
        raise InputError(f"the registry's artifacts are in {root.recorded}, which is not this project's; they stay")
    changed = 0
    for table, column in _COLUMNS:
        # By prefix: an address may hold the root's text a second time, further on.
        query = (
            f"update {table} set {column} = :own || substr({column}, length(:recorded) + 1) "  # noqa: S608 (names are constants, values are bound)
            f"where {column} = :recorded or substr({column}, 1, length(:recorded) + 1) = :recorded || '/'"
        )
        done = connection.execute(text(query), {"own": root.own, "recorded": root.recorded})
        changed += done.rowcount
    return changed
