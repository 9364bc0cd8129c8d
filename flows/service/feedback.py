"""Feedback on the service's answers, beside what it had decided, for people who review labels."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from flows.curation.dataset_cache import DatasetCache
from flows.workspace.project import Project
from pipeline.runtime.track import TRACKS, Track
from pipeline.serving.engine.decision_journal import DECISIONS, FEEDBACK, whole_entries
from pipeline.serving.page.actions import Hint

MOST_HINTS = 50
SHARED = Path("var/serving")
"""Where the services of both tracks wrote before each had a journal of its own."""
_TAIL_BYTES = 8_000_000
"""A journal grows for ever: of each only so much of its end is read."""


def latest_hints(project: Project, dataset: DatasetCache) -> tuple[Hint, ...]:
    """The latest feedback on answers of the project's track, newest first, each with its decision where that is near.

    What both tracks wrote into one journal is told apart by the decision's run key.
    """
    found = [
        hint
        for folder in dict.fromkeys((SHARED, project.track.journal))
        for hint in islice(
            _hints_in(project.root / folder, project.track, folder == project.track.journal, dataset), MOST_HINTS
        )
    ]
    return tuple(sorted(found, key=lambda hint: hint.at, reverse=True)[:MOST_HINTS])


def _hints_in(folder: Path, track: Track, is_own: bool, dataset: DatasetCache) -> Iterator[Hint]:
    """One journal's feedback on a track's answers, newest first; what no decision tells of is that of the journal."""
    said = list(_tail(folder / FEEDBACK))
    decisions = {_key(entry): entry for entry in _tail(folder / DECISIONS)} if said else {}
    for entry in reversed(said):
        decision = decisions.get(_key(entry), {})
        if (track_of_entry(decision) or (track if is_own else None)) is track:
            yield _hint(entry, decision, dataset)


def track_of_entry(decision: dict[str, Any]) -> Track | None:
    """The track whose version decided; None where the entry does not say."""
    key = str(decision.get("run_key") or "")
    return next((track for track in TRACKS.values() if key.startswith(f"{track.flow}-")), None)


def _key(entry: dict[str, Any]) -> tuple[Any, Any]:
    return entry.get("request_id"), entry.get("index")


def _tail(path: Path) -> Iterator[dict[str, Any]]:
    """The whole entries at the end of a journal, oldest first; nothing where there is no journal."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except FileNotFoundError:
        return
    # The first line may be a torn one, which is passed over like any other.
    yield from whole_entries(lines)


def _hint(said: dict[str, Any], decision: dict[str, Any], dataset: DatasetCache) -> Hint:
    row = dataset.with_text(str(decision.get("prompt_sha256", "")))
    accepted = ("accepted" if said["accepted"] else "not accepted") if "accepted" in said else ""
    rating = f"rated {said['rating']}" if said.get("rating") is not None else ""
    return Hint(
        at=str(said.get("at", "")),
        by=str(said.get("by", "")),
        request_id=str(said.get("request_id", "")),
        version=str(said.get("version") or decision.get("version") or ""),
        verdict=", ".join(filter(None, (accepted, rating))),
        right=tuple(map(str, said.get("right") or ())),
        chosen=tuple(map(str, decision.get("chosen") or ())),
        note=str(said.get("note", "")),
        prompt=row.prompt if row else str(decision.get("prompt", "")),
        row=row.prompt_id if row else "",
    )
