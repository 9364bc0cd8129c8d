"""Communities of a graph: prompts that belong together (Leiden; Traag et al., 2019)."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sparse

from pipeline.routers.tasks.graph import PromptGraph
from pipeline.runtime.arrays import Indices
from pipeline.runtime.errors import InputError

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
