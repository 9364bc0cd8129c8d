"""The service's log: one JSON object a line on stderr. A prompt's text is in it only where `log_prompts` is set."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime


def timestamp() -> str:
    """This moment in UTC, to the millisecond, as the log and the journal's files write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def log(event: str, **facts: object) -> None:
    """Write one line: when, what happened, and the facts given."""
    line = json.dumps({"at": timestamp(), "event": event, **facts}, default=str)
    # Line and newline in one write, so that threads do not break each other's lines.
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


class LogLines(logging.Handler):
    """Turns what a library logs into lines of ours; no traceback, since one may quote what was asked."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        log("library", logger=record.name, level=record.levelname.lower(), message=record.getMessage(), kind=kind)
