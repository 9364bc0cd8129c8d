"""Statistics of graded outcomes, against answers worked out by hand."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from pipeline.metrics import cost_quality as m
from pipeline.metrics.bootstrap import RESAMPLES, Resampled, resampling_weights, six_digits
from pipeline.metrics.reliability import Reliability, ReliabilityBin

NAN = np.nan


def curve(*points: tuple[float, float]) -> m.Curve:
    cost, quality = np.array(points, dtype=np.float64).reshape(-1, 2).T
    return m.Curve(cost, quality)


# --- paired resampling ------------------------------------------------------------------------------------------


def test_what_is_not_known_is_left_out_of_a_mean_and_is_never_zero() -> None:
    means = Resampled.of([np.array([1.0, NAN, 0.5, NAN]), np.array([NAN] * 4)])
    assert means.value[0] == 0.75
    assert not means.estimate(1).is_known
    assert np.nanmin(means.draws[:, 0]) >= 0.5


def test_columns_are_resampled_together_so_that_a_constant_difference_has_no_width() -> None:
    values = np.random.default_rng(0).random(200)
    means = Resampled.of([values, values + 0.1, values[::-1]])
    np.testing.assert_allclose(means.draws[:, 1] - means.draws[:, 0], 0.1)
    assert np.ptp(means.draws[:, 2] - means.draws[:, 0]) > 0.05


def test_one_set_of_draws_serves_every_call() -> None:
    values = np.random.default_rng(0).random(300)
    one = Resampled.of([values])
    other = Resampled.of([values * 2, values])
    np.testing.assert_allclose(one.draws[:, 0], other.draws[:, 1])
    blocks = np.concatenate(list(resampling_weights(300)))
    assert blocks.shape == (RESAMPLES, 300)
    assert (blocks.sum(axis=1) == 300).all()
    np.testing.assert_allclose(one.draws[:, 0], blocks @ values / 300)


def test_an_interval_is_as_wide_as_theory_says() -> None:
    values = (np.arange(1000) % 2).astype(np.float64)
    figure = Resampled.of([values]).estimate(0)
    half = 1.96 * np.sqrt(0.25 / 1000)
    assert figure.value == 0.5
    assert figure.low == pytest.approx(0.5 - half, abs=0.003)
    assert figure.high == pytest.approx(0.5 + half, abs=0.003)


def test_groups_count_alike_however_many_prompts_they_have() -> None:
    values = np.array([1.0, 1.0, 1.0, 0.0])
    means = Resampled.of([values], [np.array([0, 1, 2]), np.array([3])])
    assert means.value[0] == 0.5
    assert set(np.unique(means.draws)) == {0.0, 0.5, 1.0}


def test_two_thousand_resamples_of_ten_thousand_prompts_never_lie_in_memory_together() -> None:
    column = np.random.default_rng(0).random(10_000)
    tracemalloc.start()
    Resampled.of([column])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < RESAMPLES * 10_000 * 8 / 2


def test_the_share_of_the_gap_that_is_closed() -> None:
    closed = m.gap_closed(np.array([0.6, 0.4, 0.5]), np.array([0.5, 0.5, 0.5]), np.array([0.9, 0.9, 0.5]))
    np.testing.assert_allclose(closed, [0.25, -0.25, NAN])


# --- quality for cost -------------------------------------------------------------------------------------------


def test_the_frontier_keeps_what_no_mixture_beats() -> None:
    front = m.frontier(curve((4, 0.8), (1, 0.4), (2, 0.5), (2, 0.7), (3, 0.72), (5, 0.6), (9, NAN)))
    assert front.cost.tolist() == [1, 2, 4]
    assert front.quality.tolist() == [0.4, 0.7, 0.8]


def test_reading_a_frontier() -> None:
    front = curve((1, 0.4), (2, 0.7), (4, 0.8))
    assert m.quality_at(front, 1.5) == pytest.approx(0.55)
    assert m.quality_at(front, 10) == 0.8
    assert np.isnan(m.quality_at(front, 0.5))
    assert m.cost_to_match(front, 0.75) == pytest.approx(3.0)
    assert m.cost_to_match(front, 0.1) == 1
    assert np.isnan(m.cost_to_match(front, 0.81))


def test_aiq_is_the_mean_height_of_the_frontier() -> None:
    front = curve((1, 0.4), (2, 0.8))
    assert m.aiq(front, 1, 2) == pytest.approx(0.6)
    assert m.aiq(front, 1, 3) == pytest.approx(0.7)
    assert m.aiq(curve((2, 0.5)), 1, 2) == pytest.approx(0.375), "continued to the null router below its cheapest point"
    assert np.isnan(m.aiq(front, 1, 1))
    assert np.isnan(m.aiq(m.frontier(curve((NAN, NAN))), 1, 2))


def test_a_sweep_goes_from_the_best_to_the_cheapest_and_reports_what_came_of_it() -> None:
    expected = np.array([[0.5, 0.9], [0.5, 0.6]])
    price = np.array([[1.0, 3.0], [1.0, 3.0]])
    quality, cost = np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([[1.0, 3.0], [2.0, 5.0]])
    points = m.sweep(expected, price, quality, cost)
    found = list(dict.fromkeys(zip(points.cost.tolist(), points.quality.tolist(), strict=True)))
    assert found == [(4.0, 0.5), (2.5, 1.0), (1.5, 0.5)]


def test_a_sweep_never_chooses_a_candidate_of_unknown_cost_nor_counts_an_untried_one() -> None:
    expected, price = np.tile([0.2, 0.9, 0.5], (2, 1)), np.tile([1.0, NAN, 2.0], (2, 1))
    quality, cost = np.array([[0.1, 1.0, 0.6], [0.3, 1.0, NAN]]), np.array([[1.0, NAN, 2.0], [1.0, NAN, NAN]])
    points = m.sweep(expected, price, quality, cost)
    assert (points.cost[0], points.quality[0]) == (2.0, 0.6)
    assert (points.cost[-1], points.quality[-1]) == (1.0, pytest.approx(0.2))


def test_equal_costs_leave_nothing_to_sweep() -> None:
    ones = np.ones((3, 2))
    points = m.sweep(np.tile([0.1, 0.2], (3, 1)), ones, np.tile([0.0, 1.0], (3, 1)), ones)
    assert (points.cost.tolist(), points.quality.tolist()) == ([1.0], [1.0])


# --- a weak and a strong candidate ------------------------------------------------------------------------------

WEAK, STRONG = np.array([0.0, 0.0, 1.0, 1.0]), np.array([1.0, 1.0, 1.0, 1.0])


def test_a_router_that_knows_who_needs_the_strong_candidate_recovers_the_gap_with_half_the_calls() -> None:
    known = m.recovered(m.pair_curve(STRONG - WEAK + np.arange(4) * 0.01, WEAK, STRONG))
    assert known is not None
    assert known.share.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert known.value.tolist() == [0, 0.5, 1, 1, 1]
    assert (known.area, known.share_for(0.5), known.share_for(0.8)) == (0.75, 0.25, 0.4)


def test_a_router_that_knows_nothing_is_the_diagonal() -> None:
    blind = m.recovered(m.pair_curve(np.zeros(4), WEAK, STRONG))
    assert blind is not None
    assert (blind.area, blind.share_for(0.5), blind.share_for(0.8)) == (0.5, 0.5, pytest.approx(0.8))
    wrong = m.recovered(m.pair_curve(WEAK - STRONG + np.arange(4) * 0.01, WEAK, STRONG))
    assert wrong is not None
    assert (wrong.area, wrong.share_for(0.5)) == (0.25, 0.75)


def test_a_pair_without_a_gap_has_no_share_of_it() -> None:
    assert m.recovered(m.pair_curve(np.arange(4.0), STRONG, STRONG)) is None
    assert m.recovered(m.pair_curve(np.array([NAN]), np.ones(1), np.ones(1))) is None


def test_prompts_on_which_one_of_the_pair_was_not_tried_are_left_out() -> None:
    gapped = m.pair_curve(np.arange(4.0), np.array([0.0, NAN, 0.5, 0.5]), np.array([1.0, 1.0, NAN, 1.0]))
    assert gapped.share.tolist() == [0, 0.5, 1]
    assert gapped.value.tolist() == [0.25, 0.5, 1.0]


# --- acceptance, ranks, calibration -----------------------------------------------------------------------------


def test_a_tie_is_accepted_and_an_unknown_answer_is_not_judged() -> None:
    quality, reference = np.array([0.95, 0.94, 1.0, NAN, 0.5]), np.array([1.0, 1.0, 0.2, 0.2, NAN])
    np.testing.assert_array_equal(m.accepted(quality.astype(np.float32), reference), [1, 0, 1, NAN, NAN])


def test_the_area_of_the_accept_rate_over_the_share_of_strong_calls() -> None:
    quality = np.array([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 0.0, 0.0], [1.0, 0.0, 1.0]])
    knows = m.accept_curve(quality + np.array([[0.03, 0, 0], [0.02, 0, 0], [0.01, 0, 0], [0.0, 0, 0]]), quality, 0)
    assert knows.value.tolist() == [0.5, 0.75, 1.0, 1.0, 1.0]
    assert knows.area == pytest.approx(0.875)
    blind = m.accept_curve(np.tile([1.0, 0.5, 0.1], (4, 1)), quality, 0)
    assert blind.area == pytest.approx((0.25 + 1) / 2)
    assert np.isnan(m.pair_curve(np.array([NAN]), np.ones(1), np.ones(1)).area)


def test_equals_share_a_rank_and_only_what_was_tried_is_ranked() -> None:
    quality = np.array([[0.9, 0.5, 0.5], [NAN, 0.2, 0.7], [0.1, NAN, 0.3]])
    np.testing.assert_array_equal(m.ranks(quality, np.array([1, 1, 1])), [2.5, 2, NAN])
    assert m.ranks(np.ones((1, 3)), np.array([0])).tolist() == [2.0]


def test_calibration_by_equally_filled_bins() -> None:
    expected = np.array([0.1, 0.2, 0.8, 0.9, 0.5])
    found = Reliability.of(expected, np.array([0.0, 0.0, 1.0, 0.0, NAN]), bins=2)
    assert found.table() == (ReliabilityBin(2, 0.15, 0.0), ReliabilityBin(2, 0.85, 0.5))
    assert found.error() == pytest.approx(0.25)
    nothing = Reliability.of(expected, np.full(5, NAN))
    assert nothing.table() == ()
    assert np.isnan(nothing.error())
    assert not nothing.error_estimate().is_known


def test_the_calibration_error_has_an_interval_over_prompts() -> None:
    """Prompts are resampled, and not cells: twice the cells of the same prompts are no more certain."""
    random = np.random.default_rng(4)
    expected = random.uniform(0.2, 0.8, (200, 1))
    quality = (random.random((200, 1)) < np.clip(expected + 0.15, 0, 1)).astype(np.float64)
    found = Reliability.of(expected, quality).error_estimate()
    assert found.low < found.value < found.high
    assert found.low == pytest.approx(0.11, abs=0.04)
    assert found.high == pytest.approx(0.25, abs=0.04)
    twice = Reliability.of(np.tile(expected, 2), np.tile(quality, 2)).error_estimate()
    assert twice.high - twice.low == pytest.approx(found.high - found.low, rel=0.15)
    honest = Reliability.of(expected, (random.random((200, 1)) < expected).astype(np.float64)).error_estimate()
    assert honest.low <= honest.value < honest.high


def test_small_costs_keep_their_digits() -> None:
    assert six_digits(0.0000812345678) == 8.12346e-05
    assert six_digits(0.005020408) == 0.00502041
    assert six_digits(0.5123456789) == 0.512346
