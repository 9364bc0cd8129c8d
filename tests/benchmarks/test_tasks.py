"""The benchmark of `tasks`: folds of whole data sets, and what a report's rows are there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from planted_subjects import subject_table

from benchmarks.tasks import Asked, data_set_folds, measured
from pipeline.evaluation.reference_strategies import BEST_PER_DATASET, BEST_SINGLE, TRAIN, baseline_rows
from pipeline.routers.base.settings import FinetuningParams


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


def test_of_some_folds_the_others_are_learnt_from_and_not_judged(tmp_path: Path) -> None:
    outcomes = subject_table(48, 4, False)
    rows = [
        (name, prompt, candidate, float(outcomes.quality[i, c]), i % 4)
        for i, (name, prompt) in enumerate(zip(outcomes.prompt_ids, outcomes.prompts, strict=True))
        for c, candidate in enumerate(outcomes.candidates)
    ]
    columns = ["prompt_id", "prompt", "candidate", "quality", "fold"]
    pd.DataFrame(rows, columns=columns).to_parquet(tmp_path / "t.parquet")
    found = measured(Asked(tmp_path / "t.parquet", FinetuningParams(), folds=1))
    assert found.outcomes.prompts == outcomes.prompts[::4]
    assert [(len(train), len(judged)) for train, judged in found.parts] == [(36, 12)]
    assert all(len(predictions.quality) == 12 for predictions in found.predictions().values())


def test_who_is_told_a_data_set_that_train_lacks_takes_the_best_single_candidate() -> None:
    names = ("a",) * 40 + ("b",) * 60
    outcomes = replace(subject_table(100, 4, False), datasets=names)
    folds = data_set_folds(outcomes, 2)
    parts = [(outcomes.rows(np.flatnonzero(folds != fold)), np.flatnonzero(folds == fold)) for fold in (0, 1)]
    rows = baseline_rows(outcomes, parts, TRAIN)
    np.testing.assert_array_equal(rows[BEST_PER_DATASET].picked, rows[BEST_SINGLE].picked)
