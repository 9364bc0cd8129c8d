"""Erasing what `flows.removal.row_locations` found: noted first, so that `verify` knows why the bytes are gone."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from flows.records.removal_log import ERASED, RemovalEntry, record_removal
from flows.removal.journals import blank_rows
from flows.removal.row_locations import RowLocations
from flows.workspace import runs
from flows.workspace.dvc_objects import cache_of, remote_of
from flows.workspace.own_files import remove
from flows.workspace.project import Project
from flows.workspace.runs import ABANDONED, UNFINISHED
from pipeline.data.shared_prefixes import readings_of
from pipeline.encoders.vector_cache import VectorCache, cache_folder, most_bytes
from pipeline.runtime.errors import SwitchtenderError, one_line
from pipeline.versions.folder import MODEL


def erase(
    affected: Sequence[tuple[Project, Iterable[str]]], held: RowLocations, who: str, reason: str
) -> tuple[str, ...]:
    """Remove objects from cache and remote, then files, and overwrite the texts in journals. Call under the night's
    lock. Again, it changes nothing.

    `affected` are the tracks of one checkout, each with the versions whose nights saw the rows.

    Signed version folders stay as they are, but for the files in which a router keeps something of training prompts:
    such a version cannot answer any more, unless all it kept is the index of what answers lead back to. An unfinished
    run that held the rows is abandoned, since it cannot go on without what was taken from it.

    Returns:
        What of the journals is left, in words.

    Raises:
        SwitchtenderError: something cannot be removed; what was removed is noted, and another try goes on.
    """
    project = affected[0][0]
    left = tuple(
        f"{project.name_of(path)} holds a text of the rows where it cannot be overwritten; remove that file"
        for path in held.journals
        if not blank_rows(path, held.rows)
    )
    for folder in held.folders:
        remove(folder)
    if held.objects or held.files:
        _note(affected, held, who, reason)
    for place in (cache_of(project), remote_of(project)):
        for md5 in held.objects:
            place.remove(md5)
    for path in (*held.files, *held.tracked):
        remove(path)
    return left


def _note(affected: Sequence[tuple[Project, Iterable[str]]], held: RowLocations, who: str, reason: str) -> None:
    rows = tuple(sorted(held.rows.ids))
    for project, versions in affected:
        files = tuple(sorted(project.name_of(path) for path in held.files if MODEL in path.parts))
        record_removal(
            project, RemovalEntry(runs.now(), who, ERASED, reason, tuple(versions), held.objects, rows, files)
        )
        for run in runs.all_runs(project):
            clone = runs.clone_of(project, run.key)
            if run.state == UNFINISHED and any(path.is_relative_to(clone) for path in held.files):
                runs.save(project, replace(run, state=ABANDONED, ended=runs.now()))


def erase_vectors(texts: Collection[str]) -> None:
    """Remove what verbs on tables of one's own remember of texts, in the cache of who erases.

    Raises:
        SwitchtenderError: the cache cannot be changed.
    """
    folder = cache_folder()
    if folder is None:
        return
    cache = VectorCache(folder, most_bytes())
    try:
        cache.erase(reading for text in texts for reading in readings_of(text))
    except (sqlite3.Error, OSError) as error:
        raise SwitchtenderError(
            f"{cache.path} may hold vectors of the rows and cannot be changed ({one_line(error)}); "
            "run 'switchtender cache --clear'"
        ) from error
