"""Where the service takes its versions from: the promotion log says which, and each is proved from a private copy."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.promotion.in_service import version_named
from flows.records.promotion_log import promotions
from flows.records.serving_log import record_swap
from flows.records.signed_logs import PROMOTIONS
from flows.registry.verification import require_sound
from flows.registry.versions import CHAMPION, PROVENANCE_TAG, Version, opened, versions_of
from flows.workspace import runs
from flows.workspace.project import Project
from pipeline.runtime.errors import VerificationFailed, one_line
from pipeline.serving.engine.hot_swap import VersionPointer
from pipeline.versions.commands import see_verify
from pipeline.versions.folder import FOLDER, VersionFolder

LOOK_SECONDS = 60.0
"""The promotion log is proved again when its file changes, and this often at least."""
_FileStamp = tuple[int, int, int] | None


class RegistrySource:
    """The versions of one project. `which` is `champion`, another alias, or a number; `server` names this service."""

    def __init__(self, project: Project, which: str, server: str) -> None:
        self.project, self.which, self.server = project, which, server
        self.log = project.records / PROMOTIONS
        self._champion: VersionPointer | None = None
        self._stamp: _FileStamp = None
        self._proved_at = 0.0

    def current(self) -> VersionPointer | None:
        """The version that should serve.

        Raises:
            InputError: nothing is registered yet, or there is no such version.
            VerificationFailed: the promotion log cannot be trusted.
            SwitchtenderError: the store cannot be read.
        """
        return self._promoted() if self.which == CHAMPION else self._named()

    @contextmanager
    def proved(self, pointer: VersionPointer) -> Iterator[Path]:
        """The version's `model/` in a private copy, in which everything was verified.

        Raises:
            VerificationFailed: names what is not as it was signed.
        """
        version = versions_of(self.project).number(pointer.version)
        with opened(version) as folder, tempfile.TemporaryDirectory(prefix="switchtender-") as place:
            # What is verified and then loaded is a private copy: nobody can change a file between the two.
            copy = _copied(version, folder, Path(place))
            require_sound(self.project, version, copy)
            if copy.provenance_sha256() != pointer.provenance_sha256:
                raise VerificationFailed(
                    f"version {version.version} is not the one that was promoted (its provenance differs); "
                    f"{see_verify(version)}"
                )
            yield copy.model

    def swapped(self, pointer: VersionPointer | None) -> None:
        """Note in the served log what this service answers with from now on; None: nothing."""
        if pointer is None:
            record_swap(self.project, "", "", self.server)
        else:
            record_swap(self.project, pointer.version, pointer.provenance_sha256, self.server)

    def _promoted(self) -> VersionPointer | None:
        # Taken before the log is read, so that a promotion written meanwhile is found at the next poll.
        stamp, now = _file_stamp(self.log), time.monotonic()
        if self._champion is not None and stamp == self._stamp and now - self._proved_at < LOOK_SECONDS:
            return self._champion
        served = promotions(self.project)
        versions = versions_of(self.project)
        if not versions.all:
            raise versions.none(_of_last_night(self.project))
        if not served:
            raise versions.none_at(CHAMPION)
        last = served[-1]
        version = versions.number(last.version_to)
        self._champion = VersionPointer(version.version, version.run_key, last.provenance_sha256, last.at)
        self._stamp, self._proved_at = stamp, now
        return self._champion

    def _named(self) -> VersionPointer | None:
        versions = versions_of(self.project)
        version = version_named(self.project, versions, self.which)
        return VersionPointer(version.version, version.run_key, version.tags.get(PROVENANCE_TAG, ""))


def _of_last_night(project: Project) -> str:
    """Why a night registered nothing, where one ended; empty where there was none."""
    last = runs.latest_finished(project)
    return f"the gates of the latest night, {last.key}, did not all pass; see 'switchtender status'" if last else ""


def _copied(version: Version, folder: VersionFolder, place: Path) -> VersionFolder:
    """A version's files with MLflow's around them; links stay links, so that they are found."""
    copy = place / "version"
    try:
        shutil.copytree(folder.root.parent.parent, copy, symlinks=True)
    except (OSError, shutil.Error) as error:
        raise VerificationFailed(
            f"version {version.version}: its files cannot be copied to {place} ({one_line(error, 120)}); "
            f"make room there, or {see_verify(version)}"
        ) from error
    return VersionFolder(copy / "artifacts" / FOLDER)


def _file_stamp(path: Path) -> _FileStamp:
    """Time, size and inode, of which one changes when the file does; None where there is no file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
