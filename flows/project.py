"""Where things are in a project's folder, and the environment that every tool is started with."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import InputError

NIGHT_MARK = "SWITCHTENDER_NIGHT"
MARKS = ("params.yaml", "dvc.yaml")


@dataclass(frozen=True)
class Project:
    """A checkout of Switchtender. Everything that running makes lies under `var`."""

    root: Path

    @property
    def var(self) -> Path:
        return self.root / "var"

    @property
    def runs(self) -> Path:
        return self.var / "runs"

    @property
    def lock(self) -> Path:
        return self.var / "night.lock"

    @property
    def records(self) -> Path:
        """Who promoted what, what served when, what was removed, and what was replayed."""
        return self.var / "records"

    @property
    def promotion_lock(self) -> Path:
        return self.var / "promotion.lock"

    @property
    def dvc_cache(self) -> Path:
        return self.var / "dvc" / "cache"

    @property
    def dvc_remote(self) -> Path:
        return self.var / "dvc" / "remote"

    @property
    def mlflow_database(self) -> Path:
        return self.var / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        return self.var / "artifacts"

    @property
    def tracking_uri(self) -> str:
        """MLflow's store: SQLite under var unless MLFLOW_TRACKING_URI names another."""
        return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self.mlflow_database}"

    @property
    def prefect_home(self) -> Path:
        return self.var / "prefect"

    def environment(self) -> dict[str, str]:
        """Environment variables for child processes and for libraries that are imported later."""
        chosen = {name: os.environ[name] for name in OVERRIDABLE if name in os.environ}
        return {**os.environ, **self._defaults(), **chosen}

    def night_environment(self) -> dict[str, str]:
        """The environment of a night's children, marked so that those of a killed night can be found and ended."""
        return self.environment() | {NIGHT_MARK: str(self.root)}

    def _defaults(self) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PREFECT_HOME": str(self.prefect_home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
            "PREFECT_LOGGING_LEVEL": "WARNING",
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "GX_ANALYTICS_ENABLED": "false",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.var / "dvc" / "site"),
            "DO_NOT_TRACK": "1",
            "ORT_DISABLE_TELEMETRY": "1",
            "TOKENIZERS_PARALLELISM": "false",
            "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin starve each other on a busy machine
            "GIT_TERMINAL_PROMPT": "0",
        }

    def enter_environment(self) -> None:
        """Set the defaults in this process; call before importing Prefect or MLflow."""
        for name, value in self._defaults().items():
            if name not in OVERRIDABLE or name not in os.environ:
                os.environ[name] = value


OVERRIDABLE = ("MLFLOW_TRACKING_URI", "PREFECT_HOME", "PREFECT_LOGGING_LEVEL", "DVC_SITE_CACHE_DIR")


def find_project(start: Path | None = None) -> Project:
    """The project that the current folder lies in.

    Raises:
        InputError: neither this folder nor one above it is a project.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if all((folder / mark).is_file() for mark in MARKS):
            return Project(folder)
    raise InputError(f"{here} is not inside a Switchtender project (no params.yaml and dvc.yaml); change folder")
