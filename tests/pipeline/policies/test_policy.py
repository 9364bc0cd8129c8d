"""From qualities and costs to a decision: thresholds, the best one, quality against cost, pairs and budgets."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.policies.policy import (
    BestPolicy,
    BudgetPolicy,
    DoubtPolicy,
    PairPolicy,
    Policy,
    SubsetPolicy,
    WillingnessPolicy,
    below_threshold,
    doubting,
    policy_from_json,
)
from pipeline.policies.thresholds import fit_subset_policy
from pipeline.runtime.arrays import FloatMatrix


def _matrix(*rows: tuple[float, ...]) -> FloatMatrix:
    return np.array(rows, dtype=np.float32)


def _column(threshold: float, rows: int, positives: int) -> tuple[FloatMatrix, FloatMatrix]:
    """Probabilities of which those above a threshold are right, and no other."""
    probability = np.concatenate(
        [np.linspace(threshold + 0.02, 0.99, positives), np.linspace(0.01, threshold - 0.02, rows - positives)]
    )
    return probability.astype(np.float32), (np.arange(rows) < positives).astype(np.float32)


def test_each_candidate_is_chosen_from_its_own_threshold_on() -> None:
    policy = SubsetPolicy((0.5, 0.2), at_least_one=False)
    chosen = policy.choose(_matrix((0.5, 0.19), (0.49, 0.2), (0.9, 0.9), (0.0, 0.0)))
    assert chosen.tolist() == [[True, False], [False, True], [True, True], [False, False]]


def test_where_each_prompt_needs_one_the_likeliest_is_chosen_however_far_from_its_threshold() -> None:
    policy = SubsetPolicy((0.5, 0.2), at_least_one=True)
    quality = _matrix((0.07, 0.016), (0.1, 0.19), (0.6, 0.6), (0.3, 0.25))
    chosen = policy.choose(quality)
    assert chosen.tolist() == [[True, False], [False, True], [True, True], [False, True]]
    assert below_threshold(policy, quality, chosen).tolist() == [True, True, False, False]


@pytest.mark.parametrize(("costs", "first"), [((9.0, 3.0, 1.0), 1), ((np.nan, 3.0, 1.0), 1), ((np.nan,) * 3, 0)])
def test_of_candidates_equally_likely_below_their_thresholds_the_cheaper_is_chosen(
    costs: tuple[float, ...], first: int
) -> None:
    policy, quality = SubsetPolicy((0.9, 0.5, 0.2), at_least_one=True), _matrix((0.3, 0.3, 0.1))
    for columns in (list(order) for order in itertools.permutations(range(3))):
        mine = SubsetPolicy(tuple(policy.thresholds[i] for i in columns), at_least_one=True)
        chosen = mine.choose(quality[:, columns], np.array([costs])[:, columns])
        taken = columns[int(chosen[0].argmax())]
        assert chosen.sum() == 1
        assert taken == first or (np.isnan(costs).all() and taken == next(i for i in columns if i < 2))


def test_only_a_subset_has_thresholds_to_lie_below() -> None:
    quality = _matrix((0.1, 0.2))
    assert not below_threshold(BestPolicy(), quality, BestPolicy().choose(quality)).any()
    nobody = SubsetPolicy((0.5, 0.5), at_least_one=False)
    assert not below_threshold(nobody, quality, nobody.choose(quality)).any(), "nothing is chosen"


def test_at_least_one_is_learnt_from_the_labels() -> None:
    quality = _matrix((0.9, 0.1), (0.2, 0.8))
    assert fit_subset_policy(quality, _matrix((1, 0), (0, 1))).at_least_one
    assert not fit_subset_policy(quality, _matrix((1, 0), (0, 0))).at_least_one


def test_of_exclusive_labels_the_likeliest_alone_is_chosen() -> None:
    labels = _matrix((1, 0), (0, 1))
    policy = fit_subset_policy(_matrix((0.9, 0.1), (0.2, 0.8)), labels, exclusive=True)
    quality = _matrix((0.9, 0.8), (0.2, 0.3), (0.1, 0.1))
    chosen = policy.choose(quality)
    assert chosen.tolist() == [[True, False], [False, True], [True, False]]
    assert not below_threshold(policy, quality, chosen).any()
    assert policy.choose(quality, allowed=np.array([[False, True]] * 3)).tolist() == [[False, True]] * 3
    assert not policy.choose(quality, allowed=np.zeros((3, 2), np.bool_)).any()
    assert policy_from_json(policy.to_json()) == policy
    others = fit_subset_policy(_matrix((0.9, 0.1), (0.2, 0.8)), labels)
    assert not others.exactly_one
    assert "exactly_one" not in others.to_json()


def test_thresholds_are_those_beside_a_likeliest_that_is_chosen_anyhow() -> None:
    kinds = ((0.3, 0.1), (1, 0)), ((0.9, 0.4), (1, 0)), ((0.9, 0.8), (1, 1))
    quality, labels = (_matrix(*rows * 20) for rows in zip(*kinds, strict=True))
    policy = fit_subset_policy(quality, labels)
    assert min(policy.thresholds) > 0.4, "the first kind gets its agent without a threshold that lets the second's in"
    assert (policy.choose(quality) == labels).all()


def test_a_planted_threshold_is_found() -> None:
    quality, labels = _column(0.3, rows=400, positives=200)
    policy = fit_subset_policy(quality[:, None], labels[:, None])
    assert policy.thresholds[0] == pytest.approx(0.3, abs=0.03)


def test_a_common_candidate_has_its_own_threshold_and_a_rare_one_keeps_near_the_common_one() -> None:
    columns = [_column(0.3, 1000, 400), _column(0.6, 1000, 300), _column(0.9, 1000, 2)]
    quality, labels = (np.column_stack(part) for part in zip(*columns, strict=True))
    often, less, rare = fit_subset_policy(quality, labels).thresholds
    assert often == pytest.approx(0.3, abs=0.07)
    assert less == pytest.approx(0.6, abs=0.07)
    assert rare < 0.7


def test_a_candidate_without_positives_takes_the_common_threshold() -> None:
    quality, labels = _column(0.3, rows=400, positives=200)
    never = np.full_like(quality, 0.01)
    policy = fit_subset_policy(np.column_stack([quality, never]), np.column_stack([labels, np.zeros_like(labels)]))
    assert policy.thresholds[1] == pytest.approx(policy.thresholds[0], abs=0.05)
    assert not policy.choose(np.column_stack([quality, never]))[:, 1].any()


def test_the_best_policy_chooses_one_and_the_first_of_equals() -> None:
    chosen = BestPolicy().choose(_matrix((0.2, 0.9, 0.1), (0.5, 0.5, 0.5), (0.0, 0.0, 0.0)))
    assert chosen.argmax(axis=1).tolist() == [1, 0, 0]
    assert (chosen.sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    "policy", [BestPolicy(), WillingnessPolicy(0.0), BudgetPolicy(20.0), DoubtPolicy(BestPolicy(), 0.0)]
)
def test_of_candidates_that_are_worth_the_same_the_cheaper_is_chosen_whatever_its_place(policy: Policy) -> None:
    for columns in itertools.permutations(range(3)):
        quality, cost = _matrix((0.7, 0.7, 0.2))[:, columns], np.array([[9.0, 3.0, 1.0]])[:, columns]
        chosen = policy.choose(quality, cost, error=np.zeros((1, 3)))
        assert columns[int(chosen[0].argmax())] == 1
        assert [columns[i] for i in policy.ranking(quality, cost, error=np.zeros((1, 3)))[0]] == [1, 0, 2]


def test_a_subset_ranks_equals_by_their_cost() -> None:
    ranking = SubsetPolicy((0.5, 0.5, 0.5), True).ranking(_matrix((0.7, 0.7, 0.7)), np.array([[np.nan, 3.0, 1.0]]))
    assert ranking.tolist() == [[2, 1, 0]]


@pytest.mark.parametrize("policy", [SubsetPolicy((0.1234, 0.5), True), SubsetPolicy((0.3,), False), BestPolicy()])
def test_a_policy_survives_json(policy: Policy) -> None:
    assert policy_from_json(json.loads(json.dumps(policy.to_json()))) == policy


@pytest.mark.parametrize("policy", [SubsetPolicy((0.5, 0.5), True), BestPolicy()])
def test_choosing_leaves_the_probabilities_as_they_were(policy: Policy) -> None:
    quality = _matrix((0.1, 0.2), (0.9, 0.8))
    before = quality.copy()
    policy.choose(quality)
    assert (quality == before).all()


# --- costs, pairs, budgets, and who may answer --------------------------------------------------------------------

COST = np.array([[0.010, 0.002, 0.001]] * 2)
SINGLES: tuple[Policy, ...] = (
    BestPolicy(), WillingnessPolicy(10.0), PairPolicy(0, 2, 0.1), BudgetPolicy(0.005)
)  # fmt: skip


def picks(policy: Policy, quality: FloatMatrix, cost: Any = None, allowed: Any = None) -> list[int]:
    """The column chosen in each row, -1 for none."""
    chosen = policy.choose(quality, cost, None if allowed is None else np.array(allowed))
    return [int(row.argmax()) if row.any() else -1 for row in chosen]


def test_willingness_is_quality_minus_lambda_times_cost() -> None:
    quality = _matrix((0.90, 0.85, 0.80), (0.90, 0.60, 0.50))
    # lambda 10: .90 - .10, .85 - .02, .80 - .01, and .80, .58, .49
    assert picks(WillingnessPolicy(10.0), quality, COST) == [1, 0]
    assert picks(WillingnessPolicy(0.0), quality, COST) == [0, 0]
    assert picks(WillingnessPolicy(1000.0), quality, COST) == [2, 2]
    assert WillingnessPolicy(10.0).ranking(quality, COST).tolist() == [[1, 0, 2], [0, 1, 2]]


@pytest.mark.parametrize("lam", [0.0, 10.0, 1e6])
def test_an_unknown_cost_stands_behind_every_known_one(lam: float) -> None:
    quality, cost = _matrix((0.1, 0.99, 0.2)), np.array([[0.5, np.nan, 0.5]])
    assert picks(WillingnessPolicy(lam), quality, cost) == [2]
    assert WillingnessPolicy(lam).ranking(quality, cost).tolist() == [[2, 0, 1]]
    assert picks(WillingnessPolicy(lam), quality) == [1], "where no cost is known the quality decides"
    assert picks(WillingnessPolicy(lam), quality, cost, [[False, True, False]]) == [1]


def test_the_strong_one_is_called_where_it_is_better_by_theta() -> None:
    quality = np.array([[0.75, 0.99, 0.5], [0.625, 0.1, 0.5], [0.4, 0.1, 0.5]], dtype=np.float32)
    policy = PairPolicy(strong=0, weak=2, theta=0.25)
    assert picks(policy, quality) == [0, 2, 2], "a difference of just theta calls the strong one"
    assert policy.ranking(quality).tolist() == [[0, 2, 1], [2, 0, 1], [2, 0, 1]]
    assert picks(policy, quality, None, [[False, True, True], [True, True, False], [False, True, False]]) == [2, 0, 1]


def test_within_a_budget_the_best_that_fits_is_chosen_and_nothing_where_nothing_fits() -> None:
    quality = _matrix((0.9, 0.8, 0.7), (0.9, 0.8, 0.7))
    cost = np.array([[0.01, 0.002, 0.001], [0.01, np.nan, 0.002]])
    assert picks(BudgetPolicy(0.01), quality, cost) == [0, 0], "a cost of just the budget fits"
    assert picks(BudgetPolicy(0.0005), quality, np.full_like(cost, np.float32(0.0005))) == [0, 0], "just above .0005"
    assert picks(BudgetPolicy(0.002), quality, cost) == [1, 2]
    assert picks(BudgetPolicy(0.0015), quality, cost) == [2, -1]
    assert picks(BudgetPolicy(9.0), quality) == [-1, -1], "an unknown cost fits no budget"
    assert BudgetPolicy(0.0015).ranking(quality, cost).tolist() == [[2, 0, 1], [0, 1, 2]]


def test_whoever_may_not_answer_is_not_chosen_and_ranked_last() -> None:
    quality, allowed = _matrix((0.9, 0.2, 0.3)), np.array([[False, True, True]])
    assert picks(BestPolicy(), quality, None, allowed) == [2]
    assert BestPolicy().ranking(quality, None, allowed).tolist() == [[2, 1, 0]]
    subset = SubsetPolicy((0.5, 0.5, 0.5), at_least_one=True)
    assert subset.choose(quality, None, allowed).tolist() == [[False, False, True]]
    assert subset.ranking(quality, None, allowed).tolist() == [[2, 1, 0]]
    for policy in (*SINGLES, subset):
        assert not policy.choose(quality, COST[:1], np.zeros((1, 3), np.bool_)).any()


DOUBTS = tuple(DoubtPolicy(policy, 1.5) for policy in SINGLES if not isinstance(policy, PairPolicy))  # type: ignore[arg-type]
ERROR = np.full((2, 3), 0.03)


def doubtful(policy: Policy, quality: FloatMatrix, error: Any, cost: Any = COST, allowed: Any = None) -> list[int]:
    chosen = policy.choose(quality, cost, allowed, np.broadcast_to(error, quality.shape))
    return [int(row.argmax()) if row.any() else -1 for row in chosen]


def test_a_dearer_one_is_paid_only_for_a_gain_beyond_doubt() -> None:
    # The dearest is ahead of the cheapest by .08 and .03; a difference errs by .03 x sqrt 2 = .042.
    quality = _matrix((0.88, 0.85, 0.80), (0.83, 0.81, 0.80))
    assert doubtful(DoubtPolicy(BestPolicy(), 0.5), quality, ERROR) == [0, 0]
    assert doubtful(DoubtPolicy(BestPolicy(), 1.0), quality, ERROR) == [1, 2], "mid, then big is in doubt beside mid"
    assert doubtful(DoubtPolicy(BestPolicy(), 3.0), quality, ERROR) == [2, 2]
    assert doubtful(DoubtPolicy(BestPolicy(), 3.0), quality, 0.0) == [0, 0], (
        "where nothing is unsure nothing is doubted"
    )
    # With lambda 10 they are worth .78, .83 and .79.
    assert doubtful(DoubtPolicy(WillingnessPolicy(10.0), 0.1), quality[:1], ERROR[:1], COST[:1]) == [1]
    assert doubtful(DoubtPolicy(BudgetPolicy(0.005), 0.5), quality, ERROR) == [1, 2]


def test_the_doubt_is_that_of_both() -> None:
    # A gain of .10; the difference errs by .05 x sqrt 2 = .07 where both err by .05, else by .05 alone.
    quality, cost = _matrix((0.9, 0.8)), np.array([[0.01, 0.001]])
    for errors, picked in (((0.05, 0.05), 1), ((0.05, 0.0), 0), ((0.0, 0.05), 0), ((0.0, 0.07), 1)):
        assert doubtful(DoubtPolicy(BestPolicy(), 1.5), quality, np.array([errors]), cost) == [picked]


def test_one_that_is_unsure_does_not_bar_the_dearer_ones_behind_it() -> None:
    quality, unsure = _matrix((0.9, 0.7, 0.5)), np.array([[0.01, 0.5, 0.01]])
    assert doubtful(DoubtPolicy(BestPolicy(), 1.0), quality, unsure, COST[:1]) == [0]
    quality[0, 1] = 0.91
    assert doubtful(DoubtPolicy(BestPolicy(), 1.0), quality, unsure, COST[:1]) == [2], "more is never paid for less"


def test_a_policy_that_doubts_ranks_the_others_as_without_and_needs_standard_errors() -> None:
    quality = _matrix((0.90, 0.85, 0.80))
    assert DoubtPolicy(BestPolicy(), 9.0).ranking(quality, COST[:1], None, ERROR[:1]).tolist() == [[2, 0, 1]]
    with pytest.raises(ValueError, match="standard error"):
        DoubtPolicy(BestPolicy(), 1.0).choose(quality, COST[:1])


@pytest.mark.parametrize("policy", DOUBTS)
def test_an_unknown_cost_is_never_the_cheap_one(policy: Policy) -> None:
    quality, cost = _matrix((0.80, 0.82, 0.81)), np.array([[0.004, np.nan, np.nan]])
    assert doubtful(policy, quality, 0.03, cost) == [0]
    if policy == DoubtPolicy(BestPolicy(), 1.5):
        assert doubtful(policy, quality, 0.001, cost) == [1], "a gain without doubt is taken at any cost, as by best"
    assert doubtful(policy, quality, 0.03, None) == ([-1] if isinstance(policy.policy, BudgetPolicy) else [1])  # type: ignore[union-attr]


def test_no_doubt_is_the_policy_itself() -> None:
    assert doubting(WillingnessPolicy(3.0), 0.0) == WillingnessPolicy(3.0)
    assert doubting(PairPolicy(0, 1, 0.1), 0.0) == PairPolicy(0, 1, 0.1)
    assert "doubt" not in BestPolicy().to_json()
    for value in ({"kind": "pair", "strong": 0, "weak": 1, "theta": 0.1, "doubt": 1.0}, {"kind": "best", "dobt": 1.0}):
        with pytest.raises(TypeError):
            policy_from_json(value)


@pytest.mark.parametrize("policy", [*SINGLES, *DOUBTS])
def test_every_kind_survives_json(policy: Policy) -> None:
    assert policy_from_json(json.loads(json.dumps(policy.to_json(), allow_nan=False))) == policy


def test_a_kind_from_elsewhere_is_refused() -> None:
    with pytest.raises(KeyError):
        policy_from_json({"kind": "dice"})
    with pytest.raises(TypeError):
        policy_from_json({"kind": "willingness"})


qualities = arrays.arrays(np.float32, (5, 3), elements=st.floats(0, 1, width=32))
prices = arrays.arrays(np.float64, (5, 3), elements=st.one_of(st.just(np.nan), st.floats(0, 1)))
masks = arrays.arrays(np.bool_, (5, 3))


@settings(max_examples=150)
@given(qualities, prices, masks, st.sampled_from([*SINGLES, *DOUBTS, SubsetPolicy((0.5, 0.2, 0.7), True)]))
def test_every_kind_ranks_all_and_chooses_among_those_that_may(
    quality: FloatMatrix, cost: Any, allowed: Any, policy: Policy
) -> None:
    error = np.full(quality.shape, 0.1)
    chosen, order = policy.choose(quality, cost, allowed, error), policy.ranking(quality, cost, allowed, error)
    assert not (chosen & ~allowed).any()
    assert (np.sort(order, axis=1) == np.arange(3)).all()
    ranked = np.take_along_axis(allowed, order, axis=1)
    assert (ranked[:, :-1] >= ranked[:, 1:]).all(), "those that may stand before those that may not"
    if isinstance(policy, SubsetPolicy):
        return
    assert (chosen.sum(axis=1) <= 1).all()
    assert (chosen <= np.take_along_axis(chosen, order[:, :1], axis=1)).all(), "what is chosen is ranked first"
    if isinstance(policy, DoubtPolicy):
        policy = policy.policy
    if isinstance(policy, BudgetPolicy):
        assert (cost[chosen] <= policy.usd).all()
        assert (chosen.any(axis=1) == (allowed & (cost <= policy.usd)).any(axis=1)).all()
    else:
        assert (chosen.any(axis=1) == allowed.any(axis=1)).all()


@settings(max_examples=100)
@given(qualities, arrays.arrays(np.float64, (5, 3), elements=st.floats(0, 1)), st.floats(0, 100), st.floats(0, 100))
def test_a_greater_lambda_never_spends_more(quality: FloatMatrix, cost: Any, one: float, other: float) -> None:
    less, more = (
        (cost * WillingnessPolicy(lam).choose(quality, cost)).sum(axis=1) for lam in sorted((one, other), reverse=True)
    )
    assert (less <= more + 1e-9).all()


@settings(max_examples=200)
@given(qualities, prices, masks, st.sampled_from(DOUBTS), arrays.arrays(np.float64, (5, 3), elements=st.floats(0, 0.5)))
def test_doubt_never_spends_more_and_gives_up_no_more_than_what_is_in_doubt(
    quality: FloatMatrix, cost: Any, allowed: Any, policy: DoubtPolicy, errors: Any
) -> None:
    plain, doubting = policy.policy.choose(quality, cost, allowed), policy.choose(quality, cost, allowed, errors)
    spent, dear = (np.nansum(np.where(chosen, np.nan_to_num(cost, nan=9.0), 0), axis=1) for chosen in (doubting, plain))
    assert (spent <= dear).all(), "an unknown cost counts as the highest"
    worth = quality - 10.0 * np.nan_to_num(cost) if isinstance(policy.policy, WillingnessPolicy) else quality
    for row in np.flatnonzero(spent < dear):
        lost = worth[row, plain[row]] - worth[row, doubting[row]]
        assert lost <= policy.doubt * np.sqrt(2) * errors[row].max() + 1e-6
