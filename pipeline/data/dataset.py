"""Where the curated prompts lie: one row a prompt."""

from __future__ import annotations

from pathlib import Path

DATASET = Path("data/prompts.csv")
COLUMNS = ("prompt_id", "prompt", "agents", "annotator", "source", "added_on")
