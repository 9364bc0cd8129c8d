"""Where a verb finds the router that it is asked about: a registered version, or a folder made by `fit`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.runtime.errors import InputError

if TYPE_CHECKING:
    from flows.status import RouterSource

CHAMPION = "champion"


def refuse_both(folder: Path | None, version: str, track: str) -> None:
    """Refuse a router that is named in two ways; `version` is CHAMPION and `track` empty where none is named.

    Raises:
        InputError: there is a folder, and a version or track too.
    """
    if folder is not None and (version != CHAMPION or track):
        raise InputError("--from names a folder, --version and --track a registered version; give one or the other")


@contextmanager
def router_source(version: str, folder: Path | None, track: str) -> Iterator[tuple[Path, RouterSource]]:
    """The router's folder, and of which version and run it is: of none where a `folder` is given.

    Raises:
        InputError: there is no project, or no such version.
        VerificationFailed: the version's files are not as they were signed.
    """
    from flows.status import RouterSource, router_at

    if folder is not None:
        yield folder, RouterSource(None, None)
        return
    from flows.workspace.project import find_project

    with router_at(find_project(track=track), version) as (place, source):
        yield place, source


def name_of(source: RouterSource, folder: Path | None) -> str:
    """The router as a title names it."""
    return str(folder) if folder is not None else f"version {source.version}"
