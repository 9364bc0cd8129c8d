"""Traffic told from a journal: what is counted, when and by which version; a long one is never read whole."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.serving.engine.journal_tail import JournalTail
from pipeline.serving.engine.traffic import SPANS, Traffic, TrafficCounts

NOW = datetime(2024, 3, 10, 14, 20, tzinfo=UTC)
DAY, WEEK, MONTH = SPANS


def entry(hours: float = 0.1, version: str = "1", **facts: Any) -> dict[str, Any]:
    """A decision so long ago."""
    at = (NOW - timedelta(hours=hours)).isoformat(timespec="milliseconds")
    known = {"at": at, "index": 0, "version": version, "chosen": ["email"], "below_threshold": False, "margin": 0.3,
             "milliseconds": 10.0}  # fmt: skip
    return {**known, **facts}


def counted(*entries: Any, span: Any = DAY) -> Traffic:
    counts = TrafficCounts()
    counts.add(entries)
    return counts.traffic(span, NOW)


def test_requests_prompts_choices_and_doubts_are_counted_by_version() -> None:
    found = counted(
        entry(),
        entry(index=1, chosen=["email", "sql"], below_threshold=True, margin=0.01),
        entry(3, "2", margin=0.049),
        entry(3, "10"),
    )
    assert [name for name, _ in found.versions] == ["10", "2", "1"], "the newest first, by number"
    one = dict(found.versions)["1"]
    assert (one.requests, one.prompts, one.chosen) == (1, 2, {"email": 2, "sql": 1})
    assert (one.below_threshold, one.small_margin) == (0.5, 0.5)
    assert (found.together.requests, found.together.prompts, found.together.small_margin) == (3, 4, 0.5)


@pytest.mark.parametrize(("span", "steps", "last"), [(DAY, 24, 14), (WEEK, 28, 12), (MONTH, 30, 0)])
def test_the_last_step_of_a_span_holds_this_moment_and_each_decision_lies_in_one(
    span: Any, steps: int, last: int
) -> None:
    hours = [0.1, 1, 23, 24.5, 100, 166, 200, 700, 800]
    found = counted(*(entry(ago) for ago in hours), span=span)
    assert len(found.steps) == steps
    assert found.steps[-1][0] == NOW.replace(hour=last, minute=0)
    assert found.steps[-1][1].requests >= 1
    assert sum(figures.requests for _, figures in found.steps) == found.together.requests
    assert found.together.requests == sum(NOW - timedelta(hours=ago) >= found.steps[0][0] for ago in hours)


def test_times_are_told_within_a_tenth_and_what_was_not_recorded_is_no_figure() -> None:
    found = counted(*(entry(milliseconds=float(ms)) for ms in range(1, 101))).together
    assert found.median_ms == pytest.approx(50, rel=0.1)
    assert found.slow_ms == pytest.approx(95, rel=0.1)
    before = {name: value for name, value in entry().items() if name not in ("margin", "milliseconds")}
    old = counted(before).together
    assert (old.requests, old.small_margin, old.median_ms, old.slow_ms) == (1, None, None, None)
    assert counted().together.below_threshold is None, "a share of nothing"
    assert counted(entry(margin=None), entry(margin=0.01)).together.small_margin == 1.0, "nothing to be near to"


@pytest.mark.parametrize(
    "broken",
    [{}, {"at": "yesterday"}, {"at": 3}, {**entry(), "chosen": 7}, {**entry(), "at": "9999-12-31T23:59:59-23:00"},
     {**entry(), "at": "3000-01-01T00:00:00+00:00"}],
)  # fmt: skip
def test_what_is_no_decision_is_passed_over(broken: dict[str, Any]) -> None:
    assert counted(entry(), broken).together == counted(entry()).together


def test_no_prompt_is_kept() -> None:
    counts = TrafficCounts()
    counts.add([entry(prompt="a secret wish", prompt_sha256="ab")])
    assert "secret" not in repr(vars(counts))


def test_older_than_a_month_is_forgotten() -> None:
    counts = TrafficCounts()
    counts.add([entry(24 * 40), entry()])
    assert len(counts._tallies) == 1


def lines(*numbers: int) -> bytes:
    return b"".join(json.dumps({"number": number}).encode() + b"\n" for number in numbers)


def test_each_entry_is_given_once_also_one_whose_line_came_in_two_parts(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    tail = JournalTail(path)
    assert tail.new_entries() == [], "no file yet"
    path.write_bytes(lines(1, 2) + lines(3)[:5])
    assert [one["number"] for one in tail.new_entries()] == [1, 2]
    assert tail.new_entries() == []
    with path.open("ab") as file:
        file.write(lines(3)[5:] + b"\n{torn\n" + lines(4))
    assert [one["number"] for one in tail.new_entries()] == [3, 4]


def test_a_journal_that_was_moved_away_goes_on_in_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(lines(*range(50)))
    tail = JournalTail(path)
    assert len(tail.new_entries()) == 50
    path.rename(tmp_path / "old")
    path.write_bytes(lines(*range(50, 150)))
    assert [one["number"] for one in tail.new_entries()] == list(range(50, 150))
    path.write_bytes(lines(7))
    assert [one["number"] for one in tail.new_entries()] == [7], "one that was emptied too"
    assert not tail.skipped


def test_of_a_long_journal_only_the_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(lines(*range(10_000)))
    tail = JournalTail(path, most=1000)
    found = [one["number"] for one in tail.new_entries()]
    assert found == list(range(10_000 - len(found), 10_000))
    assert 40 < len(found) < 60
    assert tail.skipped
    with path.open("ab") as file:
        file.write(lines(10_000))
    assert [one["number"] for one in tail.new_entries()] == [10_000], "and then what is new"
