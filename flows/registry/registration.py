"""Putting a finished night into MLflow: a run always, a model version only when every gate passed."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from flows.records.registration_log import RegistrationEntry, record_registrations, registrations
from flows.records.signed_logs import SignedLogs, signer_of
from flows.registry.mlflow_store import MODEL_FILE, Registry, pinned_requirements
from flows.registry.provenance_inputs import materials_of
from flows.registry.relocation import EXPERIMENT
from flows.registry.versions import CHALLENGER, PROVENANCE_TAG, RUN_KEY, Version, Versions
from flows.workspace.commit_tree import CommitTree
from flows.workspace.project import Project
from flows.workspace.runs import now
from pipeline.gating.results import PASSED, parse_verdict
from pipeline.metrics.holdout_figures import read_figures
from pipeline.reports.model_card import model_card
from pipeline.runtime.errors import SwitchtenderError
from pipeline.runtime.params import read_file
from pipeline.runtime.stage import Summary
from pipeline.runtime.tables import read_json, sha256_file
from pipeline.runtime.track import Track, track_of
from pipeline.versions.bill_of_materials import bill_of_materials
from pipeline.versions.diff import dotted
from pipeline.versions.folder import (
    CARD,
    EVIDENCE,
    FOLDER,
    MATERIALS,
    PROVENANCE,
    SIGNATURE,
    assemble,
    router_sha256,
    summaries,
    suspects_in,
    train_rows,
)
from pipeline.versions.provenance import Build

if TYPE_CHECKING:
    from mlflow.models import ModelSignature


@dataclass(frozen=True)
class FinishedNight:
    """A finished night as registration sees it: its key, clone, commit, and the sha256 of every data file."""

    key: str
    clone: Path
    commit: str
    data: dict[str, str]
    verdict: str
    started: str
    ended: str
    page: str = ""

    @property
    def track(self) -> Track:
        return track_of(self.key)

    @property
    def stages(self) -> Path:
        return self.clone / self.track.stages


@dataclass(frozen=True)
class Registered:
    """The MLflow run, and the version where the gates let one through."""

    mlflow_run: str
    version: Version | None


def register(registry: Registry, night: FinishedNight) -> Registered:
    """Log the night; register a version, as `challenger`, if the verdict is `passed`. Again, it changes nothing.

    Raises:
        SwitchtenderError: MLflow's store cannot be reached.
        InputError: the version cannot be signed.
    """
    # Run and version are looked for first, so that an attempt which was cut short is taken up where it stopped.
    with registry.reaching(), _quiet():
        run_id = registry.find_run(night.key) or _log_run(registry, night)
    if night.verdict != PASSED:
        return Registered(run_id, None)
    if Versions(registry.project, registry.model).of_run(night.key) is None:
        with registry.reaching(), _quiet():
            _create_version(registry, night, run_id)
    version = Versions(registry.project, registry.model).of_run(night.key)
    if version is None:
        raise SwitchtenderError(
            f"{night.key} was registered, but MLflow does not list its version; run the night again"
        )
    _note(registry)
    registry.set_alias(CHALLENGER, version.version)
    return Registered(run_id, version)


def _note(registry: Registry) -> None:
    """Note every version that the signed log does not have yet: the new one, and those of the release before."""
    known = registrations(registry.project)
    made = [v for v in Versions(registry.project, registry.model).all if v.version not in known]
    if made:
        record_registrations(
            registry.project,
            [RegistrationEntry(now(), v.version, v.run_key, v.tags.get(PROVENANCE_TAG, "")) for v in made],
        )


def log_report(registry: Registry, mlflow_run: str, report: Path) -> None:
    """Keep the night's HTML page beside its run."""
    with registry.reaching():
        registry.client.log_artifact(mlflow_run, str(report), "reports")


def _log_run(registry: Registry, night: FinishedNight) -> str:
    import mlflow

    client = registry.client
    mlflow.set_experiment(EXPERIMENT)
    figures = summaries(night.stages)
    with mlflow.start_run(run_name=night.key, tags={"git_commit": night.commit, "verdict": night.verdict}) as run:
        mlflow.log_params(_params(night.clone / "params.yaml"))
        mlflow.log_metrics(_metrics(figures))
        for name, digest in sorted(night.data.items()):
            _log_dataset(client, run.info.run_id, name, digest)
        for folder in ("evaluate", "gate"):
            mlflow.log_artifacts(str(night.stages / folder), folder)
        suspects = suspects_in(night.stages).with_suffix(".csv")
        if suspects.is_file():
            mlflow.log_artifact(str(suspects), "suspects")
        if night.verdict == PASSED:
            _log_model(registry.project, night)
        # The tag comes last: a run without it was cut short and is not found again.
        mlflow.set_tag(RUN_KEY, night.key)
        return str(run.info.run_id)


def _params(path: Path) -> dict[str, str]:
    return {name: str(value) for name, value in dotted(read_file(path)).items()}


