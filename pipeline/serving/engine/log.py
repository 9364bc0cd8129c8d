"""The service's log: one JSON object a line on stderr. A prompt's text is in it only where `log_prompts` is set."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

SECONDS = 60.0
"""For so long what is of one kind is counted, and not written."""
KINDS = 200
"""So many kinds are told apart at a time; what else comes is counted by its event alone."""


def timestamp() -> str:
    """This moment in UTC, to the millisecond, as the log and the journal's files write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def log(event: str, **facts: object) -> None:
    """Write one line: when, what happened, and the facts given.

    What a full disk or a closed pipe does not take is lost: whoever logs goes on.
    """
    line = json.dumps({"at": timestamp(), "event": event, **facts}, default=str)
    # Line and newline in one write, so that threads do not break each other's lines.
    with suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()


@dataclass
class _Count:
    until: float
    more: int = 0


class CountedLog:
    """For what an outsider can cause as often as they like. Safe to use from several threads.

    Law: of each kind the first is written whole, and for the next minute the others by one line with their number.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self.now = now
        self._counts: dict[tuple[tuple[str, object], ...], _Count] = {}
        self._lock = threading.Lock()

    def log(self, event: str, kind: dict[str, object], **facts: object) -> None:
        """Write or count one of a kind, whose facts stand in both lines; `facts` are those of this one alone."""
        with self._lock:
            key: tuple[tuple[str, object], ...] = (("event", event), *kind.items())
            if key not in self._counts and len(self._counts) >= KINDS:
                key, kind = key[:1], {}
            if (known := self._counts.get(key)) is not None and self.now() < known.until:
                known.more += 1
                return
            self._end(key)
            self._counts[key] = _Count(self.now() + SECONDS)
        log(event, **kind, **facts)

    def flush(self, at_once: bool = False) -> None:
        """Write how many there were of each kind whose minute is over; `at_once`: of every kind."""
        with self._lock:
            for key in [key for key, count in self._counts.items() if at_once or self.now() >= count.until]:
                self._end(key)

    def _end(self, key: tuple[tuple[str, object], ...]) -> None:
        """Forget a kind, and say how many more of it there were."""
        count = self._counts.pop(key, None)
        if count is not None and count.more:
            (_, event), *kind = key
            log(str(event), **dict(kind), more=count.more, seconds=SECONDS)


refusals = CountedLog()
"""What is refused, cut off or malformed, of the whole process."""


class LogLines(logging.Handler):
    """Turns what a library logs into counted lines of ours; no traceback, since one may quote what was asked."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        message, _, more = record.getMessage().partition("\n")
        of: dict[str, object] = {"logger": record.name, "level": record.levelname.lower(), "message": message[:200]}
        refusals.log("library", {**of, "kind": kind}, **({"detail": more[:500]} if more else {}))
