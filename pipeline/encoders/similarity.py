"""Pairs of prompts that say the same: cosine under the bundled sentence encoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.runtime.arrays import FloatMatrix, Indices

MAX_TOKENS = 256
_BLOCK = 1024


def embed_for_comparison(prompts: Sequence[str], encoder: str = "minilm") -> FloatMatrix:
    """Unit vectors float32 [n, width] of the encoder with which nearness is judged."""
    return FrozenEmbedding(encoder, MAX_TOKENS, "validate.encoder").embed(prompts)


def nearest(queries: FloatMatrix, others: FloatMatrix, *, earlier_only: bool = False) -> tuple[Indices, FloatMatrix]:
    """For each query the row and cosine of its nearest among `others`; -1 and 0 where there is none.

    With `earlier_only`, `queries` are `others`, and a row is compared with the rows before it only: of a
    near-duplicate pair the later one is found, and the first stays.
    """
    rows = np.full(len(queries), -1, dtype=np.int64)
    cosines = np.zeros(len(queries), dtype=np.float32)
    if len(others) == 0:
        return rows, cosines
    for start in range(0, len(queries), _BLOCK):
        block = queries[start : start + _BLOCK] @ others.T
        if earlier_only:
            column = np.arange(len(others))[None, :]
            block = np.where(column < np.arange(start, start + len(block))[:, None], block, -np.inf)
        best = block.argmax(axis=1)
        value = block[np.arange(len(block)), best]
        found = np.isfinite(value)
        rows[start : start + len(block)] = np.where(found, best, -1)
        cosines[start : start + len(block)] = np.where(found, value, 0.0)
    return rows, cosines
