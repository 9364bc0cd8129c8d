"""Folds that keep each candidate's share: iterative stratification (Sechidis et al., 2011)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.data.shared_prefixes import shared_prefixes, without_prefix
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices
from pipeline.runtime.text import folded

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


def same_prompts(prompts: Sequence[str]) -> Indices:
    """The number of each prompt's group, int64 [n] in order of appearance: prompts that fold alike share one.

    So do those that differ only in a beginning that many share, which no router reads.
    """
    numbers: dict[str, int] = {}
    beginnings = shared_prefixes(prompts)
    read = [without_prefix(prompt, beginnings) for prompt in prompts] if beginnings else prompts
    return np.array([numbers.setdefault(folded(prompt), len(numbers)) for prompt in read], dtype=np.int64)


def parted_prompts(prompts: Sequence[str], folds: Indices) -> int:
    """How many different prompts stand in more than one fold."""
    pairs = np.unique(np.stack([same_prompts(prompts), folds]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())


def labels_of_groups(quality: FloatMatrix, groups: Indices) -> Binary:
    """What is right for any prompt of a group, bool [groups, c]; missing counts as not chosen."""
    labels = np.zeros((groups.max(initial=-1) + 1, quality.shape[1]), dtype=np.bool_)
    np.logical_or.at(labels, groups, np.nan_to_num(quality, nan=0.0) > 0.5)
    return labels


def make_folds(outcomes: Outcomes, count: int, seed: int) -> Indices:
    """Assign each row to one of `count` folds, stratified over labels (missing counts as not chosen).

    Rows of the same prompt share a fold: else a fit would be judged on what it learnt by heart. int64 [n], each in
    0..count-1. `count` is lowered to the number of different prompts where there are fewer.
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

    groups = same_prompts(outcomes.prompts)
    best = labels_of_groups(outcomes.quality, groups).astype(int)
    folds = np.zeros(len(best), dtype=np.int64)
    if min(count, len(best)) < 2:
        return folds[groups]
    if best.shape[1] == 1:  # the stratifier takes a single column for a class, not a label
        best = np.hstack([best, 1 - best])
    splitter = MultilabelStratifiedKFold(min(count, len(best)), shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, (_, held_out) in enumerate(splitter.split(np.zeros(len(best)), best)):
            folds[held_out] = number
    return folds[groups]


def inner_folds(outcomes: Outcomes, count: int, seed: int) -> Indices:
    """Folds for tuning inside train: `count` of them, or one held-out tenth where rows are many."""
    if len(outcomes) <= ONE_PART_ABOVE:
        return make_folds(outcomes, count, seed)
    folds = make_folds(outcomes, 10, seed)
    return np.where(folds == 0, 0, NEVER).astype(np.int64)
