"""Thresholds of a subset, learnt from held-out probabilities."""

from __future__ import annotations

import numpy as np

from pipeline.metrics.multilabel import f1_from_counts
from pipeline.policies.policy import SubsetPolicy
from pipeline.runtime.arrays import FloatMatrix

_GRID = np.round(np.arange(0.05, 0.96, 0.01), 2)
_PRIOR_PROMPTS = 100.0
"""An agent's own best threshold weighs as much as the common one at this many positive prompts."""
_TOLERANCE = 0.22
"""Over the root of the number of prompts (.01 at 500), less than micro-F1's standard error: as good as equal."""


def fit_subset_policy(quality: FloatMatrix, labels: FloatMatrix, exclusive: bool = False) -> SubsetPolicy:
    """Thresholds from held-out probabilities [n, c] and labels [n, c].

    One common threshold maximises micro-F1; each candidate's own best is mixed in by its number of positives,
    so that a rare one, whose own best is mostly chance, keeps near the common one. Where the likeliest is chosen
    anyhow, it counts as chosen at every threshold: what is searched is whom to choose beside it. Of `exclusive` labels,
    exactly one a prompt, nothing has to be reached: thresholds are 0.
    """
    if exclusive:
        return SubsetPolicy((0.0,) * labels.shape[1], at_least_one=True, exactly_one=True)
    at_least_one = bool((labels.sum(axis=1) >= 1).all())
    reach = _with_likeliest(quality) if at_least_one else quality
    common = _best_threshold(reach, labels)
    positives = labels.sum(axis=0)
    own = np.array([_best_threshold(reach[:, [c]], labels[:, [c]]) for c in range(labels.shape[1])])
    weight = positives / (positives + _PRIOR_PROMPTS)
    mixed = weight * own + (1 - weight) * common
    return SubsetPolicy(tuple(round(float(t), 4) for t in mixed), at_least_one)


def _with_likeliest(quality: FloatMatrix) -> FloatMatrix:
    """The same, with 1 for the likeliest of each prompt."""
    reach = quality.copy()
    reach[np.arange(len(reach)), quality.argmax(axis=1)] = 1.0
    return reach


def _best_threshold(quality: FloatMatrix, labels: FloatMatrix) -> float:
    """The median of the thresholds whose micro-F1 is near the best, which is steadier than the best one."""
    truth = labels > 0.5
    scores = []
    for threshold in _GRID:
        chosen = quality >= threshold
        scores.append(f1_from_counts(int((chosen & truth).sum()), int(chosen.sum()), int(truth.sum())))
    near = np.flatnonzero(np.asarray(scores) >= max(scores) - _TOLERANCE / np.sqrt(len(quality)))
    return float(np.median(_GRID[near]))
