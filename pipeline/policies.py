"""Policies: from expected qualities to a decision. They are chosen inside train and stored with the router."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.metrics import f1_from_counts
from pipeline.outcomes import FloatMatrix

Choice = npt.NDArray[np.bool_]
_GRID = np.round(np.arange(0.05, 0.96, 0.01), 2)
_PRIOR_PROMPTS = 30.0
"""An agent's own best threshold weighs as much as the common one at this many positive prompts."""


@dataclass(frozen=True)
class SubsetPolicy:
    """Choose every candidate whose probability reaches its threshold.

    Where each training prompt needed at least one candidate, the likeliest is chosen when none reaches its own.
    """

    thresholds: tuple[float, ...]
    at_least_one: bool

    def choose(self, quality: FloatMatrix) -> Choice:
        """bool [n, c] from probabilities float32 [n, c]."""
        chosen: Choice = quality >= np.asarray(self.thresholds, dtype=np.float32)
        if self.at_least_one:
            empty = ~chosen.any(axis=1)
            nearest = (quality - np.asarray(self.thresholds, dtype=np.float32)).argmax(axis=1)
            chosen[empty, nearest[empty]] = True
        return chosen

    def to_json(self) -> dict[str, Any]:
        return {"kind": "subset", "thresholds": list(self.thresholds), "at_least_one": self.at_least_one}


@dataclass(frozen=True)
class BestPolicy:
    """Choose the one candidate of highest expected quality; ties go to the first."""

    def choose(self, quality: FloatMatrix) -> Choice:
        chosen = np.zeros(quality.shape, dtype=np.bool_)
        chosen[np.arange(len(quality)), quality.argmax(axis=1)] = True
        return chosen

    def to_json(self) -> dict[str, Any]:
        return {"kind": "best"}


Policy = SubsetPolicy | BestPolicy


def policy_from_json(value: dict[str, Any]) -> Policy:
    """The inverse of a policy's `to_json`."""
    if value["kind"] == "subset":
        return SubsetPolicy(tuple(map(float, value["thresholds"])), bool(value["at_least_one"]))
    return BestPolicy()


def fit_subset_policy(quality: FloatMatrix, labels: FloatMatrix) -> SubsetPolicy:
    """Thresholds from held-out probabilities [n, c] and labels [n, c].

    One common threshold maximises micro-F1; each candidate's own best is mixed in by its number of positives,
    so that a rare one, whose own best is mostly chance, keeps near the common one.
    """
    at_least_one = bool((labels.sum(axis=1) >= 1).all())
    common = _best_threshold(quality, labels)
    positives = labels.sum(axis=0)
    own = np.array([_best_threshold(quality[:, [c]], labels[:, [c]]) for c in range(labels.shape[1])])
    weight = positives / (positives + _PRIOR_PROMPTS)
    mixed = weight * own + (1 - weight) * common
    return SubsetPolicy(tuple(round(float(t), 4) for t in mixed), at_least_one)


def _best_threshold(quality: FloatMatrix, labels: FloatMatrix) -> float:
    """The middle of the thresholds whose F1 is within a whisker of the best, which is steadier than the best."""
    truth = labels > 0.5
    scores = []
    for threshold in _GRID:
        chosen = quality >= threshold
        scores.append(f1_from_counts(int((chosen & truth).sum()), int(chosen.sum()), int(truth.sum())))
    near = np.flatnonzero(np.asarray(scores) >= max(scores) - 0.002)
    return float(np.median(_GRID[near]))
