"""Traffic of a project: each track's own journal, and that of before, in which both tracks wrote."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flows.service.traffic import TrafficReader
from flows.workspace.project import Project
from pipeline.runtime.track import AGENTS, MODELS, Track
from pipeline.serving.engine.decision_journal import DECISIONS
from pipeline.serving.engine.traffic import SPANS

NOW = datetime(2024, 3, 10, 14, 20, tzinfo=UTC)


def decide(root: Path, folder: Path, run_key: str, times: int = 1) -> None:
    entry = {"at": NOW.isoformat(), "index": 0, "version": "1", "run_key": run_key, "chosen": ["one"]}
    path = root / folder / DECISIONS
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(f"{json.dumps(entry)}\n" * times)


@pytest.mark.parametrize(("track", "own"), [(AGENTS, 3), (MODELS, 30)])
def test_each_track_has_its_own_traffic_and_each_look_adds_what_is_new(tmp_path: Path, track: Track, own: int) -> None:
    reader = TrafficReader(Project(tmp_path, track))
    assert reader.traffic(SPANS[0], NOW).together.requests == 0
    decide(tmp_path, AGENTS.journal, "nightly-2026-03-01-0001", 2)
    decide(tmp_path, AGENTS.journal, "models-2026-03-01-0001", 10)
    decide(tmp_path, MODELS.journal, "models-2026-03-01-0001", 20)
    decide(tmp_path, AGENTS.journal, "")
    assert reader.traffic(SPANS[0], NOW).together.requests == own
    assert reader.traffic(SPANS[0], NOW).together.requests == own, "counted once"
    decide(tmp_path, track.journal, f"{track.flow}-2026-03-02-0002")
    found = reader.traffic(SPANS[0], NOW)
    assert (found.together.requests, found.skipped) == (own + 1, False)


def test_a_long_journal_is_said_to_be_read_in_part(tmp_path: Path) -> None:
    decide(tmp_path, AGENTS.journal, "nightly-2026-03-01-0001", 500)
    found = TrafficReader(Project(tmp_path), most_bytes=10_000).traffic(SPANS[0], NOW)
    assert found.skipped
    assert 0 < found.together.requests < 500


def test_after_a_gap_hours_in_between_are_not_shown_as_empty(tmp_path: Path) -> None:
    reader = TrafficReader(Project(tmp_path), most_bytes=10_000)
    decide(tmp_path, AGENTS.journal, "nightly-2026-03-01-0001", 3)
    assert reader.traffic(SPANS[0], NOW).together.requests == 3
    decide(tmp_path, AGENTS.journal, "nightly-2026-03-01-0001", 500)
    found = reader.traffic(SPANS[0], NOW)
    assert found.skipped
    assert 0 < found.together.requests <= 10_000 // 80, "counted anew, from what was read"
