"""What a list of nights tells of each: how it ended, how long it took, what it measured, and what to do next."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.metrics.bootstrap import Estimate

RAN = "ran"
UNDER_WAY = "under way"
"""The state of a night that has not ended; each other state is a result of the log of nights."""


@dataclass(frozen=True)
class StageTime:
    """How long a stage took in seconds, and whether it `ran`, was `unchanged` or `failed`."""

    stage: str
    seconds: float
    outcome: str = RAN


@dataclass(frozen=True)
class RowCounts:
    """Rows of the table, those that validation kept of them and set aside, and label suspects; None: not known."""

    read: int | None = None
    kept: int | None = None
    quarantined: int | None = None
    suspects: int | None = None


@dataclass(frozen=True)
class NightRow:
    """One attempt at a night of a track. Moments are ISO 8601, those in UTC; empty where there is none.

    `state` is UNDER_WAY or how it ended, `reason` why in one line, `advice` what to do next. `stage` is the one under
    way, of which `percent` (0 to 100) is done, None where it does not say. `figure` is the track's headline on the
    holdout, None where none was measured; `promoted` is when its version first went into service. `documents` are names
    to paths from the run's folder. `note` tells what of it could not be read. `since` is how many seconds one under way
    runs already.
    """

    track: str
    started: str
    ended: str
    scheduled: str
    run_key: str
    state: str
    reason: str
    advice: str
    version: str
    promoted: str
    stages: tuple[StageTime, ...]
    stage: str
    percent: float | None
    figure: Estimate | None
    rows: RowCounts
    documents: dict[str, str]
    note: str
    since: float | None = None

    @property
    def seconds(self) -> float:
        """What its stages took together or, of one under way, since when it runs."""
        return sum(stage.seconds for stage in self.stages) if self.since is None else self.since


@dataclass(frozen=True)
class NightHistory:
    """The latest nights, newest first; `older` is how many more there are. `note` tells what could not be looked at."""

    nights: tuple[NightRow, ...]
    older: int
    note: str = ""
