"""The benchmark of `tasks`: folds of whole data sets, and what a report's rows are there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from planted_subjects import subject_table

from benchmarks.tasks import data_set_folds
from pipeline.evaluation.reference_strategies import BEST_PER_DATASET, BEST_SINGLE, TRAIN, baseline_rows


def test_a_data_set_lies_wholly_in_one_fold_and_folds_are_of_like_size() -> None:
    names = ("a",) * 40 + ("b",) * 30 + ("c",) * 20 + ("d",) * 10
    outcomes = replace(subject_table(100, 4, False), datasets=names)
    folds = data_set_folds(outcomes, 2)
    assert [set(folds[[name == each for name in names]].tolist()) for each in "abcd"] == [{0}, {1}, {1}, {0}]
    assert np.bincount(data_set_folds(outcomes, 9)).tolist() == [40, 30, 20, 10]
    with pytest.raises(SystemExit, match="names no data sets"):
        data_set_folds(replace(outcomes, datasets=None), 2)
    with pytest.raises(SystemExit, match="one data set"):
        data_set_folds(replace(outcomes, datasets=("a",) * 100), 2)


def test_who_is_told_a_data_set_that_train_lacks_takes_the_best_single_candidate() -> None:
    names = ("a",) * 40 + ("b",) * 60
    outcomes = replace(subject_table(100, 4, False), datasets=names)
    folds = data_set_folds(outcomes, 2)
    parts = [(outcomes.rows(np.flatnonzero(folds != fold)), np.flatnonzero(folds == fold)) for fold in (0, 1)]
    rows = baseline_rows(outcomes, parts, TRAIN)
    np.testing.assert_array_equal(rows[BEST_PER_DATASET].picked, rows[BEST_SINGLE].picked)
