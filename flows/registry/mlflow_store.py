"""MLflow's store: aliases, tags, runs, artifact places. `registration.py` writes nights, `versions.py` only reads."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from flows.registry.relocation import EXPERIMENT, local, refuse_foreign_store, relocate_rows
from flows.registry.versions import RUN_KEY
from flows.workspace.own_files import refuse_foreign
from flows.workspace.project import Project
from pipeline.runtime.errors import SwitchtenderError, one_line

if TYPE_CHECKING:
    from mlflow import MlflowClient

MODEL_FILE = Path("mlflow/agent_router.py")
# torch is not among them: what is registered answers by its ONNX encoder.
RUNTIME = (
    "numpy",
    "onnxruntime",
    "pandas",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "safetensors",
    "scikit-learn",
    "scipy",
    "tokenizers",
)


class Registry:
    """MLflow's store as this project uses it.

    Raises everywhere: SwitchtenderError where the store cannot be reached; "there is none" is None. On making:
    InputError where the store is another project's file.
    """

    def __init__(self, project: Project, model: str) -> None:
        refuse_foreign_store(project)
        project.enter_environment()
        self.project = project
        self.model = model

    @property
    def client(self) -> MlflowClient:
        """MLflow's client, once the rows say where the project lies now: it writes where they say."""
        import mlflow

        # What they would log with a traceback they raise too, and `reaching` says it in a line.
        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        mlflow.set_tracking_uri(self.project.tracking_uri)
        relocate_rows(self.project)
        return mlflow.MlflowClient()

    def prepare(self) -> None:
        """Create the database and the experiment, once; several first users at once would crash.

        Raises:
            InputError: the experiment keeps its artifacts in another project.
        """
        self.project.var.mkdir(parents=True, exist_ok=True)
        with self.reaching():
            client = self.client
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                client.create_experiment(EXPERIMENT, artifact_location=self.project.artifacts.resolve().as_uri())
        place = local(experiment.artifact_location) if experiment else None
        if place is not None:
            refuse_foreign(
                self.project, place, f"the artifacts of MLflow's experiment {EXPERIMENT}", "take a registry of your own"
            )

    def find_run(self, run_key: str) -> str | None:
        """The MLflow run that a run key made, if any."""
        with self.reaching():
            experiment = self.client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                return None
            runs = self.client.search_runs([experiment.experiment_id], f"tags.`{RUN_KEY}` = '{run_key}'")
        return str(runs[0].info.run_id) if runs else None

    def artifact_places(self) -> list[str]:
        """Where the artifacts of every run are kept, also of those without a version; none where nothing is stored."""
        if not self.project.has_store:
            return []
        with self.reaching():
            from mlflow.entities import ViewType

            experiment = self.client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                return []
            runs = self.client.search_runs([experiment.experiment_id], "", ViewType.ALL, max_results=50_000)
        return [str(run.info.artifact_uri) for run in runs]

    def artifact_place(self, run_id: str) -> str:
        """Where the artifacts of one run are kept."""
        with self.reaching():
            return str(self.client.get_run(run_id).info.artifact_uri)

    def set_alias(self, alias: str, version: str) -> None:
        """Let an alias name a version."""
        with self.reaching():
            self.client.set_registered_model_alias(self.model, alias, version)

    def drop_alias(self, alias: str) -> None:
        """Let an alias name nothing."""
        with self.reaching():
            self.client.delete_registered_model_alias(self.model, alias)

    def set_tag(self, version: str, key: str, value: str) -> None:
        """Write a fact beside a version."""
        with self.reaching():
            self.client.set_model_version_tag(self.model, version, key, value)

    @contextmanager
    def reaching(self, what: str = "the registry") -> Iterator[None]:
        """Turn MLflow's many ways to fail into one line of ours."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            raise SwitchtenderError(
                f"{what} could not be read or written ({one_line(error, 200)}); check with 'switchtender doctor'"
            ) from error


def pinned_requirements() -> list[str]:
    """What loading a version needs, at the versions installed here."""
    return [f"{name}=={metadata.version(name)}" for name in RUNTIME]
