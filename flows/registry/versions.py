"""Registered versions, read straight from MLflow's store and never written: rows, tags, aliases and files.

MLflow's own client writes where it reads (a folder, a file beside the model), and takes a second to import. So its
tables are read read-only, in SQLite or PostgreSQL; a store behind HTTP is asked through its client.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from flows.registry.relocation import ROOT_QUERY, artifact_root, local, refuse_foreign_store
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, SwitchtenderError, none_in_service, nothing_registered, one_line
from pipeline.runtime.params import Section
from pipeline.versions.folder import FOLDER, VersionFolder

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
RUN_KEY, PROVENANCE_TAG = "switchtender.run_key", "switchtender.provenance_sha256"


class RegisterParams(Section):
    """Under which name versions are registered, and whether the first one serves at once."""

    model: str = Field(min_length=1)
    first_becomes_champion: bool


@dataclass(frozen=True)
class Version:
    """One registered version, with the facts that our own tags carry; `source` is where its files are."""

    version: str
    run_key: str
    mlflow_run: str
    source: str
    tags: dict[str, str]
    aliases: tuple[str, ...]


class Versions:
    """All versions of one model, as they were at the time of asking, oldest first.

    Raises on making: InputError where nothing was ever registered, SwitchtenderError where the store cannot be read.
    """

    def __init__(self, project: Project, model: str) -> None:
        self.project = project
        self.model = model
        self.all = _read(project, model)
        self._by_number = {version.version: version for version in self.all}

    def at(self, alias: str) -> Version | None:
        """The version that an alias names in MLflow, or None where it names none."""
        return next((version for version in self.all if alias in version.aliases), None)

    def none_at(self, alias: str) -> InputError:
        """What is said wherever the version at an alias is asked for and there is none."""
        if not self.all:
            return self.none()
        if alias == CHAMPION:
            return none_in_service(self.project.night_command)
        return InputError(f"no version has the alias '{alias}'; see 'switchtender status'")

    def none(self, why: str = "") -> InputError:
        """What is said wherever a version is asked for and there is none at all; `why` where that is known."""
        return nothing_registered(why, self.project.night_command)

    def of_run(self, run_key: str) -> Version | None:
        """The version that a run key registered, if it did."""
        return next((version for version in self.all if version.run_key == run_key), None)

    def has(self, number: str) -> bool:
        """Whether there is a version of this number."""
        return number in self._by_number

    def number(self, number: str) -> Version:
        """One version by number.

        Raises:
            InputError: there is no such version.
        """
        if not self.all:
            raise self.none()
        if number not in self._by_number:
            known = ", ".join(list(self._by_number)[-5:]) or "none"
            if (named := self.at(number)) is not None:
                raise InputError(f"{number} is an alias; give the number, which is {named.version} today")
            raise InputError(
                f"there is no version {number} of {self.model} (latest: {known}); see 'switchtender status'"
            )
        return self._by_number[number]


def versions_of(project: Project) -> Versions:
    """The versions of the model that params.yaml names."""
    return Versions(project, project.params("register", RegisterParams).model)


def registered_keys(project: Project) -> set[str]:
    """The run keys of all versions; none where there is no store yet.

    Raises:
        SwitchtenderError: a store cannot be read.
    """
    return {version.run_key for version in versions_of(project).all} if project.has_store else set()


@contextmanager
def opened(version: Version) -> Iterator[VersionFolder]:
    """A version's folder: in place where it is on this machine, else a copy that is removed afterwards.

    Raises:
        SwitchtenderError: a store elsewhere cannot be reached.
    """
    place = local(version.source)
    if place is not None:
        yield VersionFolder(_artifacts(place) / FOLDER)
        return
    from mlflow.exceptions import MlflowException

    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        try:
            copy = mlflow.artifacts.download_artifacts(artifact_uri=version.source, dst_path=folder)
        except (MlflowException, OSError) as error:
            raise SwitchtenderError(
                f"version {version.version} cannot be fetched ({one_line(error, 200)}); try again"
            ) from error
        yield VersionFolder(_artifacts(Path(copy)) / FOLDER)


def _artifacts(model: Path) -> Path:
    """MLflow's pyfunc keeps what a model was given under `artifacts/`."""
    return model / "artifacts"


