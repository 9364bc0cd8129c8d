"""Linear heads, one a candidate: logistic regression on labels, ridge regression on graded quality."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from pipeline.data.outcomes import Outcomes
from pipeline.runtime.arrays import FloatMatrix, Values

PENALTIES = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Inverse penalties that are tried on held-out folds."""


def fit_heads(
    features: Any, outcomes: Outcomes, inverse_penalty: float, balanced: bool
) -> tuple[FloatMatrix, FloatMatrix]:
    """Weights float32 [c, d] and biases float32 [c] from features [n, d] (dense, or a scipy sparse matrix).

    All heads are fitted in one optimisation, since they share the features. `balanced` weighs each class by the
    inverse of its share. Rows where a candidate was not tried do not count for that candidate; a candidate with
    one value only gets that value and no weights.
    """
    quality = outcomes.quality.astype(np.float64)
    known = ~np.isnan(quality)
    target = np.where(known, quality, 0.0)
    if outcomes.is_labels:
        weights, biases = _logistic(features, target, _cell_weights(target, known, balanced), inverse_penalty)
    else:
        weights, biases = _ridge(features, target, known, inverse_penalty)
    for c in range(quality.shape[1]):
        values = target[known[:, c], c]
        if len(values) == 0 or np.ptp(values) == 0.0:
            level = float(values[0]) if len(values) else 0.5
            weights[c], biases[c] = 0.0, _logit(level) if outcomes.is_labels else level
    # safetensors writes the buffer as it lies, so the rows have to lie in order.
    return np.ascontiguousarray(weights, dtype=np.float32), np.ascontiguousarray(biases, dtype=np.float32)


def _cell_weights(target: Values, known: Any, balanced: bool) -> Values:
    if not balanced:
        return np.asarray(known, dtype=np.float64)
    count = known.sum(axis=0)
    positive = np.maximum(target.sum(axis=0), 1.0)
    negative = np.maximum(count - positive, 1.0)
    weights: Values = known * np.where(target > 0.5, count / (2 * positive), count / (2 * negative))
    return weights


_MOST_ROWS = 4000
"""In the span of so many rows an optimum is searched for; the way there is cubic in them."""


def _logistic(features: Any, target: Values, cells: Values, inverse_penalty: float) -> tuple[Values, Values]:
    """Minimise sum of weighted log losses + |w|^2 / (2 C) over all heads at once (L-BFGS).

    Where rows are fewer than columns, the optimum lies in the rows' span and is searched for there.
    """
    from scipy.optimize import minimize

    if features.shape[0] < min(features.shape[1], _MOST_ROWS):
        basis, scale = _row_space(features)
        weights, biases = _logistic(basis * scale, target, cells, inverse_penalty)
        return np.asarray((features.T @ (basis / scale) @ weights.T).T), biases
    width, count = features.shape[1], target.shape[1]

    def loss(theta: Values) -> tuple[float, Values]:
        weights, biases = theta[:-count].reshape(width, count), theta[-count:]
        logits = np.asarray(features @ weights) + biases
        value = float((cells * (np.logaddexp(0.0, logits) - target * logits)).sum())
        error = cells * (expit(logits) - target)
        gradient = np.asarray(features.T @ error) + weights / inverse_penalty
        penalty = float((weights * weights).sum()) / (2 * inverse_penalty)
        return value + penalty, np.concatenate([gradient.ravel(), error.sum(axis=0)])

    start = np.zeros((width + 1) * count)
    best = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300, "maxfun": 400}).x
    return best[:-count].reshape(width, count).T.copy(), best[-count:].copy()


def _row_space(features: Any) -> tuple[Values, Values]:
    """Left singular vectors [n, r] and singular values [r] of the features, without those near zero."""
    gram = features @ features.T
    values, vectors = np.linalg.eigh(gram.toarray() if hasattr(gram, "toarray") else np.asarray(gram, dtype=np.float64))
    kept = values > 1e-9 * values[-1]
    return vectors[:, kept], np.sqrt(values[kept])


def _ridge(features: Any, target: Values, known: Any, inverse_penalty: float) -> tuple[Values, Values]:
    from sklearn.linear_model import Ridge

    weights, biases = np.zeros((target.shape[1], features.shape[1])), np.full(target.shape[1], 0.5)
    patterns, pattern = np.unique(known, axis=1, return_inverse=True)
    for number, tried in enumerate(patterns.T):
        rows, columns = np.flatnonzero(tried), np.flatnonzero(pattern == number)
        if len(rows):
            head = Ridge(alpha=1.0 / inverse_penalty, random_state=0).fit(features[rows], target[np.ix_(rows, columns)])
            weights[columns], biases[columns] = head.coef_.reshape(len(columns), -1), head.intercept_
    return weights, biases


def _logit(level: float) -> float:
    clipped = min(max(level, 1e-3), 1 - 1e-3)
    return float(np.log(clipped / (1 - clipped)))


def level_scores(levels: npt.NDArray[np.floating], least: float = 0.01) -> FloatMatrix:
    """Shares of right answers as logits that stay finite: what is nearer to 0 or 1 than `least` counts as that."""
    clipped = np.clip(levels, least, 1 - least)
    return np.asarray(np.log(clipped / (1 - clipped)), dtype=np.float32)


def held_out_loss(scores: FloatMatrix, outcomes: Outcomes) -> float:
    """Mean log loss of logits on labels, or squared error on graded quality, over known cells."""
    known = ~np.isnan(scores) & ~np.isnan(outcomes.quality)
    s, q = scores[known].astype(np.float64), outcomes.quality[known].astype(np.float64)
    return float((np.logaddexp(0.0, s) - q * s).mean() if outcomes.is_labels else ((s - q) ** 2).mean())


def apply_heads(features: Any, weights: FloatMatrix, biases: FloatMatrix) -> FloatMatrix:
    """Scores float32 [n, c] of features [n, d]."""
    return np.asarray(features @ weights.T + biases, dtype=np.float32)
