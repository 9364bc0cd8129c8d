"""A graph over prompts: each with its nearest neighbours, edges weighed by likeness and by agreement on candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse

from pipeline.runtime.arrays import Binary, FloatMatrix, Indices
from pipeline.runtime.errors import InputError

PERSISTENCE = 0.8
_BLOCK = 1 << 17
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


_ROUNDS = 2


def communities(edges: PromptGraph, of_agreement: float, resolution: float, prompts: int, seed: int) -> Indices:
    """The community of each prompt, int64 [n], 0 the largest; the same for the same arguments.

    Raises:
        InputError: leidenalg or igraph is not installed.
    """
    try:
        import igraph  # type: ignore[import-untyped]
        import leidenalg  # type: ignore[import-untyped]
    except ImportError as error:
        raise InputError("the router tasks needs igraph and leidenalg; pip install 'switchtender[tasks]'") from error
    weights = edges.weights(of_agreement).astype(np.float64)
    if not weights.sum() > 0:
        return np.zeros(prompts, dtype=np.int64)
    graph = igraph.Graph(n=prompts, edges=np.stack([edges.left, edges.right], axis=1))
    # Plain modularity cannot tell communities apart below a size that grows with the graph (Fortunato and Barthelemy,
    # 2007); with a resolution in it (Reichardt and Bornholdt, 2006) how fine they are can be chosen on held-out folds.
    found = leidenalg.find_partition(
        graph,
        leidenalg.RBConfigurationVertexPartition,
        weights=weights.tolist(),
        resolution_parameter=resolution,
        n_iterations=_ROUNDS,
        seed=seed,
    )
    return by_size(np.asarray(found.membership, dtype=np.int64))


def by_size(community: Indices) -> Indices:
    """The same communities, numbered from the largest; of equals the one that stands first."""
    names, first, inverse, counts = np.unique(community, return_index=True, return_inverse=True, return_counts=True)
    place = np.empty(len(names), dtype=np.int64)
    place[np.lexsort((first, -counts))] = np.arange(len(names))
    return place[inverse]


def gathered_small(community: Indices, edges: PromptGraph, least: int, within: Indices) -> Indices:
    """Communities of fewer than `least` prompts join that which they have most edges to, or else the largest around.

    `community` is numbered from the largest; `within` int64 [n] is the group that a prompt, and its whole community,
    stays in; no edge leads out of one. The largest of each group is kept, however small.
    """
    count = int(community.max(initial=0)) + 1
    home, largest = np.zeros(count, dtype=np.int64), np.zeros(int(within.max(initial=0)) + 1, dtype=np.int64)
    home[community] = within
    largest[home[::-1]] = np.arange(count)[::-1]
    kept = np.bincount(community, minlength=count) >= least
    weight, ends = np.maximum(edges.cosine, 0), (community[edges.left], community[edges.right])
    between = sparse.coo_matrix((weight, ends), shape=(count, count)).tocsr()
    between = (between + between.T) @ sparse.diags(kept.astype(np.float32))
    most, which = between.max(axis=1).toarray().ravel(), np.asarray(between.argmax(axis=1)).ravel()
    into = np.where(kept, np.arange(count), np.where(most > 0, which, largest[home]))
    return by_size(into[community])


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
