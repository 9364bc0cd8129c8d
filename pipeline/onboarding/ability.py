"""What graded answers tell of a candidate: its level, its accuracy a task, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.metrics.bootstrap import Estimate
from pipeline.routers.aptitude.capability import accuracy
from pipeline.routers.aptitude.items import AptitudeTest
from pipeline.runtime.arrays import FloatMatrix, Values

_Z = 1.959964
"""95 % of a normal distribution lie within so many standard errors."""


@dataclass(frozen=True)
class AccuracyEstimate(Estimate):
    """An accuracy from 0 to 1 with its 95 % interval, from so many answers."""

    answers: int


@dataclass(frozen=True)
class TaskAbility:
    """Accuracy on one task; `share` is the task's part of all train prompts."""

    task: int
    keywords: tuple[str, ...]
    share: float
    accuracy: AccuracyEstimate


@dataclass(frozen=True)
class Ability:
    """`level` is the accuracy expected over all prompts. `width` is that of the tasks' 95 % intervals, a mean by share;
    `full_width` is what it would be with every item answered.
    """

    items: int
    level: AccuracyEstimate
    tasks: tuple[TaskAbility, ...]
    width: float
    full_width: float

    @property
    def widening(self) -> float:
        """How many times as wide intervals are as those of a full test."""
        return self.width / self.full_width


def ability_of(test: AptitudeTest, quality: FloatMatrix) -> Ability:
    """From the qualities of one candidate's answers, float32 [items], NaN where an item has none.

    Errors are those of a share of right answers; what is graded in between is surer than that.
    """
    found = accuracy(test, quality[:, None])
    mean, error, answered = (values[:, 0] for values in (found.mean, found.error, found.answered))
    full = np.where(np.isnan(quality), mean[test.task], quality).astype(np.float32)
    full_error = accuracy(test, full[:, None]).error[:, 0]
    known = ~np.isnan(quality)
    level = float(found.level[0])
    tasks = tuple(
        TaskAbility(t + 1, test.keywords[t], float(test.share[t]), _estimate(mean[t], error[t], int(answered[t])))
        for t in range(len(test.share))
    )
    level_error = np.sqrt(level * (1 - level) / _effective_answers(test.weight[known]))
    return Ability(
        len(test),
        _estimate(level, float(level_error), int(known.sum())),
        tasks,
        *(float(2 * _Z * (errors * test.share).sum()) for errors in (error, full_error)),
    )


def _effective_answers(weight: Values) -> float:
    """How many equally weighted answers these are worth (Kish)."""
    return float(weight.sum() ** 2 / (weight**2).sum())


def _estimate(value: float, error: float, answers: int) -> AccuracyEstimate:
    low, high = max(0.0, value - _Z * error), min(1.0, value + _Z * error)
    return AccuracyEstimate(float(value), float(low), float(high), answers)
