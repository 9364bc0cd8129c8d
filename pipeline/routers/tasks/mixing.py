"""How much the heads count beside the tasks' means, chosen on held-out prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from typing import TypeVar

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.learning.linear_heads import held_out_loss, level_scores
from pipeline.routers.tasks.model import MixingWeights, TaskEstimates
from pipeline.routers.tasks.shrunken_means import QualityErrors, errors
from pipeline.runtime.arrays import Indices, Values

_ALPHAS = tuple(round(float(alpha), 1) for alpha in np.linspace(0, 1, 11))
_TASK_HEADS = (0.0, 0.5, 1.0)
_FLOORS = (0.0, 0.3, 0.5)
LEAST = 1e-3
"""A probability nearer to 0 or 1 than this counts as that: a mixture of estimates may even lie outside 0..1."""
HeldOutEstimates = Sequence[tuple[Indices, TaskEstimates]]
"""Rows, and estimates of them by a fit that did not see them."""
T = TypeVar("T")


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
    return _least([replace(best, level=level) for level in _ALPHAS], lambda how: error(how).level)


def _least(settings: Sequence[T], loss: Callable[[T], float]) -> T:
    return settings[int(np.argmin([loss(each) for each in settings]))]
