"""A pool.yaml that is followed while it is served: who may answer, and at what price, changes as the file does."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from pipeline.data.pool import PoolCandidate, offered, read_pool
from pipeline.runtime.errors import InputError, one_line
from pipeline.runtime.tables import sha256_file
from pipeline.serving.engine.log import log

Stamp = tuple[int, int, int]


class PoolFile:
    """The pool as it was last read whole. Safe to ask from several threads.

    Law: a file that is missing or broken, or lacks a candidate of a version, changes nothing for that version: what it
    was last given holds, and `trouble` says why.
    """

    def __init__(self, path: Path) -> None:
        """Raises InputError where the file cannot be used."""
        self.path = path
        self.trouble = ""
        self._lock = threading.Lock()
        self._pool = self._before = read_pool(path)
        self._given: dict[tuple[str, ...], tuple[PoolCandidate, ...]] = {}
        self._stamp: Stamp | None = None
        self._is_readable = True
        self._digest = sha256_file(path)

    def of(self, candidates: Sequence[str]) -> tuple[PoolCandidate, ...]:
        """The entries of these candidates, in their order; the file is read again where it has changed.

        Raises:
            InputError: no pool that was read so far knows all of them.
        """
        with self._lock:
            known = tuple(candidates)
            is_readable = self._refresh()
            try:
                self._given[known] = offered(self._pool, known)
            except InputError as error:
                # Of two versions, as while one takes the place of the other, each is judged by its own candidates.
                if known not in self._given:
                    self._given[known] = offered(self._before, known)
                self._refuse(f"{one_line(error, 300)}; the pool read before holds")
            else:
                self.trouble = "" if is_readable else self.trouble
            return self._given[known]

    def _refresh(self) -> bool:
        """Read the file again where its bytes changed; whether it can be read."""
        try:
            facts = self.path.stat()
            # The inode too: a save by rename may keep time and size.
            stamp = facts.st_mtime_ns, facts.st_size, facts.st_ino
            if stamp == self._stamp:
                return self._is_readable
            self._stamp, self._is_readable = stamp, False
            digest = sha256_file(self.path)
            self._before, self._pool, self._is_readable = self._pool, read_pool(self.path), True
            if digest != self._digest:
                log("pool", path=str(self.path), sha256=digest, candidates=len(self._pool))
            self._digest = digest
        except OSError as error:
            self._stamp, self._is_readable = None, False
            self._refuse(f"{self.path} cannot be read ({error.strerror}); the pool read before holds")
        except InputError as error:
            self._refuse(f"{one_line(error, 300)}; the pool read before holds")
        return self._is_readable

    def _refuse(self, reason: str) -> None:
        """Keep the last good pool, and log why where the reason is another one."""
        if reason != self.trouble:
            log("pool_refused", reason=reason)
        self.trouble = reason
