"""Why a prompt got its scores: its tags, and what each of them says for and against each candidate."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class CandidateContribution:
    """What one tag knows of one candidate: outcomes against the reference, and what they add to its sum."""

    candidate: str
    n: float
    wins: float
    ties: float
    losses: float
    contribution: float


@dataclass(frozen=True)
class TagSummary:
    """One of the prompt's tags, `kind: name`, with every candidate's evidence in the router's order."""

    tag: str
    candidates: tuple[CandidateContribution, ...]


@dataclass(frozen=True)
class TagsExplanation:
    """A prompt's tags and what they come to.

    A candidate's contributions add up to its `sums`; `gaps` is that sum put on the scale of quality, how much better
    than the reference the candidate is expected to be; `reference_quality` plus its gap, held inside 0..1, is its
    `quality`, the score of the router.
    """

    reference: str
    reference_quality: float
    tags: tuple[TagSummary, ...]
    sums: dict[str, float]
    gaps: dict[str, float]
    quality: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)
