"""Held-out scores by an encoder in fp32 and in int8, and the type of what makes the second."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.encoders.windows import TextEncoder
from pipeline.runtime.arrays import FloatMatrix

if TYPE_CHECKING:
    from pipeline.encoders.sentence_encoder import SentenceEncoder

MakeInt8 = Callable[["SentenceEncoder"], AbstractContextManager[TextEncoder]]


@dataclass(frozen=True)
class QuantisedScores:
    """Held-out scores float32 [n, c] of the same fold fits twice: by the encoder in fp32, and in int8."""

    fp32: FloatMatrix
    int8: FloatMatrix
