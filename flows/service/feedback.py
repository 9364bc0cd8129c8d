"""Feedback on the service's answers, beside what it had decided, for people who review labels."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flows.service.dataset_cache import DatasetCache
from flows.workspace.project import Project
from pipeline.serving.engine.decision_journal import DECISIONS, FEEDBACK, whole_entries
from pipeline.serving.page.actions import Hint

MOST_HINTS = 50
_TAIL_BYTES = 8_000_000
"""A journal grows for ever: of each only so much of its end is read."""


def latest_hints(project: Project, dataset: DatasetCache) -> tuple[Hint, ...]:
    """The latest feedback, newest first, each with the decision that it concerns where that is near."""
    folder = project.var / "serving"
    said = list(_tail(folder / FEEDBACK))[-MOST_HINTS:]
    if not said:
        return ()
    decisions = {_key(entry): entry for entry in _tail(folder / DECISIONS)}
    return tuple(_hint(entry, decisions.get(_key(entry), {}), dataset) for entry in reversed(said))


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
