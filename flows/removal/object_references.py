"""Which DVC objects the runs, the versions and the working copy use."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from flows.registry.relocation import local
from flows.registry.versions import Version, opened
from flows.removal.dvc_pointers import objects_named, pointers
from flows.workspace.dvc_objects import (
    DIRECTORY,
    ObjectStore,
    StoredFile,
    cache_of,
    content_of,
    refuse_foreign_remote,
    remote_of,
    remote_url,
    store_url,
)
from flows.workspace.dvc_pointers import md5_of
from flows.workspace.git import git
from flows.workspace.own_files import is_own, require_own
from flows.workspace.project import Project
from flows.workspace.runs import clone_of
from flows.workspace.snapshot import RUN_REF
from pipeline.runtime.errors import VerificationFailed

LOCK = "dvc.lock"


def run_keys(project: Project) -> set[str]:
    """Every run that left a folder or a recorded commit."""
    listed = git(project.root, "for-each-ref", "--format=%(refname)", RUN_REF).splitlines()
    folders = {path.name for path in project.runs.glob("*") if path.is_dir()}
    return folders | {name.removeprefix(RUN_REF) for name in listed}


def files_of_run(project: Project, key: str) -> list[StoredFile]:
    """The files that a run's dvc.lock names, in its clone and in its recorded commit; a partial lock counts too."""
    return list({file: None for lock in set(_locks(project, key)) for file in files_in(project, lock)})


def _locks(project: Project, key: str) -> Iterator[str]:
    path = clone_of(project, key) / LOCK
    if path.is_file():
        yield path.read_text(encoding="utf-8", errors="replace")
    ref = f"{RUN_REF}{key}"
    if git(project.root, "for-each-ref", ref) and git(project.root, "ls-tree", ref, "--", LOCK):
        yield git(project.root, "cat-file", "blob", f"{ref}:{LOCK}", strip=False)


def files_in(project: Project, lock: str) -> Iterator[StoredFile]:
    """The data and the outputs in a dvc.lock's text; of a folder also the files, while its listing is there.

    A lock that was cut short gives what can be read of it: nothing.
    """
    try:
        stages = (yaml.safe_load(lock) or {}).get("stages", {})
    except yaml.YAMLError:
        return
    tables = {seen.table.as_posix() for seen in project.both}
    for name, stage in stages.items():
        for dep in stage.get("deps", []):
            is_data = dep["path"] in tables or dep["path"].startswith("data/")
            if is_data and "md5" in dep and not dep["md5"].endswith(DIRECTORY):
                yield StoredFile(dep["path"], dep["md5"], "")
        for out in stage.get("outs", []):
            yield StoredFile(out["path"], out["md5"], name)
            yield from _listed(project, StoredFile(out["path"], out["md5"], name))


def _listed(project: Project, folder: StoredFile) -> Iterator[StoredFile]:
    if not folder.md5.endswith(DIRECTORY):
        return
    content = content_of(folder.md5, (cache_of(project), remote_of(project)))
    for item in json.loads(content) if content else []:
        yield StoredFile(f"{folder.path}/{item['relpath']}", str(item["md5"]), folder.stage)


def objects_of(project: Project, version: Version) -> set[str]:
    """Every object that a version's provenance or its run's dvc.lock names.

    Raises:
        VerificationFailed: neither can be read, so that nothing may be said of what it uses.
    """
    found = {file.md5 for file in files_of_run(project, version.run_key)}
    try:
        with opened(version) as folder:
            found |= {m.notes["md5"] for m in folder.provenance().materials if "md5" in m.notes}
    except VerificationFailed as error:
        if not found:
            raise VerificationFailed(f"what version {version.version} uses cannot be read ({error})") from error
    return found


def files_of_working_copy(project: Project) -> list[StoredFile]:
    """What the working copy's dvc.lock names; nothing where there is none."""
    lock = project.root / LOCK
    return list(files_in(project, lock.read_text(encoding="utf-8"))) if lock.is_file() else []


def objects_of_working_copy(project: Project) -> set[str]:
    """What the pointers and the dvc.lock of the working copy name."""
    return objects_named(project, pointers(project)) | {file.md5 for file in files_of_working_copy(project)}


def current_outputs(project: Project, after: Mapping[Path, bytes | None]) -> set[str]:
    """The objects of the working copy's stages that are not stale once the files in `after` have those bytes."""
    lock = project.root / LOCK
    stages = (yaml.safe_load(lock.read_text(encoding="utf-8")) or {}).get("stages", {}) if lock.is_file() else {}
    made = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
    current: dict[str, Any] = stages
    while True:
        fresh = {out["path"] for stage in current.values() for out in stage.get("outs", [])}
        inputs = {path: md5 for path, md5 in made.items() if path in fresh}
        kept = {name: stage for name, stage in current.items() if not _is_stale(project, stage, after, made, inputs)}
        if len(kept) == len(current):
            return {file.md5 for file in files_in(project, yaml.safe_dump({"stages": kept})) if file.stage}
        current = kept


def _is_stale(
    project: Project,
    stage: dict[str, Any],
    after: Mapping[Path, bytes | None],
    made: Mapping[str, str],
    fresh: Mapping[str, str],
) -> bool:
    """Whether an input differs: `made` are all stages' outputs, `fresh` those of stages that are not stale."""
    for dep in stage.get("deps", []):
        path, md5 = Path(dep["path"]), dep.get("md5", DIRECTORY)
        if dep["path"] in made:
            if fresh.get(dep["path"]) != md5:
                return True
        elif any(path in one.parents for one in after):
            return True
        elif not md5.endswith(DIRECTORY):
            now = after[path] if path in after else _content(project.root / path)
            if now is None or md5_of(now) != md5:
                return True
    return False


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def size_of(place: ObjectStore, md5: str) -> int:
    """An object's size in bytes; 0 where it is not there, or lies beyond this machine."""
    path = Path(place.path(md5))
    return path.stat().st_size if "://" not in place.root and path.is_file() else 0


def own_folder(project: Project, address: str) -> Path | None:
    """The folder of an artifact address where it is this project's own; None where it is elsewhere."""
    place = local(address)
    return place if place is not None and is_own(project, place) else None


def require_removable(project: Project, paths: Iterable[Path]) -> None:
    """Refuse to remove what is not this project's; call before anything is written down or removed.

    Raises:
        SwitchtenderError: a path, or DVC's cache, lies outside the project, by a link.
        InputError: one of DVC's remotes is a folder of another project.
    """
    require_own(project, (project.dvc_cache, *paths))
    for url in (store_url(project), remote_url(project, "dataset")):
        refuse_foreign_remote(project, url)
