"""Putting a finished night into MLflow: a run always, a model version only when every gate passed."""

from __future__ import annotations

import contextlib
import json
import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from flows.registry import (
    CHALLENGER,
    CHAMPION,
    EXPERIMENT,
    MODEL_FILE,
    RUN_KEY,
    RegisterParams,
    Registry,
    Version,
    pinned_requirements,
    read_summaries,
)
from pipeline.gates import PASSED
from pipeline.tables import read_table


@dataclass(frozen=True)
class Night:
    """A finished night as registration sees it: its key, clone, commit, and the sha256 of every data file."""

    key: str
    clone: Path
    commit: str
    data: dict[str, str]
    verdict: str

    @property
    def stages(self) -> Path:
        return self.clone / "var" / "stages"


@dataclass(frozen=True)
class Registered:
    """The MLflow run, and the version where the gates let one through."""

    mlflow_run: str
    version: Version | None


def register(registry: Registry, night: Night, params: RegisterParams) -> Registered:
    """Log the night; register a version if the verdict is `passed`. Doing it again changes nothing.

    Raises:
        SwitchtenderError: MLflow's store cannot be reached.
    """
    with registry.reaching(), _quiet():
        run_id = registry.find_run(night.key) or _log_run(registry, night)
    if night.verdict != PASSED:
        return Registered(run_id, None)
    version = registry.version_of_run(night.key)
    if version is None:
        with registry.reaching(), _quiet():
            version = _create_version(registry, night, run_id)
    _set_aliases(registry, version, params)
    return Registered(run_id, registry.version(version.version))


def log_report(registry: Registry, mlflow_run: str, report: Path) -> None:
    """Keep the night's HTML page beside its run."""
    with registry.reaching():
        registry.client.log_artifact(mlflow_run, str(report), "reports")


def _log_run(registry: Registry, night: Night) -> str:
    import mlflow

    client = registry.client
    mlflow.set_experiment(EXPERIMENT)
    summaries = read_summaries(night.stages)
    with mlflow.start_run(run_name=night.key, tags={"git_commit": night.commit, "verdict": night.verdict}) as run:
        mlflow.log_params(_params(night.clone / "params.yaml"))
        mlflow.log_metrics(_metrics(summaries))
        for name, digest in sorted(night.data.items()):
            _log_dataset(client, run.info.run_id, name, digest)
        for folder in ("evaluate", "gate", "label_noise"):
            mlflow.log_artifacts(str(night.stages / folder), folder)
        for path in (night.stages / "lineage" / "lineage.parquet", night.stages / "evaluate" / "predictions.parquet"):
            mlflow.log_artifact(str(path), "lineage")
        if night.verdict == PASSED:
            _log_model(night)
        # The tag comes last: a run without it was cut short and is not found again.
        mlflow.set_tag(RUN_KEY, night.key)
        return str(run.info.run_id)


def _params(path: Path) -> dict[str, str]:
    from pipeline.params import read_file

    return {
        f"{section}.{key}": str(value)
        for section, values in read_file(path).items()
        for key, value in (values or {}).items()
    }


def _metrics(summaries: dict[str, dict[str, Any]]) -> dict[str, float]:
    return {
        f"{stage}.{name}": float(value)
        for stage, summary in summaries.items()
        for name, value in summary.items()
        if isinstance(value, int | float)
    }


def _log_dataset(client: Any, run_id: str, name: str, sha256: str) -> None:
    """One dataset input with our own digest: MLflow's is no fingerprint, and its field holds 36 characters."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=name,
        digest=sha256[:32],
        source_type="local",
        source=json.dumps({"uri": name, "sha256": sha256}),
        profile=json.dumps({"sha256": sha256}),
    )
    client.log_inputs(
        run_id, [DatasetInput(dataset, [InputTag("sha256", sha256), InputTag("mlflow.data.context", "training")])]
    )


def _log_model(night: Night) -> None:
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    import mlflow

    description = json.loads((night.stages / "train" / "router" / "router.json").read_text(encoding="utf-8"))
    outputs = [ColSpec("string", "agents"), *(ColSpec("double", name) for name in description["candidates"])]
    mlflow.pyfunc.log_model(
        name="model",
        python_model=str(night.clone / MODEL_FILE),
        artifacts={"router": str(night.stages / "train" / "router")},
        signature=ModelSignature(Schema([ColSpec("string", "prompt")]), Schema(outputs)),
        input_example=pd.DataFrame({"prompt": ["Put this into Czech and mail it to Jana."]}),
        pip_requirements=pinned_requirements(),
    )


def _create_version(registry: Registry, night: Night, run_id: str) -> Version:
    from mlflow.exceptions import MlflowException

    import mlflow

    client = registry.client
    with contextlib.suppress(MlflowException):
        client.create_registered_model(registry.model, description="Routes a prompt to the agents that answer it.")
    logged = mlflow.search_logged_models(filter_string=f"source_run_id = '{run_id}'", output_format="list")
    summary = read_summaries(night.stages)
    tags = {
        RUN_KEY: night.key,
        "git_commit": night.commit,
        "router_sha256": str(summary["train"]["router_sha256"]),
        "train_rows": str(len(read_table(night.stages / "label_noise" / "train.parquet"))),
        "micro_f1": str(summary["evaluate"]["micro_f1"]),
        "holdout_version": str(summary["split"]["holdout_version"]),
    }
    created = client.create_model_version(
        registry.model, logged[0].artifact_location, run_id=run_id, tags=tags, model_id=logged[0].model_id
    )
    return registry.version(str(created.version))


def _set_aliases(registry: Registry, version: Version, params: RegisterParams) -> None:
    with registry.reaching():
        registry.client.set_registered_model_alias(registry.model, CHALLENGER, version.version)
    if params.first_becomes_champion and registry.version_at(CHAMPION) is None:
        with registry.reaching():
            registry.client.set_registered_model_alias(registry.model, CHAMPION, version.version)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MLflow reports progress on stderr; the night has its own report."""
    import logging

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with warnings.catch_warnings(), Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
        warnings.simplefilter("ignore")
        yield
