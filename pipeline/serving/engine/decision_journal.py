"""What was decided, and what came of it: append-only files of JSON lines under one folder.

    decisions.jsonl   every decision: who was asked about, which scores, what was chosen, by which version
    feedback.jsonl    what came back, joined by request id and index
    forwarded.jsonl   which candidate's upstream answered a chat, and which failed before it

A thread writes for the event loop, which must not wait for a disk; threads that may wait write by themselves. A
decision is answered only after its line is with the operating system, so that a killed process loses none; once a
second what was written is forced to the disk. Each append is whole lines in one write, and starts on a new line where a
crash left half a one.
"""

from __future__ import annotations

import json
import os
import queue
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import SwitchtenderError
from pipeline.serving.engine.log import log

DECISIONS, FEEDBACK, FORWARDED = "decisions.jsonl", "feedback.jsonl", "forwarded.jsonl"
WAITING = 4096
"""So many writes may wait; the service lets far fewer requests in at once."""
SYNC_SECONDS = 1.0
PROBE_SECONDS = 1.0


class JournalFailed(SwitchtenderError):
    """What was decided cannot be written down, so it may not be answered."""


@dataclass(frozen=True)
class _Write:
    name: str
    lines: bytes
    done: Future[None]


class Journal:
    """Appends from any thread. `trouble` says why decisions cannot be written at present; it tries again by itself."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._troubles: dict[str, str] = {}
        self._queue: queue.Queue[_Write | None] = queue.Queue(WAITING)
        self._appending = threading.Lock()
        self._unsynced: set[str] = set()
        self._closing = threading.Event()
        self._closed = False
        self._writer = threading.Thread(target=self._run, name="journal", daemon=True)
        self._syncer = threading.Thread(target=self._sync_every_second, name="journal-sync", daemon=True)
        self._writer.start()
        self._syncer.start()

    @property
    def trouble(self) -> str:
        """Why nothing is routed, empty where something is."""
        return self._troubles.get(DECISIONS, "")

    def decisions(self, entries: Sequence[Mapping[str, Any]]) -> Future[None]:
        """Append decisions. The future ends when they are written; it raises JournalFailed where they cannot be."""
        return self._put(DECISIONS, entries)

    def write_decisions(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Append decisions in the caller's own thread, which may wait for the disk: no other has to be woken.

        Raises:
            JournalFailed: they cannot be written.
        """
        write = _write(DECISIONS, entries)
        if self._closed:
            raise self._refused(DECISIONS, "closed")
        self._append_all([write])
        if self.trouble:
            # The writing thread sleeps until something waits; awake, it tries every second.
            with suppress(queue.Full):
                self._queue.put_nowait(_write(DECISIONS, ()))
        write.done.result()

    def feedback(self, entry: Mapping[str, Any]) -> Future[None]:
        """Append one judgement, likewise."""
        return self._put(FEEDBACK, [entry])

    def forwarded(self, entry: Mapping[str, Any]) -> Future[None]:
        """Append who answered a chat, likewise."""
        return self._put(FORWARDED, [entry])

    def close(self) -> None:
        """Write what waits, force it to the disk, and take no more."""
        self._closed = True
        self._queue.put(None)
        self._writer.join()
        self._closing.set()
        self._syncer.join()
        self._sync()

    def _put(self, name: str, entries: Sequence[Mapping[str, Any]]) -> Future[None]:
        """Queue one write; where that cannot be, the future has failed already."""
        write = _write(name, entries)
        # A request that times out cancels its future. A running one cannot be cancelled, so the writer's `set_result`
        # does not raise, and the decision is written all the same.
        write.done.set_running_or_notify_cancel()
        try:
            if self._closed:
                raise queue.Full
            # Refused, not waited for: the event loop itself calls this.
            self._queue.put_nowait(write)
        except queue.Full:
            write.done.set_exception(self._refused(name, "closed" if self._closed else "too far behind"))
        return write.done

    def _refused(self, name: str, reason: str) -> JournalFailed:
        return JournalFailed(f"{self.folder / name} is {reason}; try again")

    def _run(self) -> None:
        """The writing thread: take all that waits, append it file by file, until the queue's end marker (None)."""
        open_still = True
        while open_still:
            try:
                waiting = [self._queue.get(timeout=PROBE_SECONDS if self.trouble else None)]
            except queue.Empty:
                # A service that is not ready may get no requests, so that only a probe can find the disk mended.
                self._append_all([_write(DECISIONS, ())])
                continue
            # Everything that came meanwhile shares one write to each file.
            with suppress(queue.Empty):
                while True:
                    waiting.append(self._queue.get_nowait())
            open_still = None not in waiting
            writes = [write for write in waiting if write is not None]
            for name in (DECISIONS, FEEDBACK, FORWARDED):
                self._append_all([write for write in writes if write.name == name])

    def _append_all(self, writes: list[_Write]) -> None:
        """Append to one file, then end the writes' futures. A write of no lines probes whether the file takes any."""
        if not writes:
            return
        path = self.folder / writes[0].name
        try:
            with self._appending:
                self.folder.mkdir(parents=True, exist_ok=True)
                # A probe leaves a blank line, which readers pass over.
                append_lines(path, b"".join(write.lines for write in writes) or b"\n")
        except OSError as error:
            self._fail(writes, f"{path} cannot be written ({error.strerror or error})")
            return
        self._unsynced.add(path.name)
        self._set_trouble(path.name, "")
        for write in writes:
            write.done.set_result(None)

    def _fail(self, writes: list[_Write], reason: str) -> None:
        """End the writes' futures with the failure."""
        told = f"{reason}; nothing is routed" if writes[0].name == DECISIONS else f"{reason}; mend that, and try again"
        # First, so that whoever is told of the failure finds the trouble too.
        self._set_trouble(writes[0].name, told)
        for write in writes:
            write.done.set_exception(JournalFailed(told))

    def _set_trouble(self, name: str, trouble: str) -> None:
        """Log where a file begins to fail, and where it writes again."""
        before = self._troubles.get(name, "")
        self._troubles[name] = trouble
        if trouble and not before:
            log("journal_failed", reason=trouble)
        elif before and not trouble:
            log("journal_writes_again", path=self.folder / name)

    def _sync_every_second(self) -> None:
        while not self._closing.wait(SYNC_SECONDS):
            self._sync()

    def _sync(self) -> None:
        """Force to the disk what was appended since the last time. No answer waits for this, hence its own thread."""
        while self._unsynced:
            # Taken out before the fsync, so that what is appended during it is marked again and not forgotten.
            name = self._unsynced.pop()
            # fsync flushes the file, whichever descriptor wrote to it.
            with suppress(OSError), (self.folder / name).open("rb") as file:
                os.fsync(file.fileno())


