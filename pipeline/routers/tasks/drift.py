"""Drift: prompts that match no known task, and the clusters that they make among themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.routers.tasks.graph import PromptGraph, communities, nearest
from pipeline.routers.tasks.task_summary import distinctive
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices

_NEIGHBOURS, _RESOLUTION = 10, 1.0
Ids = tuple[str, ...]


@dataclass(frozen=True)
class NewCluster:
    """New prompts that are alike: their ids, nearest to the centre first, and phrases that tell them from the rest."""

    phrases: tuple[str, ...]
    prompt_ids: Ids

    @property
    def size(self) -> int:
        return len(self.prompt_ids)


@dataclass(frozen=True)
class TaskDrift:
    """Of so many `prompts` those that match no known task: in clusters of two and more, the largest first, or alone."""

    prompts: int
    clusters: tuple[NewCluster, ...]
    alone: Ids

    @property
    def new(self) -> int:
        """How many match no task."""
        return sum(cluster.size for cluster in self.clusters) + len(self.alone)

    @property
    def share(self) -> float:
        """The part of the prompts that match none, 0..1; 0 of nothing."""
        return self.new / max(self.prompts, 1)


def drift_of(
    prompt_ids: Sequence[str], texts: Sequence[str], features: FloatMatrix, new: Binary,
    least_cosine: float, seed: int,
) -> TaskDrift:  # fmt: skip
    """Cluster the prompts that are `new`, bool [n]; `features` are unit vectors float32 [n, width].

    Two of them are joined where they are as near to each other as a prompt has to be to the centre of its task.
    """
    rows = np.flatnonzero(new)
    found = _clusters(features[rows], least_cosine, seed)
    count = int(found.max(initial=-1)) + 1
    group = np.full(len(texts), count)
    group[rows] = found
    phrases = distinctive(texts, group, count + 1)
    members = [_from_centre(features, np.flatnonzero(group == each)) for each in range(count)]
    named = [tuple(prompt_ids[i] for i in inside) for inside in members]
    clusters = [NewCluster(phrases[each], ids) for each, ids in enumerate(named) if len(ids) > 1]
    return TaskDrift(len(texts), tuple(clusters), tuple(ids[0] for ids in named if len(ids) == 1))


def _clusters(features: FloatMatrix, least_cosine: float, seed: int) -> Indices:
    """The cluster of each row, 0 the largest."""
    if len(features) < 2:
        return np.zeros(len(features), dtype=np.int64)
    neighbours = nearest(features, features, _NEIGHBOURS, itself=True)
    edges = PromptGraph.of(neighbours, np.zeros((len(features), 1), dtype=np.int64))
    near = edges.where(edges.cosine >= least_cosine)
    if not len(near.left):
        return np.arange(len(features))
    return communities(near, 0.0, _RESOLUTION, len(features), seed)


def _from_centre(features: FloatMatrix, members: Indices) -> Indices:
    centre = features[members].mean(axis=0)
    return members[np.argsort(-(features[members] @ centre), kind="stable")]
