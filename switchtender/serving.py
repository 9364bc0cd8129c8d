"""`serve`: settings and options put together, and what a person at the terminal hears."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.registry.versions import versions_of
from flows.service.serve import Service, StartupLines, listen
from flows.service.version_source import RegistrySource
from flows.workspace.project import Project, find_project
from pipeline.runtime.errors import InputError
from pipeline.runtime.params import read, read_file
from pipeline.serving.engine.folder_source import FolderSource
from pipeline.serving.engine.hot_swap import ServedVersion
from pipeline.serving.engine.settings import ServeParams
from switchtender.show import say

SECTION = "serve"


@dataclass(frozen=True)
class Options:
    """What was said on the command line; what was not is empty, None or False."""

    host: str
    port: int | None
    keys: str
    upstreams: str
    no_page: bool
    log_prompts: bool
    pool: str = ""

    def over(self, params: ServeParams) -> ServeParams:
        """The settings, with the options in their places. Paths among the options start in the current folder."""
        said: dict[str, Any] = {
            "host": self.host or None,
            "port": self.port,
            "keys": _from_here(self.keys) or None,
            "upstreams": str(Path(self.upstreams).resolve()) if self.upstreams else None,
            "pool": str(Path(self.pool).resolve()) if self.pool else None,
            "page": False if self.no_page else None,
            "log_prompts": self.log_prompts or None,
        }
        return params.model_copy(update={name: value for name, value in said.items() if value is not None})


def run_service(options: Options, version: str, folder: Path | None, as_json: bool, track: str = "") -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InputError: a setting, option, version, folder or address cannot be used.
    """
    project = _project(folder, track)
    root = project.root if project else Path.cwd()
    params = options.over(_params(root))
    listening = listen(params)
    with listening:
        if folder is not None:
            service = Service(FolderSource(folder), params, root)
        else:
            assert project is not None
            service = Service(_versions(project, version, listening), params, root, project)
        service.run(listening, _as_json() if as_json else _as_text())


def _project(folder: Path | None, track: str) -> Project | None:
    """The project here; a folder of one's own needs none."""
    try:
        project = find_project(track=track)
    except InputError:
        if folder is None:
            raise
        return None
    project.enter_environment()
    return project


def _params(root: Path) -> ServeParams:
    """The section of params.yaml; every setting has a default, so that it may be left out."""
    path = root / "params.yaml"
    if not path.exists() or SECTION not in read_file(path):
        return ServeParams()
    return read(SECTION, ServeParams, path)


def _versions(project: Project, version: str, listening: socket.socket) -> RegistrySource:
    if version.isdigit():
        versions_of(project).number(version)
    server = f"serve@{socket.gethostname()}:{listening.getsockname()[1]}"
    return RegistrySource(project, version, server)


def _from_here(keys: str) -> str:
    kind, _, name = keys.partition(":")
    return f"file:{Path(name).resolve()}" if kind == "file" and name else keys


def _as_text() -> StartupLines:
    return StartupLines(
        listening=lambda address: say(f"Listening at {address}"),
        serving=lambda served: say(f"  {_described(served)}"),
        page=lambda address: say(f"  page {address}"),
    )


def _described(served: ServedVersion) -> str:
    what = f"version {served.version}, run {served.run_key}" if served.run_key else "the router of a folder"
    return f"{what}, {len(served.engine.candidates)} candidates, precision {served.engine.precision}"


def _as_json() -> StartupLines:
    return StartupLines(
        listening=lambda address: say(json.dumps({"event": "listening", "address": address})),
        serving=lambda served: say(json.dumps(_facts(served))),
        page=lambda address: say(json.dumps({"event": "page", "address": address})),
    )


def _facts(served: ServedVersion) -> dict[str, Any]:
    return {
        "event": "serving",
        "version": served.version,
        "run_key": served.run_key or None,
        "provenance_sha256": served.provenance_sha256 or None,
        "precision": served.engine.precision,
    }
