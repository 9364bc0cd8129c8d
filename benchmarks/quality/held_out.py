"""How peers choose: a common threshold from held-out prompts of train. Nothing here needs more than NumPy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.quality.job import Job

HALF = 0.5
"""The threshold of who chooses none."""
Matrix = Any
Score = Callable[[Sequence[str]], Matrix]
"""Scores [n, c] of prompts."""


def held_out_scores(job: Job, fit: Callable[[Matrix], Score]) -> Matrix:
    """Scores [n, c] of each prompt of train by a fit without its fold."""
    folds, scores = np.array(job.folds), np.zeros((len(job.prompts), len(job.agents)))
    for fold in np.unique(folds):
        rows = np.flatnonzero(folds == fold)
        scores[rows] = fit(np.flatnonzero(folds != fold))([job.prompts[row] for row in rows])
    return scores


def best_threshold(scores: Matrix, truth: Matrix) -> tuple[float, float]:
    """The common threshold of highest micro-F1, and that F1: of 200 that let through up to thrice the true labels."""
    found = []
    for threshold in np.unique(np.quantile(scores, 1 - truth.mean() * np.linspace(0.2, min(3, 1 / truth.mean()), 200))):
        chosen = reached(scores, threshold, truth)
        found.append((2 * (chosen & truth).sum() / (chosen.sum() + truth.sum()), threshold))
    score, threshold = max(found)
    return float(threshold), float(score)


def reached(scores: Matrix, threshold: float, truth: Matrix) -> Matrix:
    """What reaches the threshold, bool [n, c]; where nothing does the likeliest, if every prompt of train has one; the
    likeliest alone, if every prompt of train has exactly one.
    """
    chosen = scores >= (np.inf if is_exclusive(truth) else threshold)
    if truth.any(axis=1).all():
        empty = np.flatnonzero(~chosen.any(axis=1))
        chosen[empty, scores[empty].argmax(axis=1)] = True
    return chosen


def is_exclusive(truth: Matrix) -> bool:
    """Whether every prompt has exactly one label: such a table is learnt as classes."""
    return bool((truth.sum(axis=1) == 1).all())


def truth_of(job: Job) -> Matrix:
    """Labels of train, bool [n, c]."""
    truth = np.zeros((len(job.prompts), len(job.agents)), dtype=np.bool_)
    for row, agents in enumerate(job.labels):
        truth[row, agents] = True
    return truth
