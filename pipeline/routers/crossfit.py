"""Held-out scores for scorers that tune one number on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from pipeline.folds import Folds, parts
from pipeline.outcomes import FloatMatrix, Outcomes
from pipeline.routers.heads import held_out_loss

T = TypeVar("T")
FitAndScore = Callable[[T, np.ndarray, np.ndarray], FloatMatrix]


def cross_fit(
    outcomes: Outcomes, folds: Folds, settings: Sequence[T], fit_and_score: FitAndScore[T]
) -> tuple[T, FloatMatrix]:
    """Score each row by a fit that did not see its fold, for each setting; keep the setting of least loss.

    `fit_and_score(setting, train_rows, held_out_rows)` returns scores of the held-out rows. Returns the
    setting and its scores float32 [n, c], NaN for rows that are never judged on.
    """
    scored = [_held_out(outcomes, folds, setting, fit_and_score) for setting in settings]
    best = int(np.argmin([held_out_loss(scores, outcomes) for scores in scored]))
    return settings[best], scored[best]


def _held_out(outcomes: Outcomes, folds: Folds, setting: T, fit_and_score: FitAndScore[T]) -> FloatMatrix:
    scores = np.full(outcomes.quality.shape, np.nan, dtype=np.float32)
    for train, held_out in parts(outcomes, folds):
        scores[held_out] = fit_and_score(setting, train, held_out)
    return scores
