"""The metrics agree with scikit-learn's, and the intervals cover what they claim to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from pipeline.metrics import bootstrap
from pipeline.metrics import multilabel as metrics
from pipeline.runtime.arrays import Binary


def _pair(seed: int, rows: int = 30, columns: int = 5, share: float = 0.3) -> tuple[Binary, Binary]:
    random = np.random.default_rng(seed)
    return random.random((rows, columns)) < share, random.random((rows, columns)) < share


@given(seed=st.integers(0, 10_000), rows=st.integers(1, 12), columns=st.integers(2, 6), share=st.floats(0, 1))
def test_f1_hamming_and_subset_accuracy_agree_with_scikit_learn(
    seed: int, rows: int, columns: int, share: float
) -> None:
    truth, chosen = _pair(seed, rows, columns, share)
    assert metrics.micro_f1(truth, chosen) == pytest.approx(
        oracle.f1_score(truth, chosen, average="micro", zero_division=0)
    )
    assert metrics.hamming_loss(truth, chosen) == pytest.approx(oracle.hamming_loss(truth, chosen))
    assert metrics.subset_accuracy(truth, chosen) == pytest.approx(oracle.accuracy_score(truth, chosen))
    assert metrics.recall(truth, chosen) == pytest.approx(
        oracle.recall_score(truth, chosen, average="micro", zero_division=0)
    )


def test_macro_f1_agrees_with_scikit_learn_over_the_candidates_that_occur() -> None:
    truth, chosen = _pair(3)
    assert metrics.macro_f1(truth, chosen) == pytest.approx(oracle.f1_score(truth, chosen, average="macro"))
    unused = np.zeros((len(truth), 1), dtype=bool)
    assert metrics.macro_f1(np.hstack([truth, unused]), np.hstack([chosen, unused])) == pytest.approx(
        oracle.f1_score(truth, chosen, average="macro")
    )


def test_figures_of_each_candidate_agree_with_scikit_learn() -> None:
    truth, chosen = _pair(4)
    truth[:, 1] = False
    chosen[:, 2] = False
    expected = oracle.precision_recall_fscore_support(truth, chosen, average=None, zero_division=0)
    rows = metrics.per_candidate(truth, chosen, tuple("abcde"))
    assert [row.candidate for row in rows] == list("abcde")
    for name, column in zip(("precision", "recall", "f1", "support"), expected, strict=True):
        assert [getattr(row, name) for row in rows] == pytest.approx(column.tolist())


def test_nothing_asked_and_nothing_chosen_scores_zero_and_does_not_divide_by_it() -> None:
    nothing = np.zeros((4, 3), dtype=bool)
    assert metrics.micro_f1(nothing, nothing) == metrics.macro_f1(nothing, nothing) == 0.0
    assert metrics.recall(nothing, ~nothing) == 0.0
    assert metrics.subset_accuracy(nothing, nothing) == 1.0


def test_the_calibration_error_of_perfect_probabilities_is_zero() -> None:
    truth, _ = _pair(5)
    assert metrics.expected_calibration_error(truth, truth.astype(np.float32)) == 0.0
    assert metrics.expected_calibration_error(truth, (~truth).astype(np.float32)) > 0.9


def test_the_calibration_error_of_honest_probabilities_is_small_and_of_boastful_ones_is_not() -> None:
    random = np.random.default_rng(6)
    probability = random.random((5000, 4)).astype(np.float32)
    truth = random.random(probability.shape) < probability
    assert metrics.expected_calibration_error(truth, probability) < 0.02
    assert metrics.expected_calibration_error(truth, np.sqrt(probability)) > 0.1


def test_a_constant_gap_is_the_calibration_error() -> None:
    truth = np.tile([[True], [False]], (50, 1))
    assert metrics.expected_calibration_error(truth, np.full((100, 1), 0.8, np.float32)) == pytest.approx(0.3, abs=1e-6)


def test_reliability_bins_hold_equal_shares_and_rise() -> None:
    random = np.random.default_rng(7)
    probability = random.random((40, 5)).astype(np.float32)
    bins = metrics.reliability(probability > 0.5, probability).table()
    assert [each.count for each in bins] == [20] * 10
    assert [each.expected for each in bins] == sorted(each.expected for each in bins)


def test_fewer_cells_than_bins_are_still_counted_once() -> None:
    bins = metrics.reliability(np.array([[True, False]]), np.array([[0.9, 0.2]], dtype=np.float32)).table()
    assert sum(each.count for each in bins) == 2


def test_the_bootstrap_interval_covers_the_true_value_about_as_often_as_it_says() -> None:
    random, covered = np.random.default_rng(8), 0
    for trial in range(120):
        truth = np.ones((80, 2), dtype=bool)
        hits = random.random(truth.shape) < 0.7
        draws = bootstrap.resamples(len(truth), 200, seed=trial)
        found = bootstrap.Estimate.of(0.7, bootstrap.bootstrap(metrics.recall, truth, hits, draws))
        covered += found.low <= 0.7 <= found.high
    assert 0.87 <= covered / 120 <= 1.0


def test_the_interval_leaves_equal_tails() -> None:
    found = bootstrap.Estimate.of(0.5, np.arange(1001) / 1000)
    assert (found.low, found.high) == pytest.approx((0.025, 0.975))


@pytest.mark.parametrize(("value", "low", "high"), [(1.0, 0.741134, 1.0), (0.0, 0.0, 0.258866), (0.5, 0.5, 0.5)])
def test_ten_prompts_that_are_all_alike_leave_room_for_one_that_is_not(value: float, low: float, high: float) -> None:
    found = bootstrap.Estimate.of_share(value, np.full(1000, value), 10)
    assert (found.value, found.low, found.high) == pytest.approx((value, low, high), abs=1e-6)


@pytest.mark.parametrize("prompts", [8, 12, 50, 400])
def test_one_error_more_never_narrows_what_may_be(prompts: int) -> None:
    lows = []
    for errors in (0, 1, 2):
        right = np.arange(prompts) >= errors
        draws = right[bootstrap.resamples(prompts, 2000, seed=1)].mean(axis=1)
        lows.append(bootstrap.Estimate.of_share(float(right.mean()), draws, prompts).low)
    assert lows == sorted(lows, reverse=True)


def test_where_prompts_differ_a_share_has_the_interval_of_its_resamples() -> None:
    draws = np.arange(1001) / 1000
    assert bootstrap.Estimate.of_share(1.0, draws, 10) == bootstrap.Estimate.of(1.0, draws)


def test_a_mean_of_shares_leaves_room_and_a_difference_or_a_cost_does_not() -> None:
    right = np.where(np.arange(9) < 6, 1.0, np.nan)
    means = bootstrap.Resampled.of([right, np.zeros(9)])
    assert (means.share(0).low, means.estimate(0).low) == pytest.approx((0.606962, 1.0), abs=1e-6), (
        "of six that are known"
    )
    assert vars(means.estimate(1)) == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_one_draw_serves_two_systems_so_that_equal_ones_never_differ() -> None:
    truth, chosen = _pair(9)
    draws = bootstrap.resamples(len(truth), 50, seed=1)
    assert draws.shape == (50, len(truth))
    first, second = (bootstrap.bootstrap(metrics.micro_f1, truth, chosen, draws) for _ in range(2))
    assert (first == second).all()
    assert np.ptp(first) > 0
    assert (draws == bootstrap.resamples(len(truth), 50, seed=1)).all()
    assert (draws != bootstrap.resamples(len(truth), 50, seed=2)).any()
