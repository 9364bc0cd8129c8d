"""How many members, and how hard the task heads are held back: chosen on a held-out third of train.

Both by the rule of one standard error (Breiman et al., 1984): the simplest that is no worse than the best by more than
the standard error of their difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from pipeline.data.folds import make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.routers.base.settings import TasksParams
from pipeline.routers.tasks.discovery import LEAST
from pipeline.routers.tasks.model import ModelSettings, TaskModel
from pipeline.routers.tasks.shrunken_means import row_errors
from pipeline.routers.tasks.task_heads import HeadSettings, TaskHeads
from pipeline.runtime.arrays import FloatMatrix, Values

_PARTS = 3
_MOST = 6000
_TRIED = 2
"""Penalties are compared by so many members: their errors are alike, and all of them would take four times as long."""
T = TypeVar("T", int, float)


def chosen_heads(
    outcomes: Outcomes, vectors: FloatMatrix, likeness: FloatMatrix | None, how: ModelSettings, params: TasksParams,
    seed: int,
) -> HeadSettings:  # fmt: skip
    """Few members before many, and a hard penalty before a lenient one; arguments as for `TaskModel.fit`.

    Where nothing can be held out: all members, and the penalty in the middle.
    """
    penalties = sorted(params.penalty, reverse=True)
    start = HeadSettings(max(params.members), penalties[len(penalties) // 2])
    some = np.sort(np.random.default_rng(seed).permutation(len(outcomes))[:_MOST])
    outcomes, vectors = outcomes.rows(some), vectors[some]
    held_out = make_folds(outcomes, _PARTS, seed) == 0
    if len(set(params.members)) == len(set(penalties)) == 1 or len(outcomes) <= 2 * LEAST or held_out.all():
        return start
    learnt, asked = (outcomes.rows(np.flatnonzero(part)) for part in (~held_out, held_out))
    alike = None if likeness is None else likeness[some][~held_out]
    model, _ = TaskModel.fit(learnt, vectors[~held_out], replace(how, heads=start), seed, alike)
    known, features = (
        model.features.of(part.prompts, vectors[rows]) for part, rows in ((learnt, ~held_out), (asked, held_out))
    )
    belongs = model.assignment.of(features)

    def loss(heads: TaskHeads, with_tasks: bool) -> Values:
        contrast, level = row_errors(heads.of(features, belongs, with_tasks).headed.astype(np.float64), asked.quality)
        return contrast + level if outcomes.is_labels else contrast

    members = _simplest(sorted(set(params.members)), lambda count: loss(model.heads.first(count), False))
    few, assigned = model.heads.first(_TRIED), model.assignment.of(known)
    penalty = _simplest(
        penalties,
        lambda tried: loss(few.with_task_heads(known, learnt.quality, assigned, model.shortlist, seed, tried), True),
    )
    return HeadSettings(members, penalty)


def _simplest(settings: Sequence[T], loss: Callable[[T], Values]) -> T:
    """The first whose mean loss is above the least by at most the standard error of the difference."""
    if len(settings) == 1:
        return settings[0]
    losses = [loss(each) for each in settings]
    best = min(losses, key=lambda values: float(values.mean()))
    above = [values - best for values in losses]
    near = [float(off.mean()) <= float(off.std()) / np.sqrt(len(off)) for off in above]
    return settings[near.index(True)]
