"""How what both stages say of a prompt is mixed. The weights are chosen on held-out prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeVar

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.learning.linear_heads import held_out_loss, level_scores
from pipeline.metrics.candidate_means import best_single
from pipeline.metrics.cost_quality import taken
from pipeline.routers.tasks.shrunken_means import QualityErrors, errors
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices, Values

_ALPHAS = tuple(round(float(alpha), 1) for alpha in np.linspace(0, 1, 11))
_TASK_HEADS = (0.0, 0.5, 1.0)
_FLOORS = (0.0, 0.3, 0.5)
_DOUBTFUL = 10.0
_LEAD = 1e-5
"""What a candidate that is to lead is ahead by: more than policies take for equal."""
LEAST = 1e-3
"""A probability nearer to 0 or 1 than this counts as that: a mixture of estimates may even lie outside 0..1."""
T = TypeVar("T")


@dataclass(frozen=True)
class MixingWeights:
    """How a prompt's estimate (by the heads) and its tasks' means are mixed: alpha x prompt + (1 - alpha) x task.

    `alpha` counts for the differences between candidates, `level` for their mean. `task_heads` is the part of what
    task heads add. Below a probability of `floor` for the likeliest task the general heads alone decide. The candidate
    `leads` (a column) is best on every prompt, whatever is expected of others; -1: nobody is favoured.
    """

    alpha: float = 0.5
    level: float = 0.5
    task_heads: float = 1.0
    floor: float = 0.0
    leads: int = -1


@dataclass(frozen=True)
class TaskEstimates:
    """What is known of n prompts: means of their tasks float64 [n, c] and their standard error [n, c]; by the heads,
    for the f candidates of training: general, headed, spread float32 [n, f]; the probability of the likeliest task
    float32 [n], whether the prompt is like no known task, bool [n], and each candidate's mean over all train prompts,
    float64 [c], which is all that is known of such a prompt (None: of labels, and in an earlier release, the general
    heads judge it). `scarce` float64 [c] is how far what is said of a candidate tried on few prompts is drawn to
    that mean (None: of nobody).
    """

    task: Values
    error: Values
    general: FloatMatrix
    headed: FloatMatrix
    spread: FloatMatrix
    confidence: FloatMatrix
    is_new: Binary
    overall: Values | None = None
    scarce: Values | None = None

    def mixed(self, how: MixingWeights) -> Values:
        """Expected quality float64 [n, c]. One that joined later has its tasks' means, and the prompt's level."""
        heads = self.general.shape[1]
        prompt = self.general + how.task_heads * (self.headed - self.general)
        off = prompt - self.task[:, :heads]
        level = off.mean(axis=1, keepdims=True)
        found: Values = self.task + how.level * level
        found[:, :heads] += how.alpha * (off - level)
        abstains = self.abstains(how)
        found[abstains, :heads] = self.general[abstains]
        if self.overall is not None:
            found[self.is_new] = self.overall
            if self.scarce is not None:
                found += self.scarce * (self.overall - found)
        return _led(found, heads, how.leads) if how.leads >= 0 else found

    def abstains(self, how: MixingWeights) -> Binary:
        """For which prompts no task is trusted, bool [n]."""
        return np.asarray(self.is_new | (self.confidence < how.floor))

    def uncertainty(self, how: MixingWeights) -> Values:
        """The standard error of `mixed`, float64 [n, c]: that of the task's mean, and the members' spread."""
        alpha = np.where(self.abstains(how), 1.0, how.alpha)[:, None]
        heads = self.spread.shape[1]
        found = np.square((1 - alpha) * self.error)
        found[:, :heads] += np.square(alpha * self.spread)
        found[:, heads:] = np.square(self.error[:, heads:])
        return np.sqrt(found)


def _led(quality: Values, known: int, leader: int) -> Values:
    """The same, but that one candidate is ahead of all others of the `known` first.

    Its expected quality is raised by no more than that takes; what is expected of the others stays, but that nobody is
    surely right. So it is asked where quality alone counts, and as before where cost counts too.
    """
    if known < 2:
        return quality
    quality = np.minimum(quality, 1 - _LEAD)
    rival = np.delete(quality[:, :known], leader, axis=1).max(axis=1)
    quality[:, leader] = np.maximum(quality[:, leader], rival + _LEAD)
    return quality


HeldOutEstimates = Sequence[tuple[Indices, TaskEstimates]]
"""Rows, and estimates of them by a fit that did not see them."""


def gathered_estimates(held_out: HeldOutEstimates, how: MixingWeights, shape: tuple[int, ...]) -> Values:
    """The mixture for each row [n, c]; NaN for rows that no fold holds out."""
    found = np.full(shape, np.nan)
    for rows, estimates in held_out:
        found[rows] = estimates.mixed(how)
    return found


def gathered_errors(held_out: HeldOutEstimates, how: MixingWeights, shape: tuple[int, ...]) -> Values:
    """The standard error of the mixture for each row [n, c]; NaN for rows that no fold holds out."""
    found = np.full(shape, np.nan)
    for rows, estimates in held_out:
        found[rows] = estimates.uncertainty(how)
    return found


def chosen_mixing(held_out: HeldOutEstimates, outcomes: Outcomes) -> MixingWeights:
    """Of labels by log loss; of graded outcomes alpha by the differences between candidates, the level by their mean.

    Of equally good settings the first: that with the least said by the heads.
    """
    rows = np.concatenate([rows for rows, _ in held_out])
    judged = outcomes.rows(rows)

    def mixed(how: MixingWeights) -> Values:
        found: Values = gathered_estimates(held_out, how, outcomes.quality.shape)[rows]
        return found

    def error(how: MixingWeights) -> QualityErrors:
        return errors(mixed(how), judged.quality)

    every = [
        MixingWeights(alpha, alpha, share, floor) for share, floor, alpha in product(_TASK_HEADS, _FLOORS, _ALPHAS)
    ]
    if outcomes.is_labels:
        return _least(every, lambda how: held_out_loss(level_scores(mixed(how), LEAST), judged))
    best = _least(every, lambda how: error(how).contrast)
    best = _least([replace(best, level=level) for level in _ALPHAS], lambda how: error(how).level)
    return replace(best, leads=-1 if _gains(mixed(best), judged) else best_single(judged))


def _gains(expected: Values, judged: Outcomes) -> bool:
    """Whether choosing by prompt gains more on the best single candidate than one standard error.

    A few lucky prompts prove little: ten more that gained or lost everything are thought beside them.
    """
    quality = judged.quality.astype(np.float64)
    gained = np.nan_to_num(taken(quality, expected.argmax(axis=1)) - quality[:, best_single(judged)])
    return bool(gained.sum() > np.sqrt(np.square(gained).sum() + _DOUBTFUL))


def _least(settings: Sequence[T], loss: Callable[[T], float]) -> T:
    return settings[int(np.argmin([loss(each) for each in settings]))]
