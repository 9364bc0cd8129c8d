"""Where the curated prompts lie: one row a prompt, `prompt_id, prompt, agents, annotator, source, added_on`."""

from __future__ import annotations

from pathlib import Path

DATASET = Path("data/prompts.csv")
