"""How far the stage under way is, told in a file of its folder, for whoever watches the night."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.runtime.tables import write_json
from pipeline.runtime.text import parse_json

_FILE = Path("var/progress.json")
_BETWEEN_SECONDS = 1.0


@dataclass(frozen=True)
class StageProgress:
    """Steps done of a total (0: not known), and where they are."""

    stage: str
    done: int
    total: int
    where: str

    @property
    def percent(self) -> float:
        """0 to 100; 0 where the total is not known."""
        return min(100.0, 100.0 * self.done / self.total) if self.total else 0.0


class ProgressFile:
    """Writes how far a stage is, at most once a second; a file that cannot be written stops no training."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.written = 0.0

    def write(self, done: int, total: int, where: str) -> None:
        if time.monotonic() - self.written < _BETWEEN_SECONDS:
            return
        self.written = time.monotonic()
        with suppress(OSError):
            write_json(asdict(StageProgress(self.stage, done, total, where)), _FILE)


def stage_progress(folder: Path, stage: str) -> StageProgress | None:
    """How far a stage is that runs in a folder; None where it has not said."""
    try:
        found = StageProgress(**parse_json((folder / _FILE).read_text(encoding="utf-8")))
        return found if found.stage == stage and found.done >= 0 <= found.total else None
    except (OSError, ValueError, TypeError):
        return None
