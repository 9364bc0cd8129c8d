"""`serve`: settings and options put together, and what a person at the terminal hears."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.runtime.errors import InputError
from pipeline.runtime.text import counted
from switchtender.options import RouterFolder, TrackOption
from switchtender.router_source import CHAMPION, refuse_both
from switchtender.show import say, say_aside

if TYPE_CHECKING:
    from flows.service.serve import StartupLines
    from flows.service.version_source import RegistrySource
    from flows.workspace.project import Project
    from pipeline.runtime.plain import JsonObject
    from pipeline.serving.engine.hot_swap import ServedVersion
    from pipeline.serving.engine.settings import ServeParams

SECTION = "serve"

app = typer.Typer()


@app.command(epilog="Example: switchtender serve --port 8400 --keys file:keys.txt")
def serve(
    host: Annotated[str, typer.Option("--host", help="Where to listen; beyond this machine only with keys.")] = "",
    port: Annotated[int | None, typer.Option("--port", min=0, max=65535, help="0 takes any free one.")] = None,
    version: Annotated[str, typer.Option("--version", help="An alias, which is followed, or a number.")] = CHAMPION,
    folder: RouterFolder = None,
    keys: Annotated[str, typer.Option("--keys", help="env:NAME or file:PATH of the API keys.")] = "",
    upstreams: Annotated[str, typer.Option("--upstreams", help="upstreams.yaml: offers /v1/chat/completions.")] = "",
    pool: Annotated[
        str, typer.Option("--pool", help="pool.yaml: prices and who may answer, followed as it changes.")
    ] = "",
    no_page: Annotated[bool, typer.Option("--no-page", help="Without the web page.")] = False,
    log_prompts: Annotated[bool, typer.Option("--log-prompts", help="Keep each prompt's text in the journal.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON lines, for programs.")] = False,
    track: TrackOption = "",
) -> None:
    """Answer over HTTP, and follow the version in service. Settings: section `serve` of params.yaml."""
    options = ServeOptions(host, port, keys, upstreams, pool, no_page, log_prompts)
    _run(options, version, folder, as_json, track)


@dataclass(frozen=True)
class ServeOptions:
    """What was said on the command line; what was not is empty, None or False."""

    host: str = ""
    port: int | None = None
    keys: str = ""
    upstreams: str = ""
    pool: str = ""
    no_page: bool = False
    log_prompts: bool = False

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


def _run(options: ServeOptions, version: str, folder: Path | None, as_json: bool, track: str) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        InputError: a setting, option, version, folder or address cannot be used.
    """
    from flows.service.serve import Service, listen
    from pipeline.runtime.track import AGENTS
    from pipeline.serving.engine.hot_swap import FolderSource

    refuse_both(folder, version, track)
    project = _project(folder, track)
    root = project.root if project else Path.cwd()
    params = options.over(_params(root))
    with listen(params) as listening:
        if folder is not None:
            source = FolderSource(folder)
            if source.unproved:
                say_aside(f"the router's signature was not checked: {source.unproved}")
            say_aside(f"its journal and feedback are kept in {(root / AGENTS.journal).parent}")
            service = Service(source, params, root)
        else:
            assert project is not None
            service = Service(_versions(project, version, listening), params, root, project)
        service.run(listening, _as_json() if as_json else _as_text())


def _project(folder: Path | None, track: str) -> Project | None:
    """The project here; a folder of one's own needs none."""
    from flows.workspace.project import find_project
    from pipeline.runtime.track import AGENTS, track_named

    track_named(track or AGENTS.name)  # an unknown one is an error here too, not "no project"
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
    from pipeline.runtime.params import read, read_file
    from pipeline.serving.engine.settings import ServeParams

    path = root / "params.yaml"
    if not path.exists() or SECTION not in read_file(path):
        return ServeParams()
    return read(SECTION, ServeParams, path)


def _versions(project: Project, version: str, listening: socket.socket) -> RegistrySource:
    """The versions of the registry, of which one is followed. Raises InputError for a number that is not there."""
    from flows.registry.versions import versions_of
    from flows.service.version_source import RegistrySource

    if version.isdigit():
        versions_of(project).number(version)
    server = f"serve@{socket.gethostname()}:{listening.getsockname()[1]}"
    return RegistrySource(project, version, server)


def _from_here(keys: str) -> str:
    kind, _, name = keys.partition(":")
    return f"file:{Path(name).resolve()}" if kind == "file" and name else keys


def _as_text() -> StartupLines:
    from flows.service.serve import StartupLines

    return StartupLines(
        listening=lambda address: say(f"Listening at {address}"),
        serving=lambda served: say(f"  {_described(served)}"),
        page=lambda address: say(f"  page {address}"),
        waiting=lambda why: say(f"  no version answers yet: {why}"),
    )


def _described(served: ServedVersion) -> str:
    what = f"version {served.version}, run {served.run_key}" if served.run_key else "the router of a folder"
    return f"{what}, {counted(len(served.engine.candidates), 'candidate')}, precision {served.engine.precision}"


def _as_json() -> StartupLines:
    from flows.service.serve import StartupLines

    return StartupLines(
        listening=lambda address: say(json.dumps({"event": "listening", "address": address})),
        serving=lambda served: say(json.dumps(_facts(served))),
        page=lambda address: say(json.dumps({"event": "page", "address": address})),
        waiting=lambda why: say(json.dumps({"event": "waiting", "reason": why})),
    )


def _facts(served: ServedVersion) -> JsonObject:
    return {
        "event": "serving",
        "version": served.version,
        "run_key": served.run_key or None,
        "provenance_sha256": served.provenance_sha256 or None,
        "precision": served.engine.precision,
    }
