"""Every one of DVC's pointers in the working copy, and the objects that they name."""

from __future__ import annotations

import json

from flows.removal.project_files import project_files
from flows.workspace.dvc_objects import cache_of, content_of, remote_of
from flows.workspace.dvc_pointers import ENDING, Pointer, read_pointers
from flows.workspace.project import Project


def pointers(project: Project) -> list[Pointer]:
    """Every pointer in the working copy, whether git knows it or not.

    Raises:
        InputError: one cannot be read.
    """
    return [
        found for path in project_files(project) if path.suffix == ENDING for found in read_pointers(project.root, path)
    ]


def objects_named(project: Project, found: list[Pointer]) -> set[str]:
    """The objects that pointers name: of a folder its listing, and the files in it."""
    named = {pointer.md5 for pointer in found}
    for pointer in found:
        if pointer.is_folder:
            listing = content_of(pointer.md5, (cache_of(project), remote_of(project, pointer.remote)))
            named |= {str(item["md5"]) for item in json.loads(listing or b"[]")}
    return named
