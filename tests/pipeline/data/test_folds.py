"""Folds keep each candidate's share, and augmented rows are never judged on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.data.folds import NEVER, ONE_PART_ABOVE, inner_folds, make_folds, parts, same_prompts
from pipeline.data.outcomes import Outcomes
from pipeline.runtime.arrays import FloatMatrix


def _labels(rows: int, shares: tuple[float, ...], seed: int = 0) -> FloatMatrix:
    random = np.random.default_rng(seed)
    return (random.random((rows, len(shares))) < np.array(shares)).astype(np.float32)


def _outcomes(quality: FloatMatrix) -> Outcomes:
    ids = tuple(f"p{i}" for i in range(len(quality)))
    names = tuple(f"c{i}" for i in range(quality.shape[1]))
    return Outcomes(ids, ids, names, quality, np.full_like(quality, np.nan), is_labels=True)


def test_each_row_has_one_fold_and_folds_are_of_like_size() -> None:
    folds = make_folds(_outcomes(_labels(200, (0.5, 0.2, 0.05))), 5, seed=1)
    assert sorted(np.unique(folds)) == [0, 1, 2, 3, 4]
    assert np.bincount(folds).min() >= 35


def test_each_fold_has_its_share_of_a_rare_candidate() -> None:
    quality = _labels(300, (0.5, 0.2, 0.0))
    quality[:12, 2] = 1.0
    folds = make_folds(_outcomes(quality), 6, seed=1)
    assert [int(quality[folds == fold, 2].sum()) for fold in range(6)] == [2] * 6


@pytest.mark.parametrize("share", [0.25, 0.0, 1.0])
def test_a_single_candidate_is_stratified_as_well(share: float) -> None:
    quality = (np.arange(40) < 40 * share).astype(np.float32)[:, None]
    folds = make_folds(_outcomes(quality), 5, seed=1)
    assert [int(quality[folds == fold].sum()) for fold in range(5)] == [int(8 * share)] * 5


def test_the_same_seed_gives_the_same_folds() -> None:
    quality = _labels(60, (0.5, 0.2))
    assert (make_folds(_outcomes(quality), 3, seed=1) == make_folds(_outcomes(quality), 3, seed=1)).all()
    assert (make_folds(_outcomes(quality), 3, seed=1) != make_folds(_outcomes(quality), 3, seed=2)).any()


def test_missing_cells_count_as_not_chosen() -> None:
    quality = _labels(60, (0.5, 0.2))
    holes = np.where(quality == 0, np.nan, quality).astype(np.float32)
    assert (make_folds(_outcomes(holes), 3, seed=1) == make_folds(_outcomes(quality), 3, seed=1)).all()


@pytest.mark.parametrize(("rows", "expected"), [(1, 1), (2, 2), (3, 3), (40, 6)])
def test_few_rows_lower_the_number_of_folds(rows: int, expected: int) -> None:
    assert len(np.unique(make_folds(_outcomes(_labels(rows, (0.5, 0.5))), 6, seed=1))) == expected


def test_rows_of_the_same_prompt_share_a_fold_whatever_their_labels_and_spelling() -> None:
    said = tuple(f"Prompt  {i % 20}" if i < 20 else f" pROMPT {i % 20}\n" for i in range(40))
    outcomes = replace(_outcomes(_labels(40, (0.5, 0.2))), prompts=said)
    for folds in (make_folds(outcomes, 5, seed=1), inner_folds(outcomes, 4, seed=1)):
        assert (folds[:20] == folds[20:]).all()
        assert np.bincount(folds).min() >= 40 // len(np.unique(folds)) - 6


def test_one_question_under_two_shared_beginnings_has_one_fold() -> None:
    asked = [f"question {number} of many" for number in range(40)]
    prompts = [begun + one for begun in ("Answer in one word. " * 15, "Think step by step. " * 15) for one in asked]
    first, second = np.split(same_prompts(prompts), 2)
    assert (first == second).all()
    assert len(np.unique(first)) == 40


def test_one_prompt_alone_is_one_fold() -> None:
    outcomes = replace(_outcomes(_labels(4, (0.5,))), prompts=("a", "A", " a", "a "))
    assert make_folds(outcomes, 3, seed=1).tolist() == [0] * 4


def test_a_fold_is_judged_by_the_rows_outside_it() -> None:
    outcomes = _outcomes(_labels(6, (0.5,)))
    folds = np.array([0, 1, 0, 1, 2, 2])
    pairs = parts(outcomes, folds)
    assert [(learnt.tolist(), judged.tolist()) for learnt, judged in pairs] == [
        ([1, 3, 4, 5], [0, 2]),
        ([0, 2, 4, 5], [1, 3]),
        ([0, 1, 2, 3], [4, 5]),
    ]


def test_augmented_rows_are_never_judged_on_nor_learnt_from_while_their_parents_are_held_out() -> None:
    outcomes = replace(_outcomes(_labels(4, (0.5,))), augmented=np.array([False, False, True, True]))
    pairs = parts(outcomes, np.array([0, 1, 0, 1]))
    assert [(learnt.tolist(), judged.tolist()) for learnt, judged in pairs] == [([1, 3], [0]), ([0, 2], [1])]


def test_rows_that_are_never_held_out_are_always_learnt_from() -> None:
    pairs = parts(_outcomes(_labels(4, (0.5,))), np.array([0, NEVER, NEVER, 0]))
    assert [(learnt.tolist(), judged.tolist()) for learnt, judged in pairs] == [([1, 2], [0, 3])]


def test_a_single_fold_is_learnt_from_as_well() -> None:
    pairs = parts(_outcomes(_labels(3, (0.5,))), np.zeros(3, dtype=np.int64))
    assert [(learnt.tolist(), judged.tolist()) for learnt, judged in pairs] == [([0, 1, 2], [0, 1, 2])]


def test_a_large_table_holds_out_one_tenth_instead_of_folds() -> None:
    small = inner_folds(_outcomes(_labels(100, (0.5, 0.2))), 3, seed=1)
    assert sorted(np.unique(small)) == [0, 1, 2]
    rows = ONE_PART_ABOVE + 1
    large = inner_folds(_outcomes(_labels(rows, (0.5, 0.2))), 3, seed=1)
    assert sorted(np.unique(large)) == [NEVER, 0]
    assert (large == 0).mean() == pytest.approx(0.1, abs=0.01)
