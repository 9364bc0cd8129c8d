"""Tasks are discovered here: groups of prompts, and in each group finer tasks. How fine is chosen on held-out folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.data.folds import make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.routers.tasks.assignment import ranks, utility
from pipeline.routers.tasks.graph import NearestNeighbours, PromptGraph, by_size, communities, gathered_small, nearest
from pipeline.routers.tasks.shrunken_means import ShrinkagePrior, row_errors, task_means
from pipeline.runtime.arrays import FloatMatrix, Indices, Values

LEAST = 10
"""Prompts that a task has at least."""
_COARSE = (0.25, 0.5, 1.0)
_FINE = (0.0, 2.0, 4.0, 8.0, 16.0)
_AGREEMENT = (0.5, 1.0)
_NEIGHBOURS = (20,)
_PRIORS = tuple(ShrinkagePrior(group, task) for group in (10.0, 30.0, 100.0) for task in (30.0, 100.0, 300.0))
_VOTERS = 10
_MOST = 6000
"""Settings are chosen on at most so many prompts."""
_CERTAIN = 2.0
"""Standard errors by which tasks must gain on none."""


DEFAULT_PRIOR = ShrinkagePrior(30.0, 100.0)


@dataclass(frozen=True)
class DiscoverySettings:
    """How tasks are found: neighbours in the graph, how much agreement of rankings counts in its edges (0 to 1), and
    the resolutions of groups and of tasks within them. A resolution of 0 splits nothing. Candidates are ranked by
    quality minus `quality_per_usd` times cost.
    """

    neighbours: int = 10
    of_agreement: float = 0.0
    coarse: float = 0.25
    fine: float = 4.0
    prior: ShrinkagePrior = DEFAULT_PRIOR
    quality_per_usd: float = 0.0


@dataclass(frozen=True)
class TaskPartition:
    """The task of each of n prompts, int64 [n], and the group of each task, int64 [tasks]."""

    task: Indices
    group: Indices


def discovered(neighbours: NearestNeighbours, outcomes: Outcomes, how: DiscoverySettings, seed: int) -> TaskPartition:
    """Groups by Leiden at the coarse resolution; then, without the edges between them, tasks at the fine one."""
    ranked = ranks(utility(outcomes.quality, outcomes.cost, how.quality_per_usd))
    edges = PromptGraph.of(neighbours.first(how.neighbours), ranked)
    return _split(edges, _grouped(edges, how, len(outcomes), seed), how, seed)


def _grouped(edges: PromptGraph, how: DiscoverySettings, prompts: int, seed: int) -> Indices:
    if how.coarse == 0:
        return np.zeros(prompts, dtype=np.int64)
    found = communities(edges, how.of_agreement, how.coarse, prompts, seed)
    return gathered_small(found, edges, LEAST, np.zeros_like(found))


def _split(edges: PromptGraph, grouped: Indices, how: DiscoverySettings, seed: int) -> TaskPartition:
    if how.fine == 0:
        return TaskPartition(grouped, np.arange(int(grouped.max(initial=0)) + 1))
    inside = edges.where(grouped[edges.left] == grouped[edges.right])
    found = communities(inside, how.of_agreement, how.fine, len(grouped), seed)
    within = by_size(found * (int(grouped.max(initial=0)) + 1) + grouped)
    task = gathered_small(within, inside, LEAST, grouped)
    group = np.zeros(int(task.max(initial=0)) + 1, dtype=np.int64)
    group[task[::-1]] = grouped[::-1]
    return TaskPartition(task, group)


@dataclass(frozen=True)
class _Fold:
    """What one held-out fold needs: a graph's neighbours, qualities, and who votes for each held-out prompt."""

    neighbours: NearestNeighbours
    ranked: Indices
    learnt: FloatMatrix
    held_out: FloatMatrix
    voters: Indices


