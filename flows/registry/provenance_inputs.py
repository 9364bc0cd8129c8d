"""All that goes into a version, with the digests that its provenance names."""

from __future__ import annotations

from pathlib import Path

from flows.registry.mlflow_store import MODEL_FILE
from flows.workspace.dvc_objects import DIRECTORY, cache_of, stored_files
from flows.workspace.dvc_stages import stage_names
from flows.workspace.installed_code import recorded
from flows.workspace.installed_code import require_recorded as require_installed
from flows.workspace.project import Project
from flows.workspace.recorded_outputs import DATASET_OF_THE_LOCK, require_recorded
from flows.workspace.snapshot import pointer_of
from pipeline.runtime.errors import SwitchtenderError
from pipeline.runtime.tables import sha256_file
from pipeline.versions.base_models import base_models
from pipeline.versions.provenance import CODE, DATA, STAGE_OUTPUT, Material

_CODE = ("constraints.txt", "dvc.lock", "dvc.yaml", "params.yaml", str(MODEL_FILE))


def materials_of(project: Project, clone: Path, data: dict[str, str]) -> tuple[Material, ...]:
    """Data files, stage outputs (with DVC's md5), code files and the published models of a finished night.

    Raises:
        VerificationFailed: one of them is not what DVC recorded.
        InputError: the installed package was changed while the night ran.
        SwitchtenderError: one of them is not there.
    """
    require_recorded(project, clone, [DATASET_OF_THE_LOCK, *stage_names(clone, project.track)])
    lock = (clone / "dvc.lock").read_text(encoding="utf-8")
    by_dvc = (clone / pointer_of(project.table)).is_file()
    require_installed(clone)
    found = [Material(name, {"sha256": sha256_file(clone / name)}, CODE) for name in (*_CODE, *recorded(clone))]
    kept: dict[str, str] = {}
    for file in stored_files(project, lock):
        if not file.stage:
            kept |= {file.path: file.md5} if by_dvc else {}
            continue
        found.append(Material(file.path, {"sha256": _sha256(project, clone, file.path, file.md5)}, STAGE_OUTPUT,
                              {"md5": file.md5, "stage": file.stage}))  # fmt: skip
    for name, digest in data.items():
        found.append(Material(name, {"sha256": digest}, DATA, {"md5": kept[name]} if name in kept else {}))
    for model in base_models(clone / "params.yaml", project.track):
        found.extend(model.materials())
    return tuple(found)


def _sha256(project: Project, clone: Path, path: str, md5: str) -> str:
    if not md5.endswith(DIRECTORY):
        return sha256_file(clone / path)
    found = cache_of(project).digests(md5)
    if found is None:
        raise SwitchtenderError(f"DVC's cache lacks the listing of {path} ({md5}); run the night again")
    return found.sha256
