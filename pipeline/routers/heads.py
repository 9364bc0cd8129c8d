"""Linear heads, one a candidate: logistic regression on labels, ridge regression on graded quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pipeline.outcomes import FloatMatrix, Outcomes

PENALTIES = (1.0, 10.0, 100.0)
"""Inverse penalties that are tried on held-out folds."""


def fit_heads(
    features: Any, outcomes: Outcomes, inverse_penalty: float, balanced: bool
) -> tuple[FloatMatrix, FloatMatrix]:
    """Weights float32 [c, d] and biases float32 [c] from features [n, d] (dense, or a scipy sparse matrix).

    `balanced` weighs each class by the inverse of its share. Rows where a candidate was not tried are left out
    for that candidate; a candidate with one value only gets that value and no weights.
    """
    heads = [_head(features, outcomes.quality[:, c], outcomes.is_labels, inverse_penalty, balanced)
             for c in range(len(outcomes.candidates))]  # fmt: skip
    return np.stack([w for w, _ in heads]).astype(np.float32), np.array([b for _, b in heads], dtype=np.float32)


def _head(
    features: Any, quality: FloatMatrix, is_labels: bool, inverse_penalty: float, balanced: bool
) -> tuple[Any, float]:
    from sklearn.linear_model import LogisticRegression, Ridge

    known = np.flatnonzero(~np.isnan(quality))
    target = quality[known]
    if len(known) == 0 or np.ptp(target) == 0.0:
        level = float(target[0]) if len(known) else 0.5
        return np.zeros(features.shape[1]), _logit(level) if is_labels else level
    if is_labels:
        weight = "balanced" if balanced else None
        # Newton's method is exact and needs few steps; liblinear serves sparse text.
        solver = "liblinear" if hasattr(features, "tocsr") else "newton-cholesky"
        model = LogisticRegression(C=inverse_penalty, class_weight=weight, solver=solver, max_iter=200, random_state=0)
        model.fit(features[known], target > 0.5)
        return model.coef_[0], float(model.intercept_[0])
    ridge = Ridge(alpha=1.0 / inverse_penalty, random_state=0).fit(features[known], target)
    return ridge.coef_, float(ridge.intercept_)


def _logit(level: float) -> float:
    clipped = min(max(level, 1e-3), 1 - 1e-3)
    return float(np.log(clipped / (1 - clipped)))


def held_out_loss(scores: FloatMatrix, outcomes: Outcomes) -> float:
    """Mean log loss of logits on labels, or squared error on graded quality, over known cells."""
    known = ~np.isnan(scores) & ~np.isnan(outcomes.quality)
    s, q = scores[known].astype(np.float64), outcomes.quality[known].astype(np.float64)
    return float((np.logaddexp(0.0, s) - q * s).mean() if outcomes.is_labels else ((s - q) ** 2).mean())


def apply_heads(features: Any, weights: FloatMatrix, biases: FloatMatrix) -> FloatMatrix:
    """Scores float32 [n, c] of features [n, d]."""
    return np.asarray(features @ weights.T + biases, dtype=np.float32)


def rows_of(values: Sequence[str], index: Any) -> list[str]:
    """The values at some rows."""
    return [values[i] for i in index]
