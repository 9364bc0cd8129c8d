"""How far two prompts agree on which candidates are best: rank-biased overlap, with ties."""

from __future__ import annotations

import numpy as np

from pipeline.runtime.arrays import FloatMatrix, Indices

PERSISTENCE = 0.8
_BLOCK = 1 << 17


def utility(quality: FloatMatrix, cost: FloatMatrix, quality_per_usd: float) -> FloatMatrix:
    """What candidates are ranked by, float32 [n, c]: quality minus `quality_per_usd` times cost in USD.

    Where a price counts, a cell of unknown cost is NaN, as if untried: it is never taken for a cheap one.
    """
    return quality if quality_per_usd == 0 else np.asarray(quality - quality_per_usd * cost, dtype=np.float32)


def ranks(quality: FloatMatrix) -> Indices:
    """int64 [n, c]: 1 for the best of a row; ties share the first of their ranks; c + 1 where a candidate is untried.

    A row that tells no two candidates apart has rank 0 throughout.
    """
    c = quality.shape[1]
    found = np.full(quality.shape, 1, dtype=np.int64)
    for other in range(c):
        found += np.nan_to_num(quality[:, [other]], nan=-np.inf) > quality + 1e-6
    found[np.isnan(quality)] = c + 1
    found[(found == 1).sum(axis=1) == (~np.isnan(quality)).sum(axis=1)] = 0
    return found


def agreement(ranked: Indices, left: Indices, right: Indices) -> FloatMatrix:
    """Rank-biased overlap in 0..1 of rows `left` [m] and `right` [m] of `ranked`, float32 [m]; NaN: nothing to compare.

    Webber et al., 2010 (doi 10.1145/1852102.1852106): the mean over depths d, weighed by p^(d-1), of the overlap of
    both rankings' first d. Tied candidates enter together, so the overlap is taken of sets of unequal size (their
    section 5.1), over candidates that both prompts tried, and to the depth of the pool.
    """
    parts = [
        _agreement(ranked[left[start : start + _BLOCK]], ranked[right[start : start + _BLOCK]])
        for start in range(0, len(left), _BLOCK)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def _agreement(left: Indices, right: Indices) -> FloatMatrix:
    c = left.shape[1]
    both = (left <= c) & (right <= c)
    total, weight = np.zeros(len(left)), np.zeros(len(left))
    for depth in range(1, c):
        one, two = both & (left <= depth), both & (right <= depth)
        size = one.sum(axis=1) + two.sum(axis=1)
        share = PERSISTENCE ** (depth - 1) * (size > 0)
        total += share * 2 * (one & two).sum(axis=1) / np.maximum(size, 1)
        weight += share
    neutral = (left == 0).any(axis=1) | (right == 0).any(axis=1) | (both.sum(axis=1) < 2) | (weight == 0)
    return np.where(neutral, np.nan, total / np.maximum(weight, 1e-12)).astype(np.float32)
