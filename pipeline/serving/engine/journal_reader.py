"""Decisions with what people said of them: the journal, read back for a review and for judging policies off-line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.serving.engine.decision_journal import DECISIONS, FEEDBACK

Entry = dict[str, Any]


@dataclass(frozen=True)
class DecisionWithFeedback:
    """One decision and every judgement of it, in the order in which they came."""

    decision: Entry
    feedback: tuple[Entry, ...]


def entries(path: Path) -> Iterator[Entry]:
    """Every whole entry of one file, oldest first; half a line that a crash left is passed over. None where no file."""
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


def judged(folder: Path) -> list[DecisionWithFeedback]:
    """Every decision that somebody judged, oldest first. Judgements of decisions that are not there are left out."""
    said: dict[tuple[str, int], list[Entry]] = {}
    for entry in entries(folder / FEEDBACK):
        said.setdefault((entry["request_id"], entry["index"]), []).append(entry)
    decisions = ((d, said.get((d["request_id"], d["index"]))) for d in entries(folder / DECISIONS))
    return [DecisionWithFeedback(decision, tuple(found)) for decision, found in decisions if found]
