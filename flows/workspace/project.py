"""Where things are in a project's folder, and the environment that every tool is started with."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.data.dataset import DATASET
from pipeline.encoders.converted import PLACE as ENCODERS_PLACE
from pipeline.runtime.errors import NIGHT_COMMAND, InputError
from pipeline.runtime.params import S, read_file
from pipeline.runtime.tables import write_text
from pipeline.runtime.track import AGENTS, TRACKS, Track, track_named

NIGHT_MARK = "SWITCHTENDER_NIGHT"
MARKS = ("params.yaml", "dvc.yaml")
_HOME = "home.txt"
_FILE_STORE = "sqlite"
_STORES = (f"{_FILE_STORE}:///", "postgresql://", "postgresql+", "http://", "https://")


@dataclass(frozen=True)
class Project:
    """A checkout of Switchtender, seen from one of its tracks. Everything that running makes lies under `var`."""

    root: Path
    track: Track = AGENTS

    def on(self, track: Track) -> Project:
        """The same checkout seen from a track."""
        return replace(self, track=track)

    # cached_property writes into __dict__, past the `__setattr__` that freezes the dataclass.
    @cached_property
    def both(self) -> tuple[Project, ...]:
        """The checkout seen from each track: for what concerns every version."""
        return tuple(self.on(track) for track in TRACKS.values())

    def params(self, section: str, model: type[S]) -> S:
        """A section of the checkout's params.yaml, as the track has it.

        Raises:
            ParamsError: see `pipeline.runtime.params.read`.
        """
        return self.track.read(section, model, self.root / "params.yaml")

    @cached_property
    def table(self) -> Path:
        """What the track's nights train from, relative to the checkout.

        Raises:
            ParamsError: params.yaml cannot be read.
        """
        return Path(str(self._settings("validate").get("table", DATASET)))

    @property
    def holdout(self) -> Path:
        """The ids that the track holds out, relative to the checkout.

        Raises:
            ParamsError: params.yaml does not say.
        """
        return Path(str(self._settings("split").get("holdout", "data/holdout.txt")))

    @property
    def night_command(self) -> str:
        """What makes a version of the track, as advice names it: a plain night does unless params.yaml leaves the track
        out of `nightly.tracks`.

        Raises:
            ParamsError: params.yaml cannot be read.
        """
        trained = self._section("nightly").get("tracks")
        left_out = isinstance(trained, list) and self.track.name not in trained
        return f"switchtender nightly --track {self.track.name}" if left_out else NIGHT_COMMAND

    def _settings(self, section: str) -> dict[str, Any]:
        """A section as the track has it."""
        return self._section(f"{self.track.section}{section}")

    def _section(self, path: str) -> dict[str, Any]:
        """A section as it stands, of which no more than one key is of interest here."""
        found: Any = read_file(self.root / "params.yaml")
        for name in path.split("."):
            found = (found.get(name) if isinstance(found, dict) else None) or {}
        return dict(found)

    @property
    def var(self) -> Path:
        return self.root / "var"

    @property
    def home(self) -> Path | None:
        """The folder that `var` was last claimed for, by its own word; None where nothing was written yet."""
        mark = self.var / _HOME
        # A mark that is no path was not written here, and claims nothing.
        text = mark.read_bytes().decode("utf-8", "replace").strip() if mark.is_file() else ""
        return Path(text) if text and "\0" not in text else None

    def claim(self) -> None:
        """Note in `var` whose it is; call before a night, a promotion or a removal writes anything.

        Raises:
            InputError: the checkout is a linked worktree, which shares git's refs with another: its log of promotions
                would be the other's.
        """
        git = self.root / ".git"
        if git.is_file() and "/worktrees/" in git.read_text(encoding="utf-8"):
            raise InputError(f"{self.root} is a git worktree and shares refs with another checkout; take a git clone")
        if self.home != self.root.resolve():
            write_text(f"{self.root.resolve()}\n", self.var / _HOME)

    @property
    def runs(self) -> Path:
        return self.var / "runs"

    @property
    def lock(self) -> Path:
        return self.var / "night.lock"

    @property
    def records(self) -> Path:
        """Who promoted what, what served when, what was removed, and what was replayed."""
        return self.var / "records" / ("" if self.track is AGENTS else self.track.name)

    @property
    def trace_index(self) -> Path:
        """The index of `trace`, which holds nothing that the versions' own lineage does not say."""
        return self.var / ("trace.db" if self.track is AGENTS else f"trace-{self.track.name}.db")

    @property
    def promotion_lock(self) -> Path:
        return self.var / "promotion.lock"

    @property
    def reviews_lock(self) -> Path:
        """Held by whoever writes data/label_reviews.csv."""
        return self.var / "label_reviews.lock"

    @property
    def dvc_cache(self) -> Path:
        return self.var / "dvc" / "cache"

    @property
    def dvc_remote(self) -> Path:
        return self.var / "dvc" / "remote"

    @property
    def mlflow_database(self) -> Path:
        return self.var / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        return self.var / "artifacts"

    def name_of(self, path: Path) -> str:
        """A path from the project's folder, by which records name a file; one outside stays whole."""
        whole = path.resolve()
        return (
            whole.relative_to(self.root.resolve()) if whole.is_relative_to(self.root.resolve()) else whole
        ).as_posix()

    @property
    def own_store(self) -> str:
        return f"sqlite:///{self.mlflow_database}"

    @property
    def tracking_uri(self) -> str:
        """MLflow's store: SQLite under var unless MLFLOW_TRACKING_URI names another.

        Raises:
            InputError: it names none that is known. One file in two spellings would pass for two stores.
        """
        named = os.environ.get("MLFLOW_TRACKING_URI", "").strip()
        if named and (not named.startswith(_STORES) or (named.startswith(_FILE_STORE) and set("?%") & set(named))):
            shown = named.rsplit("@", 1)[-1][:80]
            raise InputError(
                f"MLFLOW_TRACKING_URI is '{shown}'; give sqlite:///FILE, postgresql://... or http(s)://..., or unset it"
            )
        return named or self.own_store

    @property
    def store_file(self) -> Path | None:
        """The file of a store in SQLite; None where the store is a server."""
        scheme, _, path = self.tracking_uri.partition(":///")
        return Path(path).resolve() if scheme == _FILE_STORE else None

    @property
    def owns_store(self) -> bool:
        """Whether the store is the file under `var`, which goes where the project goes."""
        return self.store_file == self.mlflow_database.resolve()

    @property
    def has_store(self) -> bool:
        """Whether MLflow's store is there; a server counts as there."""
        return self.store_file is None or self.store_file.exists()

    @property
    def prefect_home(self) -> Path:
        return self.var / "prefect"

    def environment(self) -> dict[str, str]:
        """Environment variables for child processes and for libraries that are imported later."""
        chosen = {name: os.environ[name] for name in OVERRIDABLE if name in os.environ}
        return {**os.environ, **self._defaults(), **chosen}

    def night_environment(self) -> dict[str, str]:
        """The environment of a night's children, marked so that those of a killed night can be found and ended."""
        return self.environment() | {NIGHT_MARK: str(self.root)}

    def _defaults(self) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PREFECT_HOME": str(self.prefect_home),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
            "PREFECT_LOGGING_LEVEL": "WARNING",
            # Of each request; with Prefect's own five a night whose server is gone would take minutes to say so.
            "PREFECT_CLIENT_MAX_RETRIES": os.environ.get("PREFECT_CLIENT_MAX_RETRIES", "1"),
            "MLFLOW_TRACKING_URI": self.tracking_uri,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2"),
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
            "GX_ANALYTICS_ENABLED": "false",
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(self.var / "dvc" / "site"),
            "DO_NOT_TRACK": "1",
            "ORT_DISABLE_TELEMETRY": "1",
            ENCODERS_PLACE: str(self.var / "encoders"),  # a night's clone has no var of its own to keep them in
            "TOKENIZERS_PARALLELISM": "false",
            "OMP_WAIT_POLICY": "PASSIVE",  # threads that spin starve each other on a busy machine
            "GIT_TERMINAL_PROMPT": "0",
            **_past_proxies(),
        }

    def enter_environment(self) -> None:
        """Set the defaults in this process; call before importing Prefect or MLflow."""
        for name, value in self._defaults().items():
            if name not in OVERRIDABLE or name not in os.environ:
                os.environ[name] = value


