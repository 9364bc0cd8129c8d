"""Where a verb finds the router that it is asked about: a registered version, or a folder made by `fit`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def router_source(version: str, folder: Path | None, track: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The router's folder, and of which version and run it is: of none where a `folder` is given.

    Raises:
        InputError: there is no project, or no such version.
        VerificationFailed: the version's files are not as they were signed.
    """
    if folder is not None:
        yield folder, {"version": None, "run_key": None}
        return
    from flows.status import router_at
    from flows.workspace.project import find_project

    with router_at(find_project(track=track), version) as (place, source):
        yield place, source


def name_of(source: dict[str, Any], folder: Path | None) -> str:
    """The router as a title names it."""
    return str(folder) if folder is not None else f"version {source['version']}"
