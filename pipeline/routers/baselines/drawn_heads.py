"""Linear heads of candidates of which some were tried on a few prompts alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.learning.linear_heads import fit_heads
from pipeline.metrics.candidate_means import known_mean, scarcity
from pipeline.runtime.arrays import FloatMatrix


def fit_drawn_heads(
    features: Any, outcomes: Outcomes, inverse_penalty: float, balanced: bool
) -> tuple[FloatMatrix, FloatMatrix]:
    """As `fit_heads`; of graded outcomes a candidate tried on few prompts is drawn to the mean of all."""
    weights, biases = fit_heads(features, outcomes, inverse_penalty, balanced)
    quality = outcomes.quality.astype(np.float64)
    few = scarcity(quality)
    if outcomes.is_labels or not few.any():
        return weights, biases
    towards = np.nan_to_num(known_mean(quality))
    drawn = biases + few * (towards - biases)
    return (weights * (1.0 - few[:, None])).astype(np.float32), drawn.astype(np.float32)