def _metrics(figures: dict[str, Summary]) -> dict[str, float]:
    return {
        f"{stage}.{name}": float(value)
        for stage, summary in figures.items()
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


def signature_of(candidates: Iterable[str]) -> ModelSignature:
    """What a registered model takes and gives: a column `prompt`; the chosen, and a score a candidate.

    The prompt's type is left open: declared a string, MLflow's server would make the word "None" of a null before
    the model sees it. The model itself refuses what is no text.
    """
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    outputs = [ColSpec("string", "agents"), *(ColSpec("double", name) for name in candidates)]
    return ModelSignature(Schema([ColSpec(AnyType(), "prompt")]), Schema(outputs))


def _log_model(project: Project, night: FinishedNight) -> None:
    import mlflow

    build = _build(project, night)
    folder = assemble(night.clone, build, night.clone.parent / FOLDER, lambda files: _described(night, build, files))
    signature = folder.parent / SIGNATURE
    signer_of(project).sign(folder, signature)
    description = read_json(folder / "model" / "router.json")
    mlflow.pyfunc.log_model(
        name="model",
        python_model=str(night.clone / MODEL_FILE),
        artifacts={"router": str(folder), "signature": str(signature)},
        signature=signature_of(description["candidates"]),
        input_example=pd.DataFrame({"prompt": ["Put this into Czech and mail it to Jana."]}),
        pip_requirements=pinned_requirements(),
    )


def _build(project: Project, night: FinishedNight) -> Build:
    return Build(
        run_key=night.key,
        commit=night.commit,
        params=read_file(night.clone / "params.yaml"),
        environment=read_json(night.stages / "train" / "environment.json"),
        materials=materials_of(project, night.clone, night.data),
        started=night.started,
        ended=night.ended,
        release=metadata.version("switchtender"),
        tree_sha256=CommitTree(night.clone, night.commit).digest,
        records=head.to_line() if (head := SignedLogs(project).head) else "",
    )


def _described(night: FinishedNight, build: Build, files: dict[str, str]) -> dict[str, str]:
    """The version's card and its bill of materials."""
    figures = read_figures(read_json(night.stages / "evaluate" / "metrics.json")).router
    gates = parse_verdict(read_json(night.stages / "gate" / "verdict.json")).gates
    return {
        CARD: model_card(build, night.track, figures, gates, summaries(night.stages)),
        MATERIALS: json.dumps(bill_of_materials(build, files, figures), indent=2, sort_keys=True) + "\n",
    }


def _create_version(registry: Registry, night: FinishedNight, run_id: str) -> None:
    from mlflow.exceptions import MlflowException

    client = registry.client
    with contextlib.suppress(MlflowException):  # there already, except on the first night
        client.create_registered_model(registry.model, description=f"Routes a prompt to {night.track.name}.")
    experiment = client.get_run(run_id).info.experiment_id
    # Named, since the run may be of an attempt that was cut short, and this process has no experiment of its own then.
    logged = client.search_logged_models([experiment], f"source_run_id = '{run_id}'")
    figures = summaries(night.stages)
    tags = {
        RUN_KEY: night.key,
        PROVENANCE_TAG: sha256_file(night.clone.parent / FOLDER / PROVENANCE),
        "git_commit": night.commit,
        "router_sha256": router_sha256(figures),
        "train_rows": str(train_rows(figures)),
        night.track.headline: str(figures["evaluate"][night.track.headline]),
        # Not that of `split`: reviews change labels of the holdout after it.
        "holdout_version": str(read_json(night.stages / "evaluate" / "metrics.json")["holdout_version"]),
    }
    place, model_id = logged[0].artifact_location, logged[0].model_id
    taken = registrations(registry.project)
    while True:
        made = client.create_model_version(
            registry.model,
            place,
            run_id=run_id,
            tags=tags,
            model_id=model_id,
            description=_description(night, f"#/experiments/{experiment}/runs/{run_id}"),
        )
        if str(made.version) not in taken:
            return
        # An older copy of the store was put back, and would give a number out again. MLflow never reuses a deleted one.
        client.delete_model_version(registry.model, str(made.version))


def _description(night: FinishedNight, run: str) -> str:
    """The version's card, with where to read on; `run` is the address of its run in MLflow's page."""
    card = (night.clone.parent / FOLDER / EVIDENCE / CARD).read_text(encoding="utf-8").split("---\n", 2)[-1].strip()
    audit = f"[the service's page]({night.page.rstrip('/')}/#audit), or " if night.page else ""
    return (
        f"{card}\n\n## Report and audit\n\n- [The night's report]({run}/artifacts/reports/report.html), of the run "
        f"`{night.key}`\n- The audit: {audit}`switchtender audit VERSION --html FILE`"
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """MLflow's own progress is not shown: the night has its report. What fails is raised, and told in a line."""
    import logging

    import mlflow  # noqa: F401 (its import sets the level of its loggers, so ours is set after it)

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    caches, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # MLflow imports the model's file in place
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.dont_write_bytecode = caches
