"""What differs between two versions of the dataset, by prompt id."""

from __future__ import annotations

from pathlib import Path

from pipeline.reports.night_facts import DataChanges
from pipeline.runtime.tables import read_table


def compare(older: Path, newer: Path, against: str) -> DataChanges:
    """Ids added, removed, and changed in text, agents or outcomes; `against` names the older one.

    Raises:
        TableError: one of the tables cannot be read.
    """
    before, after = _rows(older), _rows(newer)
    return DataChanges(
        against,
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(key for key in before.keys() & after.keys() if before[key] != after[key])),
    )


def _rows(path: Path) -> dict[str, tuple[str, ...]]:
    """What a table says of each prompt: its text and label, or its text and outcomes; their order does not matter."""
    frame = read_table(path, required=("prompt_id", "prompt"))
    if "agents" in frame.columns:
        return {str(row.prompt_id): (str(row.prompt), str(row.agents)) for row in frame.itertuples()}
    frame = frame.reindex(columns=["prompt_id", "prompt", "candidate", "quality", "cost"]).astype(str)
    said = frame["prompt"] + "\0" + frame["candidate"] + "\0" + frame["quality"] + "\0" + frame["cost"]
    return {str(name): tuple(sorted(rows)) for name, rows in said.groupby(frame["prompt_id"])}
