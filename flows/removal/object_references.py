"""Which DVC objects the runs, the versions and the working copy use."""

from __future__ import annotations

import configparser
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from flows.registry.relocation import local
from flows.registry.versions import Version, opened
from flows.workspace.dvc_objects import (
    DIRECTORY,
    ObjectStore,
    StoredFile,
    cache_of,
    refuse_foreign_remote,
    remote_of,
    store_url,
)
from flows.workspace.git import git
from flows.workspace.own_files import is_own, require_own
from flows.workspace.project import Project
from flows.workspace.runs import clone_of
from flows.workspace.snapshot import POINTER, RUN_REF
from pipeline.runtime.errors import VerificationFailed

LOCK = "dvc.lock"


def dataset_md5(project: Project) -> str:
    """The dataset's object, as the pointer in the working copy names it."""
    pointer = yaml.safe_load((project.root / POINTER).read_text(encoding="utf-8"))
    return str(pointer["outs"][0]["md5"])


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
    """The dataset and the outputs in a dvc.lock's text; of a folder also the files, while its listing is there.

    A lock that was cut short gives what can be read of it: nothing.
    """
    try:
        stages = (yaml.safe_load(lock) or {}).get("stages", {})
    except yaml.YAMLError:
        return
    tables = {seen.table.as_posix() for seen in project.both}
    for name, stage in stages.items():
        for dep in stage.get("deps", []):
            if dep["path"] in tables and "md5" in dep:
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
    """The dataset that the pointer names, and what the working copy's dvc.lock names."""
    return {dataset_md5(project)} | {file.md5 for file in files_of_working_copy(project)}


def cached(project: Project) -> set[str]:
    """Every object in the cache, used or not."""
    root = project.dvc_cache / "files" / "md5"
    return {path.parent.name + path.name for path in root.glob("??/*") if path.is_file()}


def content_of(md5: str, places: Iterable[ObjectStore]) -> bytes | None:
    """An object's bytes from the first place that has it."""
    for place in places:
        try:
            with place.open(md5) as file:
                return file.read()
        except FileNotFoundError:
            continue
    return None


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


def remote_url(project: Project, name: str) -> str:
    """Where one of DVC's remotes is: an absolute folder, or a URL."""
    settings = configparser.ConfigParser()
    settings.read([project.root / ".dvc" / "config", project.root / ".dvc" / "config.local"], encoding="utf-8")
    url = settings.get(f"'remote \"{name}\"'", "url", fallback="")
    return url if "://" in url or not url else str((project.root / ".dvc" / url).resolve())
