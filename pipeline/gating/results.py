"""What a gate finds, and the rules that both tracks share."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.gating.champion import Champion
from pipeline.runtime.stage import Summary
from pipeline.runtime.tables import write_json

GATE = "gate"
PASSED, FAILED, UNDECIDABLE = "passed", "failed", "undecidable"


@dataclass(frozen=True)
class GateResult:
    """One gate's finding. `value` is None where nothing could be measured."""

    gate: str
    value: float | None
    limit: float
    verdict: str
    reason: str


def floor(name: str, value: float, limit: float) -> GateResult:
    """Passes from the limit upwards."""
    enough = value >= limit
    return GateResult(
        name, value, limit, PASSED if enough else FAILED, f"{'at least' if enough else 'below'} the floor"
    )


def ceiling(name: str, value: float, limit: float) -> GateResult:
    """Passes up to the limit."""
    low = value <= limit
    return GateResult(name, value, limit, PASSED if low else FAILED, f"{'at most' if low else 'above'} the ceiling")


def row_count(train_rows: int, champion: Champion | None, drop: float) -> GateResult:
    """Whether the router learnt from at most `drop` (a share) fewer rows than the champion."""
    if champion is None:
        return GateResult("row_count", float(train_rows), 0.0, PASSED, "there is no champion to compare with")
    limit = (1 - drop) * champion.train_rows
    reason = f"champion version {champion.version} learnt from {champion.train_rows} rows"
    return GateResult("row_count", float(train_rows), limit, PASSED if train_rows >= limit else FAILED, reason)


def write_verdict(results: list[GateResult], stages: Path) -> Summary:
    """Write what the gates found, and whether all of them let it pass."""
    verdict = PASSED if all(result.verdict == PASSED for result in results) else FAILED
    write_json({"verdict": verdict, "gates": [asdict(result) for result in results]}, stages / GATE / "verdict.json")
    counts = {name: sum(result.verdict == name for result in results) for name in (PASSED, FAILED, UNDECIDABLE)}
    return {"verdict": verdict, "gates": len(results), **{f"gates_{name}": count for name, count in counts.items()}}
