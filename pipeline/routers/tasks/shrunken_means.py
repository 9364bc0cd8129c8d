"""What a task says of each candidate: means that few prompts pull towards those of the group, and that to all prompts'.

A mean has two parts: how well candidates do there on average (its level), and how they differ (its contrasts). Only
contrasts decide who is chosen, and they are small beside what a single answer varies by, so they are shrunk by more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.metrics.candidate_means import shrunk_quality
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices, Values

COVERED = 0.8
_TIE = 1e-6
_LEVEL_PRIOR = 10.0
_DOUBTFUL = 10.0
"""So many answers that vary as much as any can (.25) stand beside each candidate's own: few equal ones prove little."""


@dataclass(frozen=True)
class ShrinkagePrior:
    """By how many prompts a group's mean is pulled to the overall one, and a task's contrasts to its group's."""

    group: float
    task: float


@dataclass(frozen=True)
class QualityErrors:
    """Squared errors of expected quality: of the differences between candidates, and of their mean level."""

    contrast: float
    level: float


def task_means(quality: FloatMatrix, task: Indices, group: Indices, prior: ShrinkagePrior) -> Values:
    """Expected quality of each candidate in each task, float64 [tasks, c]; 0.5 for one that was never tried.

    `quality` is float32 [n, c], NaN where untried; `task` int64 [n]; `group` int64 [tasks], the group of each task.
    """
    known = ~np.isnan(quality)
    filled = np.where(known, quality, 0).astype(np.float64)
    tried = known.sum(axis=0)
    overall = np.where(tried > 0, filled.sum(axis=0) / np.maximum(tried, 1), 0.5)
    of_group = pulled(filled, known, group[task], int(group.max()) + 1, prior.group, overall)[group]
    left = np.where(known, filled - of_group[task], 0)
    level = left.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
    contrast = np.where(known, left - level[:, None], 0)
    tasks = len(group)
    some = np.asarray(known.any(axis=1))[:, None]
    levels = pulled(level[:, None], some, task, tasks, _LEVEL_PRIOR, np.zeros(1))
    contrasts = pulled(contrast, known, task, tasks, prior.task, np.zeros(quality.shape[1]))
    return np.asarray(np.where(tried > 0, of_group + levels + contrasts, 0.5))


def fallback(quality: FloatMatrix, towards: Values | None = None) -> Values:
    """What is expected of each candidate, float64 [c], where nothing is known of a prompt: by it the best is
    `best_single`. 0.5 for one that was never tried. Few prompts are pulled `towards` [c], by default the mean of all.
    """
    return np.nan_to_num(shrunk_quality(quality.astype(np.float64), towards), neginf=0.5)


def pulled(values: Values, known: Binary, place: Indices, places: int, prior: float, towards: Values) -> Values:
    """Means of rows of values [n, c] by place, each as if `prior` more rows had the value `towards` [c]."""
    total, count = np.zeros((places, values.shape[1])), np.zeros((places, values.shape[1]))
    np.add.at(total, place, values)
    np.add.at(count, place, known)
    return np.asarray((total + prior * towards) / (count + prior))


def joined_means(
    means: Values, quality: FloatMatrix, belongs: FloatMatrix, group: Indices, prior: ShrinkagePrior
) -> Values:
    """Means of one more candidate, float64 [tasks], from qualities [n] and how far each prompt belongs to each task.

    A task that it was not tried on has its group's mean and the level that the known candidates show there.
    """
    known = ~np.isnan(quality)
    filled, weight = np.where(known, quality, 0), belongs * known[:, None]
    overall = float(filled.sum() / max(known.sum(), 1)) if known.any() else 0.5
    count, total = weight.sum(axis=0), filled @ belongs
    sizes = np.bincount(group, count), np.bincount(group, total)
    of_group = ((sizes[1] + prior.group * overall) / (sizes[0] + prior.group))[group]
    usual = means.mean(axis=1)
    in_group = np.bincount(group, usual * count) / np.maximum(np.bincount(group, count), 1e-9)
    level = np.where(count.sum() > 0, usual - in_group[group], 0) * (np.bincount(group, count) > 0)[group]
    contrast = (total - count * (of_group + level)) / (count + prior.task)
    return np.asarray(of_group + level + contrast)


def standard_error(quality: FloatMatrix, task: Indices, means: Values, prior: ShrinkagePrior) -> Values:
    """Of each mean, float64 [tasks, c]: from what qualities vary by within tasks, on how many prompts it rests, and on
    how many the overall mean does, which it is pulled to.
    """
    known = ~np.isnan(quality)
    tried = known.sum(axis=0)
    off = np.where(known, quality - means[task], 0)
    variance = (np.square(off).sum(axis=0) + 0.25 * _DOUBTFUL) / (tried + _DOUBTFUL)
    count = np.zeros(means.shape)
    np.add.at(count, task, known)
    pull = prior.group / (count + prior.group)
    return np.asarray(np.sqrt(variance * (1 / (count + prior.group) + pull**2 / np.maximum(tried, 1))))


def row_errors(expected: Values, quality: FloatMatrix) -> tuple[Values, Values]:
    """Each prompt's squared errors float64 [n]: of contrasts and of the level, summed over known cells.

    A row's level is the mean over the candidates that were tried on it.
    """
    known = ~np.isnan(quality)
    off = np.where(known, expected - np.where(known, quality, 0), 0)
    tried = known.sum(axis=1)
    level = off.sum(axis=1) / np.maximum(tried, 1)
    contrast = np.where(known, off - level[:, None], 0)
    return np.square(contrast).sum(axis=1), level**2 * tried


def errors(expected: Values, quality: FloatMatrix) -> QualityErrors:
    """Means over known cells."""
    contrast, level = row_errors(expected, quality)
    cells = max(int((~np.isnan(quality)).sum()), 1)
    return QualityErrors(float(contrast.sum() / cells), float(level.sum() / cells))


def shortlists(worth: FloatMatrix, task: Indices, means: Values, covered: float = COVERED) -> Binary:
    """bool [tasks, c]: the most preferred, until they have a share `covered` of what a task's prompts prefer.

    `worth` float32 [n, c] is what candidates are ranked by, NaN where untried. Those that are tied for the best share
    the prompt. Where all are tied, none is preferred, and the prompt does not count. The candidate with the highest
    mean is always in.
    """
    known = ~np.isnan(worth)
    filled = np.where(known, worth, -np.inf).astype(np.float64)
    best = known & (filled >= filled.max(axis=1, keepdims=True) - _TIE)
    prefers = best.sum(axis=1) < known.sum(axis=1)
    shared = best * (prefers / np.maximum(best.sum(axis=1), 1))[:, None]
    preferred = np.zeros(means.shape)
    np.add.at(preferred, task, shared)
    preferred /= np.maximum(preferred.sum(axis=1, keepdims=True), 1e-9)
    order = np.lexsort((-means, -preferred), axis=1)
    before = np.cumsum(np.take_along_axis(preferred, order, axis=1), axis=1)
    before = np.hstack([np.zeros((len(means), 1)), before[:, :-1]])
    found = np.zeros(means.shape, dtype=np.bool_)
    np.put_along_axis(found, order, before < covered - _TIE, axis=1)
    found[preferred == 0] = False
    found[np.arange(len(means)), means.argmax(axis=1)] = True
    return found
