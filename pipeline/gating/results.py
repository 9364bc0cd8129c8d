"""What a gate finds, and the rules that both tracks share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.gating.champion import Champion
from pipeline.runtime.plain import as_stored, parsed, plain_fields
from pipeline.runtime.stage import Summary
from pipeline.runtime.tables import write_json

GATE = "gate"
PASSED, FAILED, UNDECIDABLE = "passed", "failed", "undecidable"
NOT_ASKED = "not asked"
"""How people read a pass without a question: nothing was measured, or there was nothing to hold it to."""
NO_CHAMPION = "there is no champion to compare with"

Against = Literal["limit", "champion", "best_single"]


@dataclass(frozen=True)
class GateResult:
    """One gate's finding. `value` is None where nothing could be measured, `limit` where there is none to keep.

    `against` says what was held against what: a figure of the router itself against a `limit`, or its choices, prompt
    by prompt, against those of the `champion` or of the `best_single` candidate.
    """

    gate: str
    value: float | None
    limit: float | None
    verdict: str
    reason: str
    against: Against = "limit"

    @property
    def passed(self) -> bool:
        return self.verdict == PASSED

    @property
    def told_limit(self) -> float | str:
        """The limit as people read it: `none` where there is none to keep."""
        return "none" if self.limit is None else self.limit

    @property
    def told_verdict(self) -> str:
        """The verdict as people read it."""
        return NOT_ASKED if self.passed and (self.value is None or self.limit is None) else self.verdict

    def to_json(self) -> dict[str, str | float | None]:
        """As verdict.json has it."""
        return dict(sorted(plain_fields(self).items()))


@dataclass(frozen=True)
class Verdict:
    """What came of all gates: `passed` only where each of them passed."""

    verdict: str
    gates: tuple[GateResult, ...]

    @classmethod
    def of(cls, gates: list[GateResult]) -> Verdict:
        return cls(PASSED if all(gate.passed for gate in gates) else FAILED, tuple(gates))


def parse_verdict(content: object) -> Verdict:
    """From the content of verdict.json. One of release 0.1.0 names no `against`: there the gates' names begin with it.

    Raises:
        ValueError: it is not what a night writes.
    """
    if not isinstance(content, dict) or not isinstance(gates := content.get("gates"), list):
        raise ValueError("it lists no gates")
    told = [{"against": _by_name(str(g.get("gate"))), **g} if isinstance(g, dict) else g for g in gates]
    return parsed(Verdict, {**content, "gates": told})


def _by_name(gate: str) -> Against:
    """What a gate of release 0.1.0 was held against."""
    return "champion" if gate.startswith("champion_") else "best_single" if gate == "over_best_single" else "limit"


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
        return GateResult("row_count", float(train_rows), None, PASSED, NO_CHAMPION, "champion")
    limit = (1 - drop) * champion.train_rows
    reason = f"champion version {champion.version} learnt from {champion.train_rows} rows"
    verdict = PASSED if train_rows >= limit else FAILED
    return GateResult("row_count", float(train_rows), limit, verdict, reason, "champion")


def not_compared(gate: str, limit: float, champion: Champion | None) -> GateResult:
    """The gate of a champion that there is not, which passes, or that has not answered the holdout, which does not."""
    if champion is None:
        return GateResult(gate, None, limit, PASSED, NO_CHAMPION, "champion")
    reason = f"champion version {champion.version} has not answered every prompt of this holdout"
    return GateResult(gate, None, limit, UNDECIDABLE, reason, "champion")


def write_verdict(gates: list[GateResult], stages: Path) -> Summary:
    """Write what the gates found, and whether all of them let it pass."""
    found = Verdict.of(gates)
    write_json(as_stored(found), stages / GATE / "verdict.json")
    told = [gate.told_verdict for gate in gates]
    counts = {f"gates_{name.replace(' ', '_')}": told.count(name) for name in (PASSED, NOT_ASKED, FAILED, UNDECIDABLE)}
    return {"verdict": found.verdict, "gates": len(gates), **counts}
