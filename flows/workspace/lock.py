"""One night at a time: our own lock, since DVC's fails at once and Prefect's only warns."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipeline.runtime.errors import HeldByAnotherRun

_LOOKS, _BETWEEN = 10, 0.05
_CLOCK_SECONDS = 5.0
"""How far a process's own start may seem to lie behind what it wrote later."""


@dataclass(frozen=True)
class LockHolder:
    """The process that holds a lock, for what, and since when (ISO 8601, UTC)."""

    pid: int
    purpose: str
    since: str


@contextmanager
def held(path: Path, purpose: str, patience: float = 0.0) -> Iterator[None]:
    """Hold the lock while the block runs. The kernel drops it when the process dies, however it dies.

    Raises:
        HeldByAnotherRun: somebody else has it after `patience` seconds; the message says who, for what and since when.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    holder = word_of(path)
    try:
        lock.acquire(timeout=patience)
    except Timeout as error:
        raise HeldByAnotherRun(f"held by {_describe(holder)}; wait for it to end, then run this again") from error
    try:
        facts = {"pid": os.getpid(), "purpose": purpose, "since": datetime.now(UTC).isoformat(timespec="seconds")}
        # A file beside the lock, for messages only: it may be left over from a killed process, the lock never is.
        with suppress(OSError):
            holder.write_text(json.dumps(facts), encoding="utf-8")
        yield
    finally:
        # In this order: after the release the file might be the next holder's.
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def word_of(path: Path) -> Path:
    """The file beside a lock in which its holder says who it is."""
    return path.with_suffix(".holder.json")


def holder_of(path: Path) -> LockHolder | None:
    """Who holds a lock, by its own word and while that process lives; None where nobody does. Takes no lock."""
    import psutil

    try:
        found = LockHolder(**json.loads(word_of(path).read_text(encoding="utf-8")))
        process = psutil.Process(found.pid)
        # A killed process leaves its word behind, and its number may be another's by now.
        is_it = process.create_time() <= datetime.fromisoformat(found.since).timestamp() + _CLOCK_SECONDS
        return found if is_it and process.status() != psutil.STATUS_ZOMBIE else None
    except (OSError, ValueError, TypeError, psutil.Error):
        return None


def _describe(holder: Path) -> str:
    """Who holds the lock, for a message; whoever has just taken it is about to say so."""
    for _ in range(_LOOKS):
        try:
            facts = json.loads(holder.read_text(encoding="utf-8"))
            return f"{facts['purpose']} (process {facts['pid']}, since {facts['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            time.sleep(_BETWEEN)
    return "another run"
