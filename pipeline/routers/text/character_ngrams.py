"""Character n-grams of a text, hashed, weighed by how rare they are, and brought to a few axes.

They tell apart what an English encoder cannot read, and the form that a question is written in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.runtime.arrays import FloatMatrix

BUCKETS = 4096
_LENGTHS = (1, 2, 3, 4)
_END = 384
"""Characters that are read at either end of a text."""
_BLOCK = 1024
_LEARNT_FROM = 3000
"""The axes are learnt from at most so many texts."""
_MIX = np.uint64(0x9E3779B97F4A7C15)

Codes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class CharacterNgrams:
    """The inverse document frequency of each bucket, float32 [buckets], and axes float32 [buckets, width]."""

    rarity: FloatMatrix
    axes: FloatMatrix

    @classmethod
    def fit(cls, texts: Sequence[str], width: int, seed: int) -> CharacterNgrams:
        """Learn from texts; fewer axes than `width` where fewer texts differ."""
        from sklearn.utils.extmath import randomized_svd

        random = np.random.default_rng(seed)
        some = np.sort(random.permutation(len(texts))[:_LEARNT_FROM])
        counts = np.concatenate([block for _, block in _blocks([texts[i] for i in some])])
        rarity = np.log((1 + len(some)) / (1 + (counts > 0).sum(axis=0))) + 1
        weighed = _weighed(counts, rarity.astype(np.float32))
        width = min(width, *weighed.shape)
        axes = randomized_svd(weighed, width, n_iter=2, random_state=seed)[2].T
        return cls(rarity.astype(np.float32), np.ascontiguousarray(axes, dtype=np.float32))

    def of(self, texts: Sequence[str]) -> FloatMatrix:
        """Unit vectors float32 [n, width]; zero for a text that shares nothing with those learnt from."""
        found = np.zeros((len(texts), self.axes.shape[1]), dtype=np.float32)
        for rows, counts in _blocks(texts):
            found[rows] = _unit(_weighed(counts, self.rarity) @ self.axes)
        return found


def _weighed(counts: FloatMatrix, rarity: FloatMatrix) -> FloatMatrix:
    return _unit(np.log1p(counts) * rarity)


def _unit(rows: FloatMatrix) -> FloatMatrix:
    length = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
    return np.asarray(rows / np.where(length > 0, length, 1), dtype=np.float32)


def _blocks(texts: Sequence[str]) -> Iterator[tuple[slice, FloatMatrix]]:
    """How often each bucket is hit, float32 [rows, buckets], a block of texts at a time."""
    for start in range(0, len(texts), _BLOCK):
        part = texts[start : start + _BLOCK]
        yield slice(start, start + len(part)), _counts(part)


def _counts(texts: Sequence[str]) -> FloatMatrix:
    ends = [_ends(text).lower() for text in texts]
    lengths = np.array([len(text) for text in ends])
    codes = np.frombuffer("".join(ends).encode("utf-32-le", "surrogatepass"), dtype=np.uint32).astype(np.uint64)
    row = np.repeat(np.arange(len(texts)), lengths)
    cells = []
    rolling = np.zeros(len(codes), dtype=np.uint64)
    for n in _LENGTHS:
        count = max(0, len(codes) - n + 1)
        rolling = (rolling[:count] + codes[n - 1 :]) * _MIX
        inside = row[:count] == row[n - 1 :]
        cells.append(row[:count][inside] * BUCKETS + (rolling[inside] >> np.uint64(52)).astype(np.int64))
    hits = np.bincount(np.concatenate(cells), minlength=len(texts) * BUCKETS)
    return hits.reshape(len(texts), BUCKETS).astype(np.float32)


def _ends(text: str) -> str:
    return text if len(text) <= 2 * _END else f"{text[:_END]} {text[-_END:]}"
