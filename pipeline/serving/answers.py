"""What the engine says of one prompt."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.outcomes import FloatMatrix
from pipeline.training_rows import Neighbour as Neighbour


@dataclass(frozen=True)
class Scored:
    """One prompt as a version sees it, before any policy. It never depends on the prompts asked beside it.

    `quality` is float32 [c], calibrated, in 0..1; `cost` float32 [c] in USD a call, NaN where unknown. A prompt
    longer than the encoder reads is read in overlapping windows; `windows` says in how many.
    """

    quality: FloatMatrix
    cost: FloatMatrix
    tokens: int
    windows: int
    neighbours: tuple[Neighbour, ...]