def _write(name: str, entries: Sequence[Mapping[str, Any]]) -> _Write:
    lines = "".join(f"{json.dumps(entry, separators=(',', ':'))}\n" for entry in entries)
    return _Write(name, lines.encode("ascii"), Future())


def append_lines(path: Path, lines: bytes) -> None:
    """Append whole lines in one write, after a newline where the file ends in half a line.

    Raises:
        OSError: nothing, or only a part, could be written.
    """
    # One write call, so that a process killed at any moment leaves whole lines; 0600, since lines may hold prompts.
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        end = os.fstat(file).st_size
        torn = end > 0 and os.pread(file, 1, end - 1) != b"\n"
        content = b"\n" + lines if torn else lines
        if os.write(file, content) != len(content):
            raise OSError(f"{path} took a part only")
    finally:
        os.close(file)


Entry = dict[str, Any]


@dataclass(frozen=True)
class DecisionWithFeedback:
    """One decision and every judgement of it, in the order in which they came."""

    decision: Entry
    feedback: tuple[Entry, ...]


def entries(path: Path) -> Iterator[Entry]:
    """Every whole entry of one file, oldest first, none without a file; half a line left by a crash is passed over."""
    if not path.exists():
        return
    with path.open(encoding="ascii", errors="replace") as lines:
        yield from whole_entries(lines)


def whole_entries(lines: Iterable[str]) -> Iterator[Entry]:
    """The entries among lines of a journal; blank lines and torn ones are passed over."""
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry


def decisions_with_feedback(folder: Path) -> list[DecisionWithFeedback]:
    """Every decision that somebody judged, oldest first. Judgements of decisions that are not there are left out."""
    said: dict[tuple[str, int], list[Entry]] = {}
    for entry in entries(folder / FEEDBACK):
        said.setdefault((entry["request_id"], entry["index"]), []).append(entry)
    decisions = ((d, said.get((d["request_id"], d["index"]))) for d in entries(folder / DECISIONS))
    return [DecisionWithFeedback(decision, tuple(found)) for decision, found in decisions if found]
