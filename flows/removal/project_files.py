"""Every file of a project on this disk, but for git's own and for environments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from flows.workspace.project import Project
from pipeline.runtime.errors import SwitchtenderError

_SKIPPED = {".git", "__pycache__"}
_ENVIRONMENT = "pyvenv.cfg"
REMOTE_IN_REPOSITORY = Path("data/remote")


def files_under(folder: Path) -> Iterator[Path]:
    """Every file under a folder, in order of path; links are not followed.

    Raises:
        SwitchtenderError: a folder cannot be read, so that nothing may be said of what lies in it.
    """

    def refuse(error: OSError) -> None:
        raise SwitchtenderError(
            f"{error.filename} cannot be read ({error.strerror}); make it readable, then run this again"
        ) from error

    for place, folders, names in os.walk(folder, onerror=refuse if folder.is_dir() else None):
        folders[:] = sorted(set(folders) - _SKIPPED) if _ENVIRONMENT not in names else []
        for name in sorted(names) if _ENVIRONMENT not in names else ():
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                yield path


def project_files(project: Project) -> Iterator[Path]:
    """Every file of the working copy that people or tools put there, but for what running made under `var`."""
    for path in sorted(project.root.iterdir()):
        if path.is_dir() and not path.is_symlink():
            if path.name not in {*_SKIPPED, project.var.name}:
                yield from files_under(path)
        elif path.is_file() and not path.is_symlink():
            yield path
