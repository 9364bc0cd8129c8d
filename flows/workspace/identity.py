"""What decides whether a night would give anything new: data, settings, code, environment and the published models that
the settings name, as the stages read them.

A change that no stage of the track reads (a page, an importer, a template, a document, a setting of the service) makes
no night worth running.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flows.workspace.dvc_stages import own_stages
from flows.workspace.git import git, git_list
from flows.workspace.installed_code import is_installed, records
from flows.workspace.project import Project
from flows.workspace.snapshot import refuse_uncommitted_code
from pipeline.data.dataset import DATASET
from pipeline.runtime.errors import InputError
from pipeline.runtime.params import read, read_file
from pipeline.runtime.reproducibility import RunParams, fingerprint
from pipeline.runtime.tables import sha256_file, sha256_text
from pipeline.runtime.track import MODELS
from pipeline.versions.base_models import identities

CANDIDATES = Path("data/candidates")
EXPECTATIONS = Path("data/expectations")


@dataclass(frozen=True)
class Identity:
    """What decides whether a night would give anything new; `digest` names it whole."""

    data: dict[str, str]
    params: str
    code: str
    environment: str
    models: str

    @property
    def digest(self) -> str:
        return sha256_text(repr((sorted(self.data.items()), self.params, self.code, self.environment, self.models)))


def identify(project: Project) -> Identity:
    """The identity of what lies in the project's folder now.

    Raises:
        InputError: code is changed and not committed, or the dataset is not there; a published model is not there, or
            not pinned to a commit of its hub.
        ParamsError: params.yaml cannot be read.
    """
    refuse_uncommitted_code(project)
    run = read("run", RunParams, project.root / "params.yaml")
    stages = _stages(project)
    return Identity(
        data=data_digests(project, project.root),
        params=sha256_text(repr(_training_params(project, stages))),
        code=sha256_text(_training_code(project, stages)),
        environment=sha256_text(repr(sorted(fingerprint(run.threads, run.device).items()))),
        models=sha256_text(identities(project.root / "params.yaml", project.track)),
    )


def _training_params(project: Project, stages: dict[str, Any]) -> dict[str, Any]:
    """The sections of params.yaml that the track's stages name in dvc.yaml, and the name to register under."""
    content = read_file(project.root / "params.yaml")
    named = {section for stage in stages.values() for section in stage.get("params", [])}
    named.add(f"{project.track.section}register")
    return {name: _section(content, name) for name in sorted(named)}


def _section(content: dict[str, Any], name: str) -> Any:
    """A section by its dotted name."""
    for part in name.split("."):
        content = (content or {}).get(part)  # type: ignore[assignment]
    return content


def _training_code(project: Project, stages: dict[str, Any]) -> str:
    """The track's stages as dvc.yaml has them, and every file of the rooms that they name, with its digest: git's, or
    the installed file's where the project has no code of its own.
    """
    deps = sorted({dep for stage in stages.values() for dep in stage["deps"]})
    rooms = [dep for dep in deps if dep.startswith("pipeline/")]
    own = git(project.root, "ls-tree", "-r", "HEAD", "--", "constraints.txt", *rooms)
    if not is_installed(project.root):
        return repr(stages) + own
    installed = records()
    return repr(stages) + own + repr([(dep, installed[dep]) for dep in deps if dep in installed])


def _stages(project: Project) -> dict[str, Any]:
    """The track's stages as the last commit's dvc.yaml has them."""
    written: dict[str, Any] = yaml.safe_load(git(project.root, "show", "HEAD:dvc.yaml"))["stages"]
    return {name: written[name] for name in own_stages(written, project.track)}


def data_digests(project: Project, root: Path) -> dict[str, str]:
    """sha256 of every file that people curate for the track, by path; `root` is the checkout, or a run's clone of it.

    Raises:
        InputError: the table that the track trains from is not there.
    """
    table, models_table = project.table, project.on(MODELS).table
    if not (root / table).is_file():
        hint = "fetch it with 'make setup'" if table == DATASET else "see params.yaml: models.validate.table"
        raise InputError(f"{table} is not there; {hint}")
    kinds = [f"data/*.{kind}" for kind in ("yaml", "csv", "txt", "json", "jsonl", "parquet")]
    listed = [Path(name) for name in git_list(root, "ls-files", "-co", "--exclude-standard", *kinds)]
    if project.track is MODELS:
        also, folders = {"agents.yaml", "forgotten.csv", "prices.yaml"}, (CANDIDATES, EXPECTATIONS)
        named = [path for path in listed if path.name in also or path.suffix == ".txt" or path.parent in folders]
    else:
        named = [path for path in listed if path.parent != CANDIDATES and path != models_table]
    files = sorted({path.as_posix() for path in (*named, table)})
    return {name: sha256_file(root / name) for name in files if (root / name).is_file()}
