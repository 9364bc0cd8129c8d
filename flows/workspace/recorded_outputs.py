"""Outputs of stages held against what DVC recorded of them, from their bytes.

DVC restores an output from its cache without looking, and goes by the file's time afterwards: a changed object in the
cache would be learnt from, and signed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from flows.workspace.dvc_objects import DIRECTORY, StoredFile, cache_of, stored_files
from flows.workspace.dvc_stages import LOCK
from flows.workspace.project import Project
from pipeline.runtime.errors import VerificationFailed

DATASET_OF_THE_LOCK = ""
"""The name under which `stored_files` lists what no stage wrote."""


def require_recorded(project: Project, clone: Path, stages: Iterable[str]) -> None:
    """Hash every file anew that these stages wrote.

    Raises:
        VerificationFailed: one of them is not what dvc.lock names; says which object to take away.
    """
    for file in stored_files(project, (clone / LOCK).read_text(encoding="utf-8"), set(stages)):
        if _md5(project, clone, file) != file.md5.removesuffix(DIRECTORY):
            place = cache_of(project).path(file.md5)
            raise VerificationFailed(
                f"{file.path} is not what stage {file.stage or 'validate'} recorded ({file.md5}): DVC's cache was "
                f"changed; remove {place}, run 'dvc fetch', then run the night again"
            )


def _md5(project: Project, clone: Path, file: StoredFile) -> str:
    """Of a file as it lies in the clone; of a folder, of its listing in the cache, whose files stand one by one."""
    if file.md5.endswith(DIRECTORY):
        found = cache_of(project).digests(file.md5)
        return found.md5 if found else "nothing"
    try:
        with (clone / file.path).open("rb") as content:
            return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError:
        return "nothing"
