"""A graph over prompts: each with its nearest neighbours, edges weighed by likeness and by agreement on candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.routers.tasks.ranking import agreement
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices

_CELLS = 1 << 24


@dataclass(frozen=True)
class NearestNeighbours:
    """The nearest of n vectors to each of m, nearest first: places int64 [m, k] and cosines float32 [m, k]."""

    places: Indices
    cosines: FloatMatrix

    def first(self, count: int) -> NearestNeighbours:
        return NearestNeighbours(self.places[:, :count], self.cosines[:, :count])


def nearest(asked: FloatMatrix, known: FloatMatrix, count: int, itself: bool = False) -> NearestNeighbours:
    """Exact neighbours of unit vectors, in blocks of bounded memory; `itself` leaves each vector's own place out."""
    count = min(count, len(known) - itself)
    places = np.zeros((len(asked), count), dtype=np.int64)
    cosines = np.zeros((len(asked), count), dtype=np.float32)
    block = max(1, _CELLS // max(1, len(known)))
    for start in range(0, len(asked) if count else 0, block):
        cosine = asked[start : start + block] @ known.T
        if itself:
            own = np.arange(len(cosine))
            cosine[own, start + own] = -np.inf
        some = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        found = np.take_along_axis(cosine, some, axis=1)
        order = np.lexsort((some, -found), axis=1)
        places[start : start + block] = np.take_along_axis(some, order, axis=1)
        cosines[start : start + block] = np.take_along_axis(found, order, axis=1)
    return NearestNeighbours(places, cosines)


@dataclass(frozen=True)
class PromptGraph:
    """m undirected edges, each once: both ends int64 [m], cosine float32 [m], agreement float32 [m].

    Agreement is relative to that of the average edge, so that 1 is neutral; that is what an edge has where a prompt
    does not tell candidates apart.
    """

    left: Indices
    right: Indices
    cosine: FloatMatrix
    agreement: FloatMatrix

    @classmethod
    def of(cls, neighbours: NearestNeighbours, ranked: Indices) -> PromptGraph:
        """Two prompts are joined where either is among the other's neighbours."""
        n, k = neighbours.places.shape
        one, two = np.repeat(np.arange(n), k), neighbours.places.ravel()
        low, high = np.minimum(one, two), np.maximum(one, two)
        _, first = np.unique(low * n + high, return_index=True)
        left, right = low[first], high[first]
        overlap = agreement(ranked, left, right)
        known = ~np.isnan(overlap)
        average = overlap[known].mean() if known.any() else 1.0
        relative = np.where(known, overlap, average) / max(float(average), 1e-6)
        return cls(left, right, neighbours.cosines.ravel()[first], relative.astype(np.float32))

    def where(self, kept: Binary) -> PromptGraph:
        return PromptGraph(self.left[kept], self.right[kept], self.cosine[kept], self.agreement[kept])

    def weights(self, of_agreement: float) -> FloatMatrix:
        """Cosine times agreement, of which `of_agreement` in 0..1 says how much it counts; never negative."""
        factor = 1 - of_agreement + of_agreement * self.agreement
        return np.asarray(np.maximum(self.cosine, 0) * factor, dtype=np.float32)
