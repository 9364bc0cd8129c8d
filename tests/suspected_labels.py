"""A small project whose latest night suspects every label."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import yaml

from flows.workspace import runs
from flows.workspace.project import Project
from pipeline.data.label_reviews import COLUMNS
from pipeline.runtime.tables import write_table

AGENTS = ("coding", "email", "sql")
MANY = 12


def prompt_of(number: int) -> str:
    return f"Prompt {number}, with a comma and a <b>tag</b>"


def suspected(folder: Path) -> Project:
    """Rows p0, p1, ... all labelled `coding`; the latest night suspects each, in that order."""
    (folder / "data").mkdir()
    words = "answers whatever a person may ask about this field of work"
    facts = [{"name": n, "owner": "o", "usd_per_call": 0.1, "latency_ms": 9, "description": words} for n in AGENTS]
    (folder / "data" / "agents.yaml").write_text(yaml.safe_dump(facts))
    (folder / "data" / "label_reviews.csv").write_text(",".join(COLUMNS) + "\n")
    ids = [f"p{number}" for number in range(2 * MANY)]
    rows = {"prompt_id": ids, "prompt": [prompt_of(i) for i in range(len(ids))], "agents": "coding"}
    write_table(pd.DataFrame(rows), folder / "data" / "prompts.csv")
    found = Project(folder)
    runs.save(found, runs.Run("nightly-1", 1, runs.FINISHED, "identity", "then"))
    evidence = {"quality": 0.1, "doubted": "coding 0.10", "missing": "sql 0.80", "suggested": "sql", "review": ""}
    suspects = pd.DataFrame(rows).assign(rank=range(1, len(ids) + 1), **evidence)
    write_table(suspects, runs.clone_of(found, "nightly-1") / "var" / "stages" / "suspects" / "suspects.parquet")
    return found
