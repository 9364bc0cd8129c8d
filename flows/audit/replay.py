"""Training a version again: a scratch clone of its recorded commit, data out of the DVC remote, every stage anew.

On the machine that the version's provenance names, the weights must be the same byte for byte. Elsewhere the
predictions must lie within the bound of params.yaml. Either way a certificate says what was compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from flows.promotion.in_service import version_named
from flows.records.removal_log import ERASED, PRUNED, RemovalLog
from flows.registry.verification import require_sound
from flows.registry.versions import Version, opened, versions_of
from flows.workspace import runs
from flows.workspace.dvc_stages import run_stage, stage_names
from flows.workspace.git import git
from flows.workspace.installed_code import require_recorded
from flows.workspace.project import Project
from flows.workspace.snapshot import RUN_REF, dvc, pointer_of, share_dvc
from pipeline.runtime.errors import InputError, VerificationFailed
from pipeline.runtime.params import read
from pipeline.runtime.reproducibility import RunParams, fingerprint
from pipeline.runtime.tables import sha256_file, write_json
from pipeline.runtime.track import Track
from pipeline.versions.base_models import base_models
from pipeline.versions.folder import VersionFolder
from pipeline.versions.provenance import BASE_MODELS, Provenance
from pipeline.versions.replay_comparison import (
    FileComparison,
    PredictionDrift,
    ReplayParams,
    compare_files,
    drift,
    verdict,
)

_TIMEOUT = 4 * 3600.0
Tell = Callable[[str], None]


@dataclass(frozen=True)
class Certificate:
    """What was replayed, where, what was compared, and what came of it."""

    version: str
    run_key: str
    commit: str
    provenance_sha256: str
    at: str
    verdict: str
    recorded_environment: dict[str, str | int]
    environment: dict[str, str | int]
    same_environment: bool
    files: tuple[FileComparison, ...]
    drift: PredictionDrift
    bound: dict[str, float]

    @property
    def differing(self) -> list[FileComparison]:
        return [file for file in self.files if not file.same]


def replay(project: Project, which: str, tell: Tell, *, echo: bool = False) -> tuple[Certificate, Path]:
    """Train a version again and compare; returns the certificate and where it was written.

    Raises:
        InputError: no such version, or its data was erased or its version pruned.
        VerificationFailed: the version's own bytes, its commit or its dataset are not as recorded.
    """
    version = version_named(project, versions_of(project), which)
    _refuse_removed(project, version)
    scratch_root = project.var / "scratch"
    scratch_root.mkdir(parents=True, exist_ok=True)
    with opened(version) as folder, tempfile.TemporaryDirectory(dir=scratch_root) as scratch:
        require_sound(project, version, folder)
        provenance = folder.provenance()
        clone = prepare(project, version, provenance, Path(scratch))
        rebuild(project, clone, tell, echo)
        certificate = certify(project, version, folder, clone)
    place = project.records / "replays" / f"version-{version.version}-{certificate.at.replace(':', '')}.json"
    write_json({**asdict(certificate)}, place)
    return certificate, place


def _refuse_removed(project: Project, version: Version) -> None:
    removed = RemovalLog(project)
    for kind in (ERASED, PRUNED):
        found = removed.version(version.version, kind)
        if found is not None:
            raise InputError(
                f"version {version.version} cannot be replayed: {kind} on {found.at[:10]} ({found.reason})"
            )


def prepare(project: Project, version: Version, provenance: Provenance, scratch: Path) -> Path:
    """The recorded commit in a clone with an empty DVC cache, and the dataset fetched from the remote.

    Raises:
        VerificationFailed: the commit, the dataset or a published model is not the recorded one.
        InputError: the installed package is not the one that trained it.
    """
    clone = scratch / "clone"
    clone.mkdir()
    git(clone, "init", "--quiet")
    git(clone, "fetch", "--quiet", "--no-tags", str(project.root), f"{RUN_REF}{version.run_key}")
    git(clone, "checkout", "--quiet", "--detach", "FETCH_HEAD")
    if git(clone, "rev-parse", "HEAD") != provenance.commit:
        raise VerificationFailed(
            f"{RUN_REF}{version.run_key} is not commit {provenance.commit[:12]}; see 'switchtender verify'"
        )
    require_recorded(clone)
    share_dvc(project, clone, scratch / "cache")
    table = Project(clone, project.track).table
    if (clone / pointer_of(table)).is_file():
        dvc(project, clone, "pull", "--quiet", str(pointer_of(table)))
    recorded = {material.name: material.digest.get("sha256") for material in provenance.materials}
    if sha256_file(clone / table) != recorded[table.as_posix()]:
        raise VerificationFailed(f"{table} in the remote is not the recorded one; see 'switchtender verify'")
    _require_models(provenance, clone, project.track)
    return clone


def _require_models(provenance: Provenance, clone: Path, track: Track) -> None:
    models = base_models(clone / "params.yaml", track)
    here = {(m.role, m.name): m.digest for model in models for m in model.materials()}
    for recorded in provenance.of(*BASE_MODELS):
        if here.get((recorded.role, recorded.name)) != recorded.digest:
            raise VerificationFailed(
                f"{recorded.name} of the {recorded.role} is not the recorded one; install that {recorded.role} again"
            )


def rebuild(project: Project, clone: Path, tell: Tell, echo: bool) -> None:
    """Run every stage of the clone, whatever DVC holds to be fresh."""
    for name in stage_names(clone, project.track):
        done = run_stage(project, clone, name, _TIMEOUT, echo, force=True)
        tell(f"{done.how:>9} {done.seconds:6.1f} s  {done.stage}")


def certify(project: Project, version: Version, folder: VersionFolder, clone: Path) -> Certificate:
    """Compare what the clone made with what was recorded."""
    provenance = folder.provenance()
    params = read("replay", ReplayParams, project.root / "params.yaml")
    run = read("run", RunParams, clone / "params.yaml")
    here = dict(fingerprint(run.threads, run.device))
    same = here == provenance.environment
    files, moved = compare_files(provenance, clone), drift(folder, clone, project.track)
    return Certificate(
        version=version.version,
        run_key=version.run_key,
        commit=provenance.commit,
        provenance_sha256=folder.provenance_sha256(),
        at=runs.now(),
        verdict=verdict(files, moved, same, params),
        recorded_environment=dict(provenance.environment),
        environment=here,
        same_environment=same,
        files=tuple(files),
        drift=moved,
        bound=params.model_dump(),
    )
