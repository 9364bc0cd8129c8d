"""The only place that touches MLflow: runs, versions, aliases."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import Field

from flows.project import Project
from pipeline.champion import Champion, Choices
from pipeline.errors import SwitchtenderError
from pipeline.outcomes import split_agents
from pipeline.params import Section

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "nightly"
CHAMPION, CHALLENGER = "champion", "challenger"
RUN_KEY = "switchtender.run_key"
MODEL_FILE = Path("mlflow/agent_router.py")
RUNTIME = (
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "safetensors",
    "scikit-learn",
    "scipy",
    "torch",
    "transformers",
)


class RegisterParams(Section):
    """Under which name versions are registered, and whether the first one serves at once."""

    model: str = Field(min_length=1)
    first_becomes_champion: bool


@dataclass(frozen=True)
class Version:
    """One registered version, with the facts that our own tags carry."""

    version: str
    run_key: str
    mlflow_run: str
    tags: dict[str, str]
    aliases: tuple[str, ...]


class Registry:
    """MLflow's store as this project uses it.

    Raises everywhere: SwitchtenderError where the store cannot be reached; "there is none" is None.
    """

    def __init__(self, project: Project, model: str) -> None:
        project.enter_environment()
        self.project = project
        self.model = model

    @property
    def client(self) -> MlflowClient:
        import mlflow

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.ERROR)
        mlflow.set_tracking_uri(self.project.tracking_uri)
        return mlflow.MlflowClient()

    def prepare(self) -> None:
        """Create the database and the experiment, once; several first users at once would crash."""
        self.project.var.mkdir(parents=True, exist_ok=True)
        with self.reaching():
            client = self.client
            if client.get_experiment_by_name(EXPERIMENT) is None:
                client.create_experiment(EXPERIMENT, artifact_location=self.project.artifacts.resolve().as_uri())

    def version_at(self, alias: str) -> Version | None:
        """The version that an alias names, or None where the alias or the model does not exist."""
        from mlflow.exceptions import MlflowException

        with self.reaching():
            try:
                found = self.client.get_model_version_by_alias(self.model, alias)
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise
        return self._version(found)

    def version_of_run(self, run_key: str) -> Version | None:
        """The version that a run key registered, if it did."""
        with self.reaching():
            found = self.client.search_model_versions(f"name = '{self.model}'", max_results=10_000)
        mine = [version for version in found if version.tags.get(RUN_KEY) == run_key]
        return self.version(str(mine[0].version)) if mine else None

    def version(self, number: str) -> Version:
        """One version by number, with its aliases."""
        with self.reaching():
            return self._version(self.client.get_model_version(self.model, number))

    def _version(self, found: Any) -> Version:
        with self.reaching():
            aliases = self.client.get_registered_model(self.model).aliases
        named = tuple(sorted(alias for alias, number in aliases.items() if str(number) == str(found.version)))
        tags = dict(found.tags)
        return Version(str(found.version), tags.get(RUN_KEY, ""), str(found.run_id), tags, named)

    def champion(self) -> tuple[Champion, Choices] | None:
        """The champion and its holdout choices as recorded at its registration; None where there is none.

        Raises:
            SwitchtenderError: there is a champion, and it cannot be read.
        """
        found = self.version_at(CHAMPION)
        if found is None:
            return None
        path = self.download(found, "lineage/predictions.parquet")
        try:
            rows = pd.read_parquet(path)
            champion = Champion(
                found.version, found.run_key, found.tags["router_sha256"], int(found.tags["train_rows"])
            )
            keys = zip(rows["prompt_id"], rows["text_sha256"], strict=True)
            return champion, Choices(dict(zip(keys, map(split_agents, rows["chosen"]), strict=True)))
        except (OSError, KeyError, ValueError) as error:
            raise SwitchtenderError(
                f"champion version {found.version} cannot be read ({error}); mend the store"
            ) from error

    def download(self, version: Version, path: str) -> Path:
        """A local copy of one of a version's artifacts.

        Raises:
            SwitchtenderError: it is not there or cannot be fetched.
        """
        with self.reaching(f"version {version.version}: {path}"):
            return Path(self.client.download_artifacts(version.mlflow_run, path))

    def router_folder(self, version: Version) -> Path:
        """The folder with a version's router."""
        import mlflow

        with self.reaching(f"version {version.version}"):
            folder = Path(mlflow.artifacts.download_artifacts(f"models:/{self.model}/{version.version}"))
        return folder / "artifacts" / "router"

    def find_run(self, run_key: str) -> str | None:
        """The MLflow run that a run key made, if any."""
        with self.reaching():
            experiment = self.client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                return None
            runs = self.client.search_runs([experiment.experiment_id], f"tags.`{RUN_KEY}` = '{run_key}'")
        return str(runs[0].info.run_id) if runs else None

    @contextmanager
    def reaching(self, what: str = "the registry") -> Iterator[None]:
        """Turn MLflow's many ways to fail into one line of ours."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise SwitchtenderError(
                f"{what} could not be read or written ({reason}); check with 'switchtender doctor'"
            ) from error


def pinned_requirements() -> list[str]:
    """What loading a version needs, at the versions installed here."""
    return [f"{name}=={metadata.version(name)}" for name in RUNTIME]


def read_summaries(stages: Path) -> dict[str, dict[str, Any]]:
    """Each stage's summary, by stage."""
    found = sorted(stages.glob("*/summary.json"))
    return {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in found}