def _past_proxies() -> dict[str, str]:
    """This machine itself is asked directly, also where the environment names a proxy for all else."""
    named = (os.environ.get("no_proxy") or os.environ.get("NO_PROXY", "")).split(",")
    past = ",".join(dict.fromkeys([*filter(None, map(str.strip, named)), "127.0.0.1", "localhost", "::1"]))
    return {"NO_PROXY": past, "no_proxy": past}


OVERRIDABLE = ("MLFLOW_TRACKING_URI", "PREFECT_HOME", "PREFECT_LOGGING_LEVEL", "DVC_SITE_CACHE_DIR")


def is_project(folder: Path) -> bool:
    """Whether a folder is a checkout of Switchtender."""
    return all((folder / mark).is_file() for mark in MARKS)


def _refuse_borrowed(project: Project) -> None:
    """Refuse a `var` that is a link into another project, or to what another project links to and has claimed."""
    root, place, owner = project.root.resolve(), project.var.resolve(), project.home
    if place.is_relative_to(root):
        return
    others = [folder for folder in place.parents if is_project(folder)]
    if owner is not None and owner != root and (owner / "var").resolve() == place:
        others.append(owner)
    if others:
        raise InputError(
            f"{project.var} is a link to the files of another project, {others[0]}; put a copy in its place"
        )


def find_project(start: Path | None = None, track: str = "") -> Project:
    """The project that the current folder lies in, seen from the track of that name, or from the agents'.

    Raises:
        InputError: neither this folder nor one above it is a project, its `var` is a link to that of another one, or no
            track has that name.
    """
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if is_project(folder):
            project = Project(folder, track_named(track or AGENTS.name))
            _refuse_borrowed(project)
            return project
    raise InputError(f"{here} is not inside a Switchtender project (no params.yaml and dvc.yaml); change folder")
