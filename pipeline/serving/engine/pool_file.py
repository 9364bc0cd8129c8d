"""A pool.yaml that is followed while it is served: who may answer, and at what price, changes as the file does."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from pipeline.data.pool import Candidate, offered, read_pool
from pipeline.runtime.errors import InputError, one_line
from pipeline.runtime.tables import sha256_file
from pipeline.serving.engine.log import log

Stamp = tuple[int, int, int]


class PoolFile:
    """The pool as it was last read whole. Safe to ask from several threads.

    Law: a file that is missing, broken, or lacks a candidate changes nothing: the last good pool holds, and `trouble`
    says why.
    """

    def __init__(self, path: Path) -> None:
        """Raises InputError where the file cannot be used."""
        self.path = path
        self.trouble = ""
        self._lock = threading.Lock()
        self._pool = read_pool(path)
        self._stamp: Stamp | None = None
        self._digest = sha256_file(path)

    def of(self, candidates: Sequence[str]) -> tuple[Candidate, ...]:
        """The entries of these candidates, in their order; the file is read again where it has changed.

        Raises:
            InputError: the last good pool does not know one of them.
        """
        with self._lock:
            self._refresh(candidates)
            return offered(self._pool, candidates)

    def _refresh(self, candidates: Sequence[str]) -> None:
        """Read the file again where its bytes changed. A state that was refused is not tried a second time."""
        try:
            facts = self.path.stat()
            # The inode too: a save by rename may keep time and size.
            stamp = facts.st_mtime_ns, facts.st_size, facts.st_ino
            if stamp == self._stamp:
                return
            digest = sha256_file(self.path)
            # After trouble also the bytes of before are news: the file was mended by restoring it.
            if digest != self._digest or self.trouble:
                self._take(read_pool(self.path), digest, candidates)
            self._stamp = stamp
        except OSError as error:
            self._stamp = None
            self._refuse(f"{self.path} cannot be read ({error.strerror}); the pool read before holds")
        except InputError as error:
            self._stamp = stamp
            self._refuse(f"{one_line(error, 300)}; the pool read before holds")

    def _take(self, pool: tuple[Candidate, ...], digest: str, candidates: Sequence[str]) -> None:
        """Replace the pool, unless the new one lacks a candidate."""
        offered(pool, candidates)  # raises before anything is replaced
        self._pool, self._digest, self.trouble = pool, digest, ""
        log("pool", path=str(self.path), sha256=digest, candidates=len(pool))

    def _refuse(self, reason: str) -> None:
        """Keep the last good pool, and log why where the reason is another one."""
        if reason != self.trouble:
            log("pool_refused", reason=reason)
        self.trouble = reason
