"""Two versions side by side: all that one comparison shows."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.runtime.plain import JsonObject, plain_fields
from pipeline.versions.diff import Change, OutcomeDiff, RowDiff
from pipeline.versions.prediction_diff import HoldoutDiff


@dataclass(frozen=True)
class CodeChange:
    """A file of the code that differs; lines are None for a binary file."""

    path: str
    lines_added: int | None
    lines_removed: int | None


@dataclass(frozen=True)
class Side:
    """One of the two versions."""

    version: str
    commit: str


@dataclass(frozen=True)
class VersionDiff:
    """All that differs from `older` to `newer`.

    `outcomes` is None where one of them does not hold what it learnt from: labels of agents are in `rows`.
    """

    older: Side
    newer: Side
    rows: RowDiff
    outcomes: OutcomeDiff | None
    params: tuple[Change, ...]
    environment: tuple[Change, ...]
    files: tuple[Change, ...]
    code: tuple[CodeChange, ...]
    holdout: HoldoutDiff

    def to_json(self) -> JsonObject:
        """Plain values under stable names: those of the rows and of the holdout stand beside the others."""
        told = plain_fields(self)
        rows, holdout = told.pop("rows"), told.pop("holdout")
        sides = {name: told.pop(name) for name in ("older", "newer")}
        metrics, flips = holdout.pop("metrics"), holdout.pop("flips")
        counted = {"transitions": self.rows.transitions}
        return {**sides, **rows, **counted, **told, "holdout": holdout, "metrics": metrics, "flips": flips}
