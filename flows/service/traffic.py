"""The traffic of a track's services, from the end of their journal; each look reads only what is new."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from flows.service.feedback import SHARED, track_of_entry
from flows.workspace.project import Project
from pipeline.serving.engine.decision_journal import DECISIONS
from pipeline.serving.engine.journal_tail import MOST_BYTES, JournalTail
from pipeline.serving.engine.traffic import Span, Traffic, TrafficCounts


class TrafficReader:
    """Counts what the journals tell. Safe to use from several threads."""

    def __init__(self, project: Project, most_bytes: int = MOST_BYTES) -> None:
        own, root = project.track.journal, project.root
        self._track = project.track
        # What both tracks once wrote into one journal is told apart by run keys.
        self._tails = {
            folder: JournalTail(root / folder / DECISIONS, most_bytes) for folder in dict.fromkeys((SHARED, own))
        }
        self._counts = TrafficCounts()
        self._lock = threading.Lock()

    def traffic(self, span: Span, now: datetime | None = None) -> Traffic:
        """The span up to now.

        Raises:
            OSError: a journal cannot be read.
        """
        with self._lock:
            new = {folder: tail.new_entries() for folder, tail in self._tails.items()}
            if any(tail.has_gap for tail in self._tails.values()):
                self._counts = TrafficCounts()  # hours in between would look empty that were not
            for folder, entries in new.items():
                default = self._track if folder == self._track.journal else None
                self._counts.add(entry for entry in entries if (track_of_entry(entry) or default) is self._track)
            skipped = any(tail.skipped for tail in self._tails.values())
            return self._counts.traffic(span, now or datetime.now(UTC), skipped)
