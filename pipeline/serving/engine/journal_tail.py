"""The end of a file of JSON lines that only grows: what is new since the last look, and of a long one only its end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from pipeline.serving.engine.decision_journal import Entry, whole_entries

MOST_BYTES = 16_000_000


class JournalTail:
    """Gives each whole entry once. Law: one look reads at most `most` bytes.

    `skipped` tells that older entries were passed over for that, `has_gap` that the last look passed over some that
    follow on those given before. A file that was moved away, so that another one grows in its place, is read from the
    beginning of the new one.
    """

    def __init__(self, path: Path, most: int = MOST_BYTES) -> None:
        self.path, self.most = path, most
        self.skipped = self.has_gap = False
        self._file = 0
        self._at = 0

    def new_entries(self) -> list[Entry]:
        """What whole lines have come since the last look, oldest first; nothing where there is no file.

        Raises:
            OSError: the file cannot be read.
        """
        try:
            with self.path.open("rb") as file:
                return list(whole_entries(self._lines(file)))
        except FileNotFoundError:
            return []

    def _lines(self, file: BinaryIO) -> list[str]:
        facts = os.fstat(file.fileno())
        if facts.st_ino != self._file or facts.st_size < self._at:
            self._file, self._at = facts.st_ino, 0
        start = max(self._at, facts.st_size - self.most)
        self.has_gap = start > self._at > 0
        self.skipped |= start > self._at
        file.seek(start)
        read = file.read(facts.st_size - start)
        # Half a line that is still being written is left for the next look.
        whole = read[: read.rfind(b"\n") + 1]
        self._at = start + len(whole)
        return whole.decode("ascii", "replace").splitlines()