def chosen_discovery(
    features: FloatMatrix, outcomes: Outcomes, count: int, seed: int, quality_per_usd: float = 0.0
) -> DiscoverySettings:
    """The settings whose shrunk task means predict held-out folds best; of equal ones that of fewest tasks.

    For graded outcomes that is the squared error of the differences between candidates, for labels that of all.
    First the resolutions are chosen without agreement, then whether agreement counts, then the neighbours.
    """
    some = np.sort(np.random.default_rng(seed).permutation(len(outcomes))[:_MOST])
    quality = outcomes.quality[some]
    ranked = ranks(utility(quality, outcomes.cost[some], quality_per_usd))
    base = DiscoverySettings(quality_per_usd=quality_per_usd)
    folds = make_folds(outcomes.rows(some), count, seed)
    if not len(quality) > 2 * LEAST or folds.max() == 0:
        return replace(base, coarse=0.0, fine=0.0)
    parts = [_fold(features[some], quality, ranked, folds == fold) for fold in np.unique(folds)]
    tried = _setting_losses(parts, [replace(base, coarse=0.0, fine=0.0)], outcomes.is_labels, seed)
    tried |= _setting_losses(
        parts, [replace(base, coarse=c, fine=f) for c in _COARSE for f in _FINE], outcomes.is_labels, seed
    )
    best = _best(tried)
    if best.coarse == 0:
        return best
    tried |= _setting_losses(
        parts, [replace(best, of_agreement=share) for share in _AGREEMENT], outcomes.is_labels, seed
    )
    best = _best(tried)
    tried |= _setting_losses(parts, [replace(best, neighbours=k) for k in _NEIGHBOURS], outcomes.is_labels, seed)
    return _best(tried)


@dataclass(frozen=True)
class _SettingLoss:
    """How a setting did: each held-out prompt's squared error float64 [n], and how many tasks it made on average."""

    loss: Values
    tasks: float


def _best(tried: dict[DiscoverySettings, _SettingLoss]) -> DiscoverySettings:
    """The setting of least mean loss, of equal ones that of fewest tasks.

    The best without tasks, unless the other gains more than two standard errors on it.
    """
    alone = min((how for how in tried if how.coarse == 0), key=lambda how: tried[how].loss.mean())
    best = min(tried, key=lambda how: (tried[how].loss.mean(), tried[how].tasks))
    gained = tried[alone].loss - tried[best].loss
    return best if gained.mean() > _CERTAIN * gained.std() / np.sqrt(len(gained)) else alone


def _fold(features: FloatMatrix, quality: FloatMatrix, ranked: Indices, held_out: np.ndarray) -> _Fold:
    known = features[~held_out]
    most = max(DiscoverySettings.neighbours, *_NEIGHBOURS)
    voters = nearest(features[held_out], known, _VOTERS).places
    neighbours = nearest(known, known, most, itself=True)
    return _Fold(neighbours, ranked[~held_out], quality[~held_out], quality[held_out], voters)


def _setting_losses(
    parts: Sequence[_Fold], settings: Sequence[DiscoverySettings], is_labels: bool, seed: int
) -> dict[DiscoverySettings, _SettingLoss]:
    """The held-out losses of each setting combined with each prior."""
    losses: dict[DiscoverySettings, list[Values]] = {}
    tasks: dict[DiscoverySettings, list[int]] = {}
    for part in parts:
        groups: dict[tuple[int, float, float], tuple[PromptGraph, Indices]] = {}
        for how in settings:
            key = (how.neighbours, how.of_agreement, how.coarse)
            if key not in groups:
                edges = PromptGraph.of(part.neighbours.first(how.neighbours), part.ranked)
                groups[key] = (edges, _grouped(edges, how, len(part.learnt), seed))
            found = _split(*groups[key], how, seed)
            for each in (replace(how, prior=prior) for prior in _PRIORS):
                losses.setdefault(each, []).append(_loss(part, found, each.prior, is_labels))
                tasks.setdefault(each, []).append(len(found.group))
    return {how: _SettingLoss(np.concatenate(losses[how]), float(np.mean(tasks[how]))) for how in losses}


def _loss(part: _Fold, found: TaskPartition, prior: ShrinkagePrior, is_labels: bool) -> Values:
    means = task_means(part.learnt, found.task, found.group, prior)
    votes = np.zeros((len(part.held_out), len(means)))
    np.add.at(votes, (np.arange(len(votes))[:, None], found.task[part.voters]), 1 / part.voters.shape[1])
    contrast, level = row_errors(votes @ means, part.held_out)
    return contrast + level if is_labels else contrast
