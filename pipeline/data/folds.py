"""Folds that keep each candidate's share: iterative stratification (Sechidis et al., 2011)."""

from __future__ import annotations

import warnings

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.runtime.arrays import FloatMatrix, Indices

NEVER = -1
ONE_PART_ABOVE = 3000
"""Above this many rows one held-out part of a tenth is as informative as folds, and far cheaper."""


def parts(outcomes: Outcomes, folds: Indices) -> list[tuple[Indices, Indices]]:
    """For each fold the rows to learn from and the rows to judge on.

    Augmented rows are never judged on, and are not learnt from while their parents' fold, which they carry, is
    held out. With a single fold that holds every row, it is learnt from as well.
    """
    real = np.ones(len(outcomes), dtype=np.bool_) if outcomes.augmented is None else ~outcomes.augmented
    pairs = []
    for fold in np.unique(folds[folds >= 0]):
        held_out = np.flatnonzero((folds == fold) & real)
        learnt = np.flatnonzero(folds != fold)
        pairs.append((learnt if len(learnt) else held_out, held_out))
    return pairs


def make_folds(quality: FloatMatrix, count: int, seed: int) -> Indices:
    """Assign each row to one of `count` folds, stratified over labels (missing counts as not chosen).

    int64 [n], each in 0..count-1. `count` is lowered to the number of rows where there are fewer.
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    rows = len(quality)
    folds = np.zeros(rows, dtype=np.int64)
    if min(count, rows) < 2:
        return folds
    best = (np.nan_to_num(quality, nan=0.0) > 0.5).astype(int)
    if best.shape[1] == 1:  # the stratifier takes a single column for a class, not a label
        best = np.hstack([best, 1 - best])
    splitter = MultilabelStratifiedKFold(min(count, rows), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, (_, held_out) in enumerate(splitter.split(np.zeros(rows), best)):
            folds[held_out] = number
    return folds


def inner_folds(outcomes: Outcomes, count: int, seed: int) -> Indices:
    """Folds for tuning inside train: `count` of them, or one held-out tenth where rows are many."""
    if len(outcomes) <= ONE_PART_ABOVE:
        return make_folds(outcomes.quality, count, seed)
    folds = make_folds(outcomes.quality, 10, seed)
    return np.where(folds == 0, 0, NEVER).astype(np.int64)