def _read(project: Project, model: str) -> list[Version]:
    if project.tracking_uri.startswith(("http://", "https://")):
        return _through_client(project, model)
    if not project.has_store:
        raise nothing_registered("MLflow's store is not there", project.night_command)
    refuse_foreign_store(project)
    return _from_tables(project, model)


_PREPARED = {
    True: "select 1 from sqlite_master where name = 'model_versions'",
    False: "select 1 from information_schema.tables where table_name = 'model_versions'",
}
"""Whether MLflow's tables are there (True: in SQLite); a store that nobody has used yet has none."""
_TABLES = {
    "root": ROOT_QUERY,
    "versions": "select version, run_id, source from model_versions "
    "where name = :model and current_stage != 'Deleted_Internal' order by version",
    "tags": "select version, key, value from model_version_tags where name = :model",
    "aliases": "select version, alias from registered_model_aliases where name = :model order by alias",
}


def _from_tables(project: Project, model: str) -> list[Version]:
    """The versions from MLflow's own tables, without its client."""
    with _asking(project) as ask:
        if not list(ask(_PREPARED[project.store_file is not None], {})):
            return []
        rows = {name: list(ask(query, {"model": model})) for name, query in _TABLES.items()}
    tags: dict[int, dict[str, str]] = {}
    for number, key, value in rows["tags"]:
        tags.setdefault(int(number), {})[key] = value
    named = {
        int(number): tuple(a for n, a in rows["aliases"] if int(n) == int(number)) for number, _ in rows["aliases"]
    }
    root = artifact_root(project, str(rows["root"][0][0]) if rows["root"] else "")
    return [
        _version(number, str(run), root.here(str(source)), tags.get(int(number), {}), named.get(int(number), ()))
        for number, run, source in rows["versions"]
    ]


@contextmanager
def _asking(project: Project) -> Iterator[Callable[[str, dict[str, str]], Iterable[Any]]]:
    """A way to query the store that cannot write: SQLite opened with mode=ro, PostgreSQL in read-only transactions.

    Raises:
        SwitchtenderError: the store cannot be read.
    """
    path = project.store_file
    if path is not None:
        try:
            # A plain connect may write: it would create a store that is not there.
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
                yield lambda query, values: connection.execute(query, values)
        except sqlite3.Error as error:
            raise _unreadable(str(path), error) from error
        return
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError
    from sqlalchemy.pool import NullPool

    try:
        # One question a connection: a pool would keep them open after it.
        options = {"postgresql_readonly": True}
        engine = create_engine(project.tracking_uri, execution_options=options, poolclass=NullPool)
        with engine.connect() as other:
            yield lambda query, values: other.execute(text(query), values)
    except ModuleNotFoundError as error:
        raise SwitchtenderError(
            f"the registry's driver {error.name} is not installed; pip install -c constraints.txt -e '.[postgresql]'"
        ) from error
    except SQLAlchemyError as error:
        raise _unreadable("MLflow's store", error) from error


def _through_client(project: Project, model: str) -> list[Version]:
    """The versions through MLflow's client, for a store behind HTTP."""
    project.enter_environment()
    from mlflow.exceptions import MlflowException

    import mlflow

    try:
        client = mlflow.MlflowClient(project.tracking_uri)
        aliases = client.get_registered_model(model).aliases
        found = client.search_model_versions(f"name = '{model}'", max_results=10_000)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return []
        raise _unreadable("MLflow's store", error) from error
    named = {
        number: tuple(sorted(a for a, n in aliases.items() if str(n) == number))
        for number in map(str, aliases.values())
    }
    rows = sorted(found, key=lambda row: int(row.version))
    return [
        _version(row.version, str(row.run_id), str(row.source), dict(row.tags), named.get(str(row.version), ()))
        for row in rows
    ]


def _version(number: Any, run: str, source: str, tags: dict[str, str], aliases: tuple[str, ...]) -> Version:
    return Version(str(number), tags.get(RUN_KEY, ""), run, source, tags, aliases)


def _unreadable(what: str, error: Exception) -> SwitchtenderError:
    return SwitchtenderError(f"{what} cannot be read ({one_line(error, 200)}); try 'switchtender doctor'")
