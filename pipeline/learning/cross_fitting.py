"""Held-out scores for scorers that tune one setting on them.

Calibration and thresholds are learnt on scores of rows that the fit did not see: on its own training rows a model is
surer than it will ever be again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np

from pipeline.data.folds import parts
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.quantised import MakeInt8
from pipeline.learning.linear_heads import held_out_loss
from pipeline.runtime.arrays import FloatMatrix, Indices

T = TypeVar("T")
FitAndScore = Callable[[T, np.ndarray, np.ndarray], FloatMatrix]


def cross_fit(
    outcomes: Outcomes, folds: Indices, settings: Sequence[T], fit_and_score: FitAndScore[T]
) -> tuple[T, FloatMatrix]:
    """Score each row by a fit that did not see its fold, for each setting; keep the setting of least loss.

    `fit_and_score(setting, train_rows, held_out_rows)` returns scores of the held-out rows. Returns the
    setting and its scores float32 [n, c], NaN for rows that are never judged on.
    """
    scored = [_held_out(outcomes, folds, setting, fit_and_score) for setting in settings]
    best = int(np.argmin([held_out_loss(scores, outcomes) for scores in scored]))
    return settings[best], scored[best]


def _held_out(outcomes: Outcomes, folds: Indices, setting: T, fit_and_score: FitAndScore[T]) -> FloatMatrix:
    scores = np.full(outcomes.quality.shape, np.nan, dtype=np.float32)
    for train, held_out in parts(outcomes, folds):
        scores[held_out] = fit_and_score(setting, train, held_out)
    return scores


Score = Callable[[FloatMatrix], FloatMatrix]
"""From vectors [n, width] to scores [n, c], by what one fold's fit learnt."""
FitVectors = Callable[[T, FloatMatrix, Outcomes], Score]


def cross_fit_vectors(
    embedding: FrozenEmbedding,
    int8: MakeInt8 | None,
    outcomes: Outcomes,
    folds: Indices,
    settings: Sequence[T],
    fit: FitVectors[T],
) -> tuple[T, FloatMatrix, FloatMatrix | None]:
    """`cross_fit` on the prompts' vectors; `fit(setting, vectors, outcomes)` learns from one part.

    Where `int8` is given, the best setting is scored once more with the held-out rows' vectors in int8; what is
    learnt from stays in full precision, as it is in service.
    """
    vectors = embedding.embed(outcomes.prompts)

    def fit_and_score(asked: FloatMatrix, setting: T, train: np.ndarray, held_out: np.ndarray) -> FloatMatrix:
        return fit(setting, vectors[train], outcomes.rows(train))(asked[held_out])

    best, scores = cross_fit(outcomes, folds, settings, partial(fit_and_score, vectors))
    if int8 is None:
        return best, scores, None
    with int8(embedding.loaded()) as coarse:
        again = partial(fit_and_score, coarse.embed(outcomes.prompts))
    return best, scores, cross_fit(outcomes, folds, (best,), again)[1]
