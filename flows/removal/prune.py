"""Pruning: clones, artifacts and DVC objects of old versions that never served. Pruned is not missing.

A version's row in MLflow, its run record and its recorded commit stay, and the trace index still knows its rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flows.audit.trace_index import update_index
from flows.records.promotion_log import promotions, who_am_i
from flows.records.removal_log import PRUNED, RemovalEntry, RemovalLog, record_removal
from flows.records.serving_log import serving_periods
from flows.registry.mlflow_store import Registry
from flows.registry.versions import Version, Versions, versions_of
from flows.removal.object_references import (
    files_of_run,
    objects_of,
    objects_of_working_copy,
    own_folder,
    require_removable,
    run_keys,
    size_of,
)
from flows.workspace import runs
from flows.workspace.dvc_objects import cache_of, remote_of
from flows.workspace.lock import held
from flows.workspace.own_files import remove
from flows.workspace.project import Project
from flows.workspace.runs import folder_of
from pipeline.runtime.errors import InputError, VerificationFailed

PRUNED_TAG = "switchtender.pruned"


@dataclass(frozen=True)
class PruneResult:
    """What goes, or went: versions, the objects that only they use, folders on this machine, and their size.

    `remaining` names, in words, what lies in stores that pruning does not enter.
    """

    versions: tuple[Version, ...]
    objects: tuple[str, ...]
    folders: tuple[Path, ...]
    megabytes: float
    remaining: tuple[str, ...]


def prune(project: Project, keep: int, *, dry_run: bool = False) -> PruneResult:
    """Remove what only old versions use that never served, hold no alias and are not among the last `keep`.

    Raises:
        InputError: nothing was ever registered, or `keep` is under 1.
        VerificationFailed: a log is broken, or it cannot be told what a kept version uses.
        SwitchtenderError: a store cannot be reached, or something cannot be removed; another try goes on.
        HeldByAnotherRun: a night or a promotion is under way.
    """
    if keep < 1:
        raise InputError("--keep needs at least 1: the latest version stays")
    if dry_run:
        return plan(project, keep)
    who = who_am_i(project)
    purpose = f"pruning by {who}"
    with held(project.lock, purpose), held(project.promotion_lock, purpose):
        found = plan(project, keep)
        if found.versions:
            _remove(project, found, who, f"not among the last {keep}, never served")
        return found


def plan(project: Project, keep: int) -> PruneResult:
    """What `prune` would remove; nothing is changed."""
    versions = versions_of(project)
    going = tuple(_candidates(project, versions, keep))
    objects = _objects(project, versions, going)
    folders, elsewhere = _folders(project, versions, going)
    require_removable(project, folders)
    size = sum(_size(path) for path in folders)
    size += sum(size_of(place, md5) for place in (cache_of(project), remote_of(project)) for md5 in objects)
    return PruneResult(going, tuple(sorted(objects)), tuple(folders), size / 1e6, tuple(elsewhere))


def _candidates(project: Project, versions: Versions, keep: int) -> Iterator[Version]:
    """Old versions, also those whose removal was noted and then cut short."""
    in_use = {entry.version for entry in serving_periods(project)}
    for promotion in promotions(project):
        in_use |= {promotion.version_from, promotion.version_to}
    for version in versions.all[:-keep]:
        if version.version not in in_use and not version.aliases and PRUNED_TAG not in version.tags:
            yield version


def _objects(project: Project, versions: Versions, going: tuple[Version, ...]) -> set[str]:
    """The objects that only these versions use, of those that lie in the cache or the remote."""
    if not going:
        return set()
    removed = RemovalLog(project)
    kept = objects_of_working_copy(project)
    for version in versions.all:
        if version not in going and removed.version(version.version, PRUNED) is None:
            kept |= objects_of(project, version)
    known = {version.run_key for version in versions.all}
    for key in run_keys(project) - known:
        kept |= {file.md5 for file in files_of_run(project, key)}
    theirs: set[str] = set()
    for version in going:
        theirs |= _own_objects(project, version)
    return theirs - kept


def _own_objects(project: Project, version: Version) -> set[str]:
    try:
        return objects_of(project, version)
    except VerificationFailed:
        return set()


def _folders(project: Project, versions: Versions, going: tuple[Version, ...]) -> tuple[list[Path], list[str]]:
    """What lies on this machine for these versions, and what lies elsewhere."""
    folders: list[Path] = []
    elsewhere: list[str] = []
    latest = runs.latest_finished(project)
    for version in going:
        if latest is None or version.run_key != latest.key:
            folders.extend(sorted(p for p in folder_of(project, version.run_key).glob("*") if p.name != "run.json"))
        for uri in (version.source, Registry(project, versions.model).artifact_place(version.mlflow_run)):
            place = own_folder(project, uri)
            if place is None:
                elsewhere.append(f"{uri}: remove it there")
            elif place.is_dir():
                folders.append(place)
    return folders, elsewhere


def _size(path: Path) -> int:
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file() and not file.is_symlink()]
    return sum(file.stat().st_size for file in files)


def _remove(project: Project, found: PruneResult, who: str, reason: str) -> None:
    """Index first, then note, then remove; a version is tagged when all of it is gone."""
    project.claim()
    for version in found.versions:
        update_index(project, version)
    numbers = tuple(version.version for version in found.versions)
    record_removal(project, RemovalEntry(runs.now(), who, PRUNED, reason, numbers, found.objects))
    for place in (cache_of(project), remote_of(project)):
        for md5 in found.objects:
            place.remove(md5)
    for path in found.folders:
        remove(path)
    registry = Registry(project, versions_of(project).model)
    for number in numbers:
        registry.set_tag(number, PRUNED_TAG, runs.now())
