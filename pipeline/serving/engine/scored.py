"""What the engine says of one prompt."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.encoders.training_index import TrainingNeighbour as TrainingNeighbour
from pipeline.runtime.arrays import Binary, FloatMatrix, Values


@dataclass(frozen=True)
class ScoredText:
    """One prompt as a version sees it, before any policy. It never depends on the prompts asked beside it.

    `quality` is float32 [c], calibrated, in 0..1; `cost` float64 [c] in USD a call, NaN where unknown. A prompt
    longer than the encoder reads is read in overlapping windows; `windows` says in how many. `allowed` bool [c] says
    whom a pool lets answer; None where there is none. `error` float64 [c] is the standard error of each quality, for a
    policy that doubts. `is_new` says whether the prompt matches no task of the router; None where it cannot tell.
    `unsupported_language` is that of the prompt where the encoder was not made for it.
    """

    quality: FloatMatrix
    cost: Values
    tokens: int
    windows: int
    neighbours: tuple[TrainingNeighbour, ...]
    allowed: Binary | None = None
    error: Values | None = None
    is_new: bool | None = None
    unsupported_language: str | None = None


def usd(cost: float) -> float | None:
    """An expected cost to four digits, as responses report it; None where it is unknown (NaN)."""
    return None if math.isnan(cost) else float(f"{cost:.4g}")
