"""Follows the version in service: loads a new one beside the old, and swaps when it has been proved.

The old version serves until the new one is loaded, verified and warmed up; requests that hold it finish on it. A
version that fails is refused, and the old one goes on.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from pipeline.routers.calibrated import DESCRIPTION
from pipeline.runtime.checksums import sha256_folder
from pipeline.runtime.errors import InputError, SwitchtenderError, VerificationFailed, none_in_service, one_line
from pipeline.serving.engine.engine import Engine
from pipeline.serving.engine.log import log
from pipeline.serving.engine.pool_file import PoolFile
from pipeline.serving.engine.settings import ServeParams
from pipeline.versions.folder import SIGNATURE
from pipeline.versions.key_at_hand import check_if_possible

RETRY_SECONDS = 60.0
"""A refused version is tried again this much later, since somebody may have restored its bytes."""
BEING_LOADED = "the version to serve is being read and proved; ask again in a few seconds"
WARM_UP = (
    "Translate this letter into Dutch.",
    "Summarise the attached report in five sentences, then plan a meeting about it with everybody it names.",
)


class NotReady(SwitchtenderError):
    """No version has been loaded yet."""


@dataclass(frozen=True)
class VersionPointer:
    """Which version should serve. The digest is that of its provenance; empty for a plain folder.

    `since` is when it was put into service (ISO time in UTC); empty where no promotion says so.
    """

    version: str
    run_key: str
    provenance_sha256: str
    since: str = field(default="", compare=False)


@dataclass(frozen=True)
class ServedVersion:
    """A loaded, proved version. `since` as in its pointer; `loaded_at` is when this process took it up (ISO, UTC)."""

    version: str
    run_key: str
    provenance_sha256: str
    engine: Engine
    since: str
    loaded_at: str = ""


@dataclass(frozen=True)
class Refusal:
    """A version that should serve and may not: why, and when that was found (ISO time in UTC)."""

    version: str
    reason: str
    at: str


class VersionSource(Protocol):
    """Where versions come from."""

    def current(self) -> VersionPointer | None:
        """The version that should serve, or None where there is none. Cheap, and changes nothing.

        Raises:
            SwitchtenderError: it cannot be known at present.
        """

    def proved(self, pointer: VersionPointer) -> AbstractContextManager[Path]:
        """The router's folder, verified; it may be removed when the block ends.

        Raises:
            VerificationFailed: the bytes are not what was signed.
        """

    def swapped(self, pointer: VersionPointer | None) -> None:
        """Note that this version answers from now on; None: that the server stops."""


class VersionSwitch:
    """Holds the version that answers. `served` is one atomic read; take it once a request."""

    def __init__(self, source: VersionSource, params: ServeParams, pool: PoolFile | None = None) -> None:
        self.source = source
        self.params = params
        self.pool = pool
        self.refused: Refusal | None = None
        self.trouble = ""
        """Why it cannot be known at present which version should serve; empty where it can."""
        self._served: ServedVersion | None = None
        self._tried: VersionPointer | None = None
        self._tried_at = 0.0
        self._polling = threading.Lock()
        self._looked = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def served(self) -> ServedVersion:
        """The version that answers now.

        Raises:
            NotReady: none has been loaded yet.
        """
        if self._served is None:
            refused = f"version {self.refused.version} was refused: {self.refused.reason}" if self.refused else ""
            is_looking = self._polling.locked() or not self.has_looked
            raise NotReady(refused or self.trouble or (BEING_LOADED if is_looking else none_in_service().message))
        return self._served

    @property
    def has_looked(self) -> bool:
        """Whether it is known by now if a version can serve."""
        return self._looked.is_set()

    def poll(self) -> None:
        """Look once at which version should serve, and change to it if that is another one. Never raises."""
        # `stop` takes this lock too, so that no swap is recorded after the server's end.
        with self._polling:
            self._look()
            self._looked.set()

    def _look(self) -> None:
        try:
            pointer = self.source.current()
        except Exception as error:  # of any kind: what serves goes on serving
            self._set_trouble(_line(error))
            return
        self._set_trouble("" if pointer or not self._served else "no version is in service any more")
        if pointer is not None:
            self._follow(pointer)
        self._check_pool()

    def start(self) -> None:
        """Poll in a thread of its own, at once and then every `poll_seconds`, until `stop`."""
        self._thread = threading.Thread(target=self._run, name="switch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop polling, and note that this server stops. What is loaded still answers."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        with self._polling:
            try:
                if self._served is not None:
                    self.source.swapped(None)
            except SwitchtenderError as error:
                log("stop_not_noted", reason=_line(error))

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.poll()
            self._stopping.wait(self.params.poll_seconds)

    def _check_pool(self) -> None:
        """Read a changed pool file now: with no requests, nothing else would find its trouble for the health checks."""
        if self.pool is not None and self._served is not None:
            with suppress(SwitchtenderError):
                self.pool.of(self._served.engine.candidates)

    def _set_trouble(self, reason: str) -> None:
        """Set `trouble`, and log it where it changes."""
        if reason != self.trouble:
            log("source", trouble=reason or None)
        self.trouble = reason

    def _follow(self, pointer: VersionPointer) -> None:
        """Load the version that should serve and put it in place, or refuse it and keep the present one."""
        if self._served is not None and pointer == _pointer(self._served):
            if (
                pointer.since != self._served.since
            ):  # another version was put into service meanwhile, and this one again
                self._served = replace(self._served, since=pointer.since)
            self.refused = None
            return
        if self.refused and pointer == self._tried and time.monotonic() - self._tried_at < RETRY_SECONDS:
            return
        try:
            served = self._load(pointer)
            # Recorded before it answers: what never could be recorded never serves.
            self.source.swapped(pointer)
        except Exception as error:  # whatever is wrong with it, a version that does not load does not serve
            self.refused = Refusal(pointer.version, _line(error), _now())
            log("refused", version=pointer.version, reason=self.refused.reason)
            self._tried, self._tried_at = pointer, time.monotonic()
            return
        # A reference is replaced in one step: each request reads the old version or the new one. There is no draining
        # to do, since requests under way hold the old one until they end.
        self._served, self.refused = served, None
        log("serving", version=served.version, run_key=served.run_key, precision=served.engine.precision)

    def _load(self, pointer: VersionPointer) -> ServedVersion:
        """Load and warm up while the proved copy is there: an engine may read some of its files only when asked."""
        with self.source.proved(pointer) as folder:
            engine = Engine.load(folder, self.params.threads, self.params.cache_bytes // 2, self.pool)
            engine.score(WARM_UP)
        return ServedVersion(
            pointer.version, pointer.run_key, pointer.provenance_sha256, engine, pointer.since, _now()
        )  # fmt: skip


def _pointer(served: ServedVersion) -> VersionPointer:
    return VersionPointer(served.version, served.run_key, served.provenance_sha256, served.since)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _line(error: Exception) -> str:
    """An error in one line; one that is not ours is named by its class too."""
    text = one_line(error, 300)
    return text if isinstance(error, SwitchtenderError) else f"{type(error).__name__}: {text}"


FOLDER = "folder"


class FolderSource:
    """Law: what is loaded is what lay there when this object was made."""

    def __init__(self, folder: Path) -> None:
        """Where it is a version's, its signature is checked if a public key is at hand; `unproved` says why not.

        Raises:
            InputError: the folder holds no router.
            VerificationFailed: it is not what was signed.
        """
        if not (folder / DESCRIPTION).is_file():
            raise InputError(f"{folder} holds no router ({DESCRIPTION} is missing); make one with fit")
        self.folder = folder
        self._digest = sha256_folder(folder)
        whole = folder.resolve().parent
        self.unproved = check_if_possible(whole, whole.parent / SIGNATURE)

    def current(self) -> VersionPointer:
        """Always the same; nothing signed says where such a folder comes from."""
        return VersionPointer(FOLDER, "", "")

    @contextmanager
    def proved(self, pointer: VersionPointer) -> Iterator[Path]:
        """A private copy of the folder.

        Raises:
            VerificationFailed: it was changed since the start.
        """
        with tempfile.TemporaryDirectory(prefix="switchtender-") as place:
            copy = Path(place) / "router"
            # The copy is what is checked and then loaded, so nobody can change a file between the two.
            try:
                shutil.copytree(self.folder, copy)
            except (OSError, shutil.Error) as error:
                raise VerificationFailed(f"{self.folder} cannot be read ({one_line(error, 120)})") from error
            if sha256_folder(copy) != self._digest:
                raise VerificationFailed(f"{self.folder} was changed since the service started; start it again")
            yield copy

    def swapped(self, pointer: VersionPointer | None) -> None:
        """Noted nowhere: the served log is that of registered versions."""
