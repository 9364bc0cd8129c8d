"""From a reader's logits to expected quality: Platt scaling with one line for all candidates, unseen ones too."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from pipeline.runtime.arrays import FloatMatrix, Values

if TYPE_CHECKING:
    pass

_PENALTY = 1e-4


@dataclass(frozen=True)
class PlattScaling:
    """quality = sigmoid(slope x logit + offset); Platt (1999). The slope is above 0, so that nobody changes place."""

    slope: float = 1.0
    offset: float = 0.0

    def quality(self, logits: FloatMatrix) -> FloatMatrix:
        return np.asarray(expit(self.slope * logits + self.offset), dtype=np.float32)

    def error(self, logits: FloatMatrix, error: Values) -> Values:
        """The standard error of the quality, from that of the logit, float64 [n, c]."""
        quality = self.quality(logits).astype(np.float64)
        return np.asarray(quality * (1 - quality) * self.slope * error)

    def to_json(self) -> dict[str, float]:
        return asdict(self)


def fit_platt_scaling(logits: FloatMatrix, quality: FloatMatrix) -> PlattScaling:
    """The line of least log loss on held-out cells; the plain one where there are none."""
    known = ~np.isnan(logits) & ~np.isnan(quality)
    if not known.any():
        return PlattScaling()
    x, y = logits[known].astype(np.float64), quality[known].astype(np.float64)

    def loss(line: Values) -> tuple[float, Values]:
        slope = np.exp(line[0])
        z = slope * x + line[1]
        off = expit(z) - y
        value = np.mean(np.logaddexp(0, z) - y * z) + _PENALTY * (line**2).sum()
        return float(value), np.array([np.mean(off * x) * slope, np.mean(off)]) + 2 * _PENALTY * line

    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B").x
    return PlattScaling(round(float(np.exp(found[0])), 6), round(float(found[1]), 6))
