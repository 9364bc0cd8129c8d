"""Means over neighbouring prompts that stay fair where candidates were tried on different prompts.

A candidate that happened to be tried on the easy ones looks better than it is. What the other candidates got on a
prompt tells how easy it is, so each outcome is taken apart:

    quality = the candidate's level + what the prompt's other outcomes lead one to expect + the rest

The second part is known for every prompt, tried or not; only the rest is averaged over what was tried. It is a control
variate, and the prompt's effect is the shrunk mean of a random-effects model (Henderson, 1975), whose two variances are
estimated by moments. The level of a candidate that was tried on few prompts is drawn to the mean of all. Where nothing
is missing the parts add up to the plain shrunk mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.metrics.candidate_means import known_mean, scarcity
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices, Values

_ROUNDS = 10
_UNKNOWN = 0.5
"""The level of a candidate that was never tried."""


@dataclass(frozen=True)
class QualityDecomposition:
    """Outcomes of n prompts taken apart: `level` [c]; `shared`, `rest` (0 where untried) and `tried` [n, c]."""

    level: FloatMatrix
    shared: FloatMatrix
    rest: FloatMatrix
    tried: FloatMatrix

    @classmethod
    def of(cls, quality: FloatMatrix) -> QualityDecomposition:
        """Take apart quality float32 [n, c], NaN where untried."""
        tried = ~np.isnan(quality)
        known = np.where(tried, quality, 0.0).astype(np.float64)
        times = tried.sum(axis=0)
        level = np.where(times > 0, known.sum(axis=0) / np.maximum(times, 1), _UNKNOWN)
        shared = np.zeros_like(known) if tried.all() else _shared(known, tried, level)
        shared[:, times == 0] = 0.0
        if not tried.all():
            level = np.where(times > 0, (known - tried * shared).sum(axis=0) / np.maximum(times, 1), _UNKNOWN)
        level = level + scarcity(quality) * (np.nan_to_num(known_mean(quality.astype(np.float64))) - level)
        rest = np.where(tried, known - level - shared, 0.0)
        return cls(*(part.astype(np.float32) for part in (level, shared, rest, tried)))

    def means(self, weights: FloatMatrix, prior: float) -> FloatMatrix:
        """Mean quality float32 [m, c] under weights [m, n], pulled to the level as by `prior` more prompts."""
        count = weights.sum(axis=1, keepdims=True) + prior
        rest = (weights @ self.rest) / (weights @ self.tried + prior)
        return np.asarray(self.level + (weights @ self.shared) / count + rest, dtype=np.float32)


def _shared(known: Values, tried: Binary, level: Values) -> Values:
    """What a prompt's other outcomes lead one to expect above or below each candidate's level, float64 [n, c]."""
    times, others = np.maximum(tried.sum(axis=0), 1), tried.sum(axis=1, keepdims=True)
    for _ in range(_ROUNDS):
        above = np.where(tried, known - level, 0.0)
        total = above.sum(axis=1, keepdims=True)
        ratio = _variance_ratio(above, total, others)
        effect = total / (others + ratio)
        level = np.where(tried, known - effect, 0.0).sum(axis=0) / times
    above = np.where(tried, known - level, 0.0)
    return np.asarray((above.sum(axis=1, keepdims=True) - above) / (others - tried + ratio))


def _variance_ratio(above: Values, total: Values, others: Indices) -> float:
    """Variance of one outcome over that of a prompt's effect; infinite where a prompt's outcomes are unrelated."""
    squares = float((above * above).sum())
    pairs = float((others * (others - 1)).sum())
    between = (float((total * total).sum()) - squares) / pairs if pairs else 0.0
    whole = squares / max(float(others.sum()), 1.0)
    return max(whole - between, 1e-6) / between if between > 1e-9 else np.inf
