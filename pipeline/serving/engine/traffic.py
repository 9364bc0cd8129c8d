"""What a service was asked and how it decided, hour by hour and version by version, from its journal of decisions.

No prompt's text is kept, and none is needed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pipeline.serving.engine.decision import is_close

HOUR = timedelta(hours=1)
KEPT = timedelta(days=31)
_MOST_TALLIES = 20_000
_RATIO = 1.1
"""Times are counted in classes, each a tenth longer than the one before."""


@dataclass(frozen=True)
class Span:
    """A time up to now, told in steps."""

    name: str
    whole: timedelta
    step: timedelta


SPANS = (
    Span("24 hours", timedelta(hours=24), HOUR),
    Span("7 days", timedelta(days=7), timedelta(hours=6)),
    Span("30 days", timedelta(days=30), timedelta(days=1)),
)


@dataclass(frozen=True)
class TrafficFigures:
    """Counts of decisions, and shares and times of them. What was not recorded is None, as is a share of nothing.

    `median_ms` and `slow_ms` (95 % took less) are from a request's coming to its decision, within a tenth.
    """

    requests: int
    prompts: int
    chosen: dict[str, int]
    below_threshold: float | None
    small_margin: float | None
    median_ms: float | None
    slow_ms: float | None


@dataclass(frozen=True)
class Traffic:
    """A span of traffic: each step's beginning and figures, each version's, and all together.

    `skipped` tells that the journal is longer than what was read of it, `since` is when what was read begins.
    """

    span: Span
    steps: tuple[tuple[datetime, TrafficFigures], ...]
    versions: tuple[tuple[str, TrafficFigures], ...]
    together: TrafficFigures
    since: str
    skipped: bool


@dataclass
class _Tally:
    requests: int = 0
    prompts: int = 0
    below: int = 0
    close: int = 0
    with_margin: int = 0
    chosen: Counter[str] = field(default_factory=Counter)
    times: Counter[int] = field(default_factory=Counter)

    def add(self, entry: dict[str, Any]) -> None:
        names, index = [str(name) for name in entry["chosen"]], entry["index"]
        self.prompts += 1
        self.chosen.update(names)
        self.below += entry.get("below_threshold") is True
        if isinstance(margin := entry.get("margin"), int | float):
            self.with_margin += 1
            self.close += is_close(margin)
        if index == 0:
            self.requests += 1
            if isinstance(taken := entry.get("milliseconds"), int | float) and taken > 0:
                self.times[round(math.log(taken, _RATIO))] += 1

    def figures(self) -> TrafficFigures:
        return TrafficFigures(
            self.requests,
            self.prompts,
            dict(self.chosen.most_common()),
            self.below / self.prompts if self.prompts else None,
            self.close / self.with_margin if self.with_margin else None,
            self._quantile(0.5),
            self._quantile(0.95),
        )

    def _quantile(self, share: float) -> float | None:
        left = share * self.times.total()
        for time, count in sorted(self.times.items()):
            left -= count
            if left <= 0:
                return float(_RATIO**time)
        return None


class TrafficCounts:
    """Decisions of the last month, counted by hour and version. Not for several threads at once."""

    def __init__(self) -> None:
        self._tallies: dict[tuple[datetime, str], _Tally] = {}
        self._since = ""

    def add(self, entries: Iterable[dict[str, Any]]) -> None:
        """Count entries of a journal; what is none is passed over."""
        latest = datetime.now(UTC) + timedelta(days=1)
        for entry in entries:
            try:
                at = datetime.fromisoformat(entry["at"]).astimezone(UTC)
                if at > latest:
                    continue  # a clock that was wrong for a while must not make all else old
                key = at.replace(minute=0, second=0, microsecond=0), str(entry["version"])
                tally = self._tallies.get(key, _Tally())
                tally.add(entry)
                self._tallies[key] = tally
                self._since = min(self._since or entry["at"], entry["at"])
            except (KeyError, TypeError, ValueError, OverflowError):
                continue
        self._forget()

    def _forget(self) -> None:
        """Drop what is older than a month, and the oldest of what is still too many."""
        if not self._tallies:
            return
        hours = sorted(self._tallies)
        first = hours[-1][0] - KEPT
        for number, key in enumerate(hours):
            if key[0] < first or len(hours) - number > _MOST_TALLIES:
                del self._tallies[key]

    def traffic(self, span: Span, now: datetime, skipped: bool = False) -> Traffic:
        """The span that ends now, each step's figures with those of all versions."""
        first = _begin(now, span)
        found = [(at, version, tally) for (at, version), tally in self._tallies.items() if first <= at <= now]
        steps = [first + number * span.step for number in range(round(span.whole / span.step))]
        versions = sorted({version for _, version, _ in found}, key=lambda name: (len(name), name), reverse=True)
        return Traffic(
            span,
            tuple((at, _sum([tally for seen, _, tally in found if at <= seen < at + span.step])) for at in steps),
            tuple((name, _sum([tally for _, version, tally in found if version == name])) for name in versions),
            _sum([tally for *_, tally in found]),
            self._since,
            skipped,
        )


def _begin(now: datetime, span: Span) -> datetime:
    """Where the first step begins: the last one holds this moment and begins at a round time."""
    since_midnight = now - now.replace(hour=0, minute=0, second=0, microsecond=0)
    return now - since_midnight % span.step - span.whole + span.step


def _sum(tallies: Sequence[_Tally]) -> TrafficFigures:
    whole = _Tally()
    for one in tallies:
        for name in ("requests", "prompts", "below", "close", "with_margin"):
            setattr(whole, name, getattr(whole, name) + getattr(one, name))
        whole.chosen.update(one.chosen)
        whole.times.update(one.times)
    return whole.figures()
