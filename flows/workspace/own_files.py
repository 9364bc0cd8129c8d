"""Which files are this project's own: a copy never writes into, nor deletes from, the project that it was copied from.

Places that an earlier folder's name is part of (in MLflow's tables, in DVC's settings, behind a link) outlive a copy
or a move, and would lead back there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from flows.workspace.project import Project, is_project
from pipeline.runtime.errors import InputError, SwitchtenderError


def is_own(project: Project, path: Path) -> bool:
    """Whether a path lies in the project's folder, or in its `var` where that is a link to another disk."""
    place = path.resolve()
    return any(place.is_relative_to(home.resolve()) for home in (project.root, project.var))


def require_own(project: Project, paths: Iterable[Path]) -> None:
    """Refuse to delete what is not the project's own; call before the first of them goes.

    Raises:
        SwitchtenderError: names the first that lies outside.
    """
    for path in paths:
        place = path.resolve()
        if not is_own(project, place):
            raise SwitchtenderError(
                f"{path} lies outside this project ({place}), and nothing was removed; put a copy in place of the link"
            )


def refuse_foreign(project: Project, path: Path, what: str, mend: str) -> None:
    """Refuse a place that is part of another project.

    Raises:
        InputError: says of `what` where it is, and what to do.
    """
    place = path.resolve()
    if is_own(project, place):
        return
    around = next((folder for folder in (place, *place.parents) if is_project(folder)), None)
    if around is not None:
        raise InputError(f"{what} lies in another project, {around}; {mend}")


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that lies in it; it may be gone already.

    Raises:
        SwitchtenderError: it may not be removed.
    """
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise SwitchtenderError(
            f"{path} cannot be removed ({error.strerror}); remove it, then run this again"
        ) from error
