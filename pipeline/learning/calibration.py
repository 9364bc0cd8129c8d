"""From raw scores to probabilities that mean what they say, learnt on held-out folds inside train."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import expit, log_softmax, softmax

from pipeline.runtime.arrays import FloatMatrix, Indices, Values

STRENGTHS = (0.0, 0.05, 0.1, 0.2, 0.4)
_OFFSET_PENALTY = 2.0
_SLOPE_PENALTY = 2.0
"""Keeps the slope finite where the held-out scores separate perfectly."""


@dataclass(frozen=True)
class Calibration:
    """p = sigmoid(slope * score + offset_c + strength * sum_j lift_cj (p0_j - prior_j)).

    p0 is the same without the last term: Platt scaling (Platt, 1999) with one slope for all candidates and
    an offset for each, shrunk to their mean. The last term lets labels that occur together pull each other;
    its strength is 0 unless held-out folds say that it helps. Of `exclusive` labels, exactly one a prompt, it is
    softmax_c(slope * score + offset_c), so that a prompt's probabilities sum to 1.
    """

    slope: float
    offset: Values
    lift: Values
    prior: Values
    strength: float
    exclusive: bool = False

    def probabilities(self, scores: FloatMatrix) -> FloatMatrix:
        """Calibrated probabilities, float32 [n, c]."""
        logits = self.slope * scores.astype(np.float64) + self.offset
        if self.exclusive:
            return np.asarray(softmax(logits, axis=1), dtype=np.float32)
        return _pulled(logits, self.lift, self.prior, self.strength).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        return {
            "slope": self.slope,
            "offset": self.offset.tolist(),
            "lift": self.lift.tolist(),
            "prior": self.prior.tolist(),
            "strength": self.strength,
            **({"exclusive": True} if self.exclusive else {}),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Calibration:
        arrays = {key: np.asarray(value[key], dtype=np.float64) for key in ("offset", "lift", "prior")}
        exclusive = bool(value.get("exclusive", False))
        return cls(slope=float(value["slope"]), strength=float(value["strength"]), exclusive=exclusive, **arrays)


def fit_calibration(scores: FloatMatrix, labels: FloatMatrix, folds: Indices, exclusive: bool = False) -> Calibration:
    """Fit on held-out scores [n, c] (logits) and labels [n, c] (0 or 1); `folds` int64 [n]."""
    truth = labels.astype(np.float64)
    slope, offset = _platt(scores.astype(np.float64), truth, exclusive)
    strength = 0.0 if exclusive else _cooccurrence_strength(slope * scores + offset, truth, folds)
    lift, prior = _lift(truth)
    return Calibration(slope, offset, lift, prior, strength, exclusive)


def _platt(scores: Values, labels: Values, exclusive: bool) -> tuple[float, Values]:
    """The slope, and each candidate's offset float64 [c], of least log loss."""
    from scipy.optimize import minimize

    count = scores.shape[1]

    def loss(theta: Values) -> tuple[float, Values]:
        slope, mean, spread = np.exp(theta[0]), theta[1], theta[2:]
        logits = slope * scores + mean + spread
        if exclusive:
            error, value = softmax(logits, axis=1) - labels, -float(np.sum(labels * log_softmax(logits, axis=1)))
        else:
            error = expit(logits) - labels
            value = float(np.sum(np.logaddexp(0.0, logits) - labels * logits))
        gradient = np.concatenate(
            [[slope * np.sum(error * scores), np.sum(error)], error.sum(axis=0) + 2 * _OFFSET_PENALTY * spread]
        )
        gradient[0] += 2 * _SLOPE_PENALTY * theta[0]
        penalty = _OFFSET_PENALTY * float(spread @ spread) + _SLOPE_PENALTY * float(theta[0] ** 2)
        return value + penalty, gradient

    best = minimize(loss, np.zeros(count + 2), jac=True, method="L-BFGS-B").x
    return float(np.exp(best[0])), best[1] + best[2:]


def _lift(labels: Values) -> tuple[Values, Values]:
    """Log of how much likelier c is beside j, smoothed towards no effect; zero on the diagonal."""
    count = labels.sum(axis=0)
    prior = (count + 1.0) / (len(labels) + 2.0)
    together = labels.T @ labels
    given = (together + 5.0 * prior[:, None]) / (count[None, :] + 5.0)
    lift = np.log(given / prior[:, None])
    np.fill_diagonal(lift, 0.0)
    return lift, prior


def _pulled(logits: Values, lift: Values, prior: Values, strength: float) -> Values:
    first: Values = expit(logits)
    if strength == 0.0:
        return first
    pulled: Values = expit(logits + strength * (first - prior) @ lift.T)
    return pulled


def _cooccurrence_strength(logits: Values, labels: Values, folds: Indices) -> float:
    """The strength with the least held-out log loss, or 0 where the gain is within one standard error."""
    losses = np.zeros((len(STRENGTHS), len(labels)))
    for fold in np.unique(folds):
        inside, outside = folds == fold, folds != fold
        if not outside.any():
            return 0.0
        lift, prior = _lift(labels[outside])
        for i, strength in enumerate(STRENGTHS):
            p = np.clip(_pulled(logits[inside], lift, prior, strength), 1e-6, 1 - 1e-6)
            losses[i, inside] = -(labels[inside] * np.log(p) + (1 - labels[inside]) * np.log(1 - p)).sum(axis=1)
    best = int(losses.mean(axis=1).argmin())
    gain = losses[0] - losses[best]
    error = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
    return STRENGTHS[best] if gain.mean() > error else 0.0
