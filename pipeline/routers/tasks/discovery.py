"""Tasks are discovered here: groups of prompts, and in each group finer tasks. How fine is chosen on held-out folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from pipeline.data.folds import make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.routers.base.settings import TasksParams
from pipeline.routers.tasks.graph import (
    NearestNeighbours,
    PromptGraph,
    by_size,
    communities,
    gathered_small,
    nearest,
    ranks,
    utility,
)
from pipeline.routers.tasks.shrunken_means import COVERED, ShrinkagePrior, row_errors, task_means
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices, Values

LEAST = 10
"""Prompts that a task has at least."""
_VOTERS = 10
_MOST = 6000
"""Settings are chosen on at most so many prompts."""
BY_DEFAULT = TasksParams()
DEFAULT_PRIOR = ShrinkagePrior(30.0, 100.0)


@dataclass(frozen=True)
class DiscoverySettings:
    """How tasks are found: neighbours in the graph, how much agreement of rankings counts in its edges (0 to 1), and
    the resolutions of groups and of tasks within them. A resolution of 0 splits nothing. Candidates are ranked by
    quality minus `quality_per_usd` times cost; shortlists cover a share `coverage` of what prompts prefer.
    """

    neighbours: int = 10
    of_agreement: float = 0.0
    coarse: float = 0.25
    fine: float = 4.0
    prior: ShrinkagePrior = DEFAULT_PRIOR
    quality_per_usd: float = 0.0
    coverage: float = COVERED


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


@dataclass(frozen=True)
class _SettingLoss:
    """How a setting did: of each fold its held-out prompts' squared errors float64 [n], and how many tasks it made on
    average.
    """

    folds: tuple[Values, ...]
    tasks: float

    def mean(self, without: int | None = None) -> float:
        """Over all held-out prompts, or those of the folds but one."""
        return float(np.concatenate([loss for i, loss in enumerate(self.folds) if i != without]).mean())


Tried = dict[DiscoverySettings, _SettingLoss]


def chosen_discovery(
    features: FloatMatrix, outcomes: Outcomes, count: int, seed: int, params: TasksParams = BY_DEFAULT,
    likeness: FloatMatrix | None = None,
) -> DiscoverySettings:  # fmt: skip
    """The settings whose shrunk task means predict held-out folds best; of equal ones that of fewest tasks.

    For graded outcomes that is the squared error of the differences between candidates, for labels that of all.
    First the resolutions are chosen without agreement, then whether agreement counts, then the neighbours. Edges are
    between prompts whose `likeness`, unit vectors float32 [n, any], is high; by default their features are.
    """
    some = np.sort(np.random.default_rng(seed).permutation(len(outcomes))[:_MOST])
    quality = outcomes.quality[some]
    ranked = ranks(utility(quality, outcomes.cost[some], params.quality_per_usd))
    base = _first_settings(params)
    folds = make_folds(outcomes.rows(some), count, seed)
    if not len(quality) > 2 * LEAST or folds.max() == 0:
        return base
    alike = features if likeness is None else likeness
    search = _Search(
        [
            _fold(features[some], alike[some], quality, ranked, folds == fold, max(params.neighbours))
            for fold in np.unique(folds)
        ],
        _priors(params),
        outcomes.is_labels,
        seed,
    )
    tried = search.losses([base])
    start = replace(base, of_agreement=params.agreement[0])
    tried |= search.losses([replace(start, coarse=c, fine=f) for c in params.coarse for f in params.fine])
    best = _best(tried)
    if best.coarse == 0:
        return best
    tried |= search.losses([replace(best, of_agreement=share) for share in params.agreement[1:]])
    best = _best(tried)
    tried |= search.losses([replace(best, neighbours=k) for k in params.neighbours[1:]])
    return _best(tried)


def _first_settings(params: TasksParams) -> DiscoverySettings:
    """No tasks, and the prior in the middle of those that may be chosen."""
    priors = _priors(params)
    return DiscoverySettings(
        params.neighbours[0], 0.0, 0.0, 0.0, priors[len(priors) // 2], params.quality_per_usd, params.coverage
    )


def _priors(params: TasksParams) -> list[ShrinkagePrior]:
    return [ShrinkagePrior(group, task) for group, task in product(params.group_prior, params.task_prior)]


def _best(tried: Tried) -> DiscoverySettings:
    """The setting of least mean loss, of equal ones that of fewest tasks; the best without tasks, unless tasks gain.

    The best of many looks better than it is. So what tasks gain is what the setting that is best on all folds but one
    gains on that one: no fold judges a setting that it had a part in choosing.
    """

    def least(among: Tried, without: int | None = None) -> DiscoverySettings:
        return min(among, key=lambda how: (among[how].mean(without), among[how].tasks))

    none = {how: loss for how, loss in tried.items() if how.coarse == 0}
    gained = 0.0
    for fold in range(len(next(iter(tried.values())).folds)):
        losses = [among[least(among, fold)].folds[fold] for among in (none, tried)]
        gained += float((losses[0] - losses[1]).sum())
    return least(tried if gained > 0 else none)


def _fold(
    features: FloatMatrix, alike: FloatMatrix, quality: FloatMatrix, ranked: Indices, held_out: Binary, most: int
) -> _Fold:
    voters = nearest(features[held_out], features[~held_out], _VOTERS).places
    neighbours = nearest(alike[~held_out], alike[~held_out], most, itself=True)
    return _Fold(neighbours, ranked[~held_out], quality[~held_out], quality[held_out], voters)


@dataclass(frozen=True)
class _Search:
    """What settings are tried on, each combined with each prior."""

    folds: Sequence[_Fold]
    priors: Sequence[ShrinkagePrior]
    is_labels: bool
    seed: int

    def losses(self, settings: Sequence[DiscoverySettings]) -> Tried:
        losses: dict[DiscoverySettings, list[Values]] = {}
        tasks: dict[DiscoverySettings, list[int]] = {}
        for part in self.folds:
            groups: dict[tuple[int, float, float], tuple[PromptGraph, Indices]] = {}
            for how in settings:
                key = (how.neighbours, how.of_agreement, how.coarse)
                if key not in groups:
                    edges = PromptGraph.of(part.neighbours.first(how.neighbours), part.ranked)
                    groups[key] = (edges, _grouped(edges, how, len(part.learnt), self.seed))
                found = _split(*groups[key], how, self.seed)
                for each in (replace(how, prior=prior) for prior in self.priors):
                    losses.setdefault(each, []).append(_loss(part, found, each.prior, self.is_labels))
                    tasks.setdefault(each, []).append(len(found.group))
        return {how: _SettingLoss(tuple(losses[how]), float(np.mean(tasks[how]))) for how in losses}


def _loss(part: _Fold, found: TaskPartition, prior: ShrinkagePrior, is_labels: bool) -> Values:
    means = task_means(part.learnt, found.task, found.group, prior)
    votes = np.zeros((len(part.held_out), len(means)))
    np.add.at(votes, (np.arange(len(votes))[:, None], found.task[part.voters]), 1 / part.voters.shape[1])
    contrast, level = row_errors(votes @ means, part.held_out)
    return contrast + level if is_labels else contrast
