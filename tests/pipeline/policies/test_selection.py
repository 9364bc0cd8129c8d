"""A policy's numbers are chosen on held-out rows of train: lambda, theta, and the candidates of a pair."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.policies.policy import BestPolicy, BudgetPolicy, PairPolicy, PolicyParams, SubsetPolicy, WillingnessPolicy
from pipeline.policies.selection import Chosen, HeldOutOutcomes, calibrated_theta, choose_policy, choose_willingness
from pipeline.runtime.errors import InputError, ParamsError
from pipeline.runtime.params import parse

NAN = np.nan
NAMES = ("big", "mid", "small")


def held_out(
    expected: Any, quality: Any, cost: Any = (8.0, 2.0, 1.0), names: tuple[str, ...] = NAMES
) -> HeldOutOutcomes:
    """Two folds; what is expected of a cost is what it is."""
    matrix = np.asarray(expected, dtype=np.float64)
    costs = np.broadcast_to(np.asarray(cost, dtype=np.float64), matrix.shape)
    return HeldOutOutcomes(
        names, matrix, costs, np.asarray(quality, dtype=np.float64), costs, np.arange(len(matrix)) % 2
    )


# Expected of `big`: always a little more. In truth it is better on the first two prompts only.
EXPECTED = [[0.9, 0.5, 0.4], [0.8, 0.5, 0.4], [0.62, 0.6, 0.4], [0.61, 0.6, 0.4]]
QUALITY = [[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]


def test_lambda_is_the_cheapest_that_keeps_the_quality() -> None:
    chosen = choose_willingness(PolicyParams(give_up=0.0), held_out(EXPECTED, QUALITY))
    assert isinstance(chosen.policy, WillingnessPolicy)
    assert 0.02 / 6 < chosen.policy.quality_per_usd < 0.3 / 6, "mid for the last two, big for the first two"
    assert chosen.chosen_on == {
        "rows": 4, "folds": 2, "criterion": "least cost that gives up at most 0 of the quality of quality-first",
        "quality": 1.0, "cost_usd": 5.0, "quality_first": {"quality": 1.0, "cost_usd": 8.0},
    }  # fmt: skip
    assert json.loads(json.dumps(chosen.to_json(), allow_nan=False)) == chosen.to_json()


def test_what_may_be_given_up_buys_a_lower_cost() -> None:
    chosen = choose_willingness(PolicyParams(give_up=0.25), held_out(EXPECTED, QUALITY)).chosen_on
    assert (chosen["quality"], chosen["cost_usd"]) == (0.75, 3.5), "mid for the second prompt too"
    everything = choose_willingness(PolicyParams(give_up=1.0), held_out(EXPECTED, QUALITY)).chosen_on
    assert (everything["quality"], everything["cost_usd"]) == (0.0, 1.0)


def test_a_mean_budget_takes_the_best_quality_that_keeps_within_it() -> None:
    judged = held_out(EXPECTED, QUALITY)
    chosen = choose_willingness(PolicyParams(kind="willingness", mean_budget_usd=4.0), judged).chosen_on
    assert (chosen["quality"], chosen["cost_usd"]) == (0.75, 3.5)
    with pytest.raises(InputError, match=r"mean_budget_usd 0.5 is below the least held-out cost, 1 a prompt"):
        choose_willingness(PolicyParams(kind="willingness", mean_budget_usd=0.5), judged)


def test_loss_is_counted_where_both_are_known() -> None:
    gapped = [[NAN, 0.0, 0.0], [1.0, NAN, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    chosen = choose_willingness(PolicyParams(give_up=0.0), held_out(EXPECTED, gapped)).chosen_on
    assert chosen["cost_usd"] == 2.0, "nothing that is known speaks for big on the first two"


def test_a_lambda_that_is_given_is_not_chosen_again() -> None:
    chosen = choose_policy(PolicyParams(kind="willingness", quality_per_usd=7.0), held_out(EXPECTED, QUALITY), False)
    assert chosen.policy == WillingnessPolicy(7.0)
    assert chosen.chosen_on["criterion"] == "given"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"budget_usd": 0.001}, "budget_usd goes with kind budget, not with auto"),
        ({"kind": "best", "quality_per_usd": 50.0}, "quality_per_usd goes with kind willingness, not with best"),
        ({"kind": "budget", "budget_usd": 1.0, "weak": "small"}, "weak goes with kind pair, not with budget"),
        ({"kind": "willingness", "quality_per_usd": 2.0, "mean_budget_usd": 1.0}, "give one of them"),
        ({"kind": "willingness", "quality_per_usd": 2.0, "give_up": 0.1}, "give one of them"),
        ({"kind": "pair", "theta": 0.1, "strong_share": 0.3}, "theta says what strong_share would choose"),
    ],
)
def test_a_setting_that_would_count_for_nothing_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ParamsError, match=message):
        parse("train.policy", PolicyParams, said)


def test_settings_that_count_or_are_the_defaults_are_taken() -> None:
    for said in ({"give_up": 0.1}, {"kind": "best", "strong_share": 0.5, "strong": ""}, {"doubt": 1.0}):
        assert parse("train.policy", PolicyParams, said).model_dump(include=set(said)) == said


# --- pairs ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "theta"), [(0.0, 2.0), (0.25, 0.35), (0.5, 0.2), (0.75, 0.05), (1.0, -2.0), (0.6, 0.2), (0.9, -2.0)]
)
def test_theta_lies_halfway_between_the_differences_that_it_parts(share: float, theta: float) -> None:
    assert calibrated_theta(np.array([0.0, 0.1, 0.4, 0.3]), share) == pytest.approx(theta)


def test_equal_differences_cannot_be_parted() -> None:
    apart = np.array([0.5] * 6 + [0.1] * 4)
    assert calibrated_theta(apart, 0.55) == pytest.approx(0.3), "a share of .6 is nearer than 0"
    assert calibrated_theta(apart, 0.2) == 2.0


@settings(max_examples=100)
@given(arrays.arrays(np.float64, st.integers(1, 40), elements=st.floats(-1, 1)), st.floats(0, 1))
def test_the_realised_share_is_as_near_as_equal_differences_allow(apart: Any, share: float) -> None:
    realised = (apart >= calibrated_theta(apart, share)).mean()
    _, counts = np.unique(apart, return_counts=True)
    assert abs(realised - share) <= counts.max() / len(apart) / 2 + 1e-9


def _pair(params: PolicyParams, judged: HeldOutOutcomes) -> Chosen:
    return choose_policy(params, judged, False)


def test_a_pair_is_the_best_and_the_cheapest_unless_named() -> None:
    judged = held_out(EXPECTED, QUALITY)
    chosen = _pair(PolicyParams(kind="pair", strong_share=0.5), judged)
    assert chosen.policy == PairPolicy(0, 2, pytest.approx((0.22 + 0.4) / 2))
    facts = {name: chosen.chosen_on[name] for name in ("strong", "weak", "strong_share", "wanted_share", "cost_usd")}
    assert facts == {"strong": "big", "weak": "small", "strong_share": 0.5, "wanted_share": 0.5, "cost_usd": 4.5}
    named = _pair(PolicyParams(kind="pair", strong="mid", weak="big", theta=-0.1), judged)
    assert named.policy == PairPolicy(1, 0, -0.1)
    assert named.chosen_on["strong_share"] == 0.5
    assert "wanted_share" not in named.chosen_on
    assert _pair(PolicyParams(kind="pair", weak="big"), judged).chosen_on["strong"] == "mid"


def test_where_the_best_is_the_cheapest_the_next_cheapest_is_weak() -> None:
    judged = held_out(EXPECTED, QUALITY, (1.0, 3.0, 2.0))
    assert _pair(PolicyParams(kind="pair"), judged).chosen_on["weak"] == "small"


def test_of_two_candidates_the_other_one_is_weak_also_without_costs() -> None:
    judged = held_out([[0.2, 0.9]] * 2, [[0.0, 1.0]] * 2, NAN, ("x", "y"))
    assert _pair(PolicyParams(kind="pair"), judged).chosen_on["weak"] == "x"


@pytest.mark.parametrize(
    ("params", "judged", "said"),
    [
        (PolicyParams(kind="pair", strong="huge"), held_out(EXPECTED, QUALITY), "policy.strong 'huge' is no candidate"),
        (PolicyParams(kind="pair", strong="mid", weak="mid"), held_out(EXPECTED, QUALITY), "both strong and weak"),
        (PolicyParams(kind="pair"), held_out(EXPECTED, QUALITY, NAN), "no costs that say which"),
        (PolicyParams(kind="pair"), held_out([[0.1]], [[1.0]], 1.0, ("x",)), "needs two candidates"),
        (PolicyParams(kind="willingness"), held_out(EXPECTED, QUALITY, NAN), "the table has none"),
        (PolicyParams(kind="budget"), held_out(EXPECTED, QUALITY), "needs policy.budget_usd"),
        (PolicyParams(kind="subset"), held_out(EXPECTED, QUALITY), "is for tables with agents"),
    ],
)
def test_a_policy_that_the_table_cannot_have_is_refused(
    params: PolicyParams, judged: HeldOutOutcomes, said: str
) -> None:
    with pytest.raises(InputError, match=said) as refused:
        choose_policy(params, judged, is_labels=False)
    assert "\n" not in str(refused.value)


def test_the_default_is_a_subset_for_labels_and_quality_first_for_graded_outcomes() -> None:
    judged = held_out(EXPECTED, QUALITY)
    assert isinstance(choose_policy(PolicyParams(), judged, is_labels=True).policy, SubsetPolicy)
    assert choose_policy(PolicyParams(), judged, is_labels=False).policy == BestPolicy()
    assert choose_policy(PolicyParams(kind="budget", budget_usd=2.5), judged, True).policy == BudgetPolicy(2.5)


def test_a_budget_says_what_it_got_where_something_fitted() -> None:
    chosen = choose_policy(PolicyParams(kind="budget", budget_usd=2.5), held_out(EXPECTED, QUALITY), False).chosen_on
    assert (chosen["quality"], chosen["cost_usd"]) == (0.5, 2.0)


def test_params_name_the_key_that_is_wrong() -> None:
    assert parse("policy", PolicyParams, {"kind": "pair", "strong_share": 0.25}).strong_share == 0.25
    with pytest.raises(InputError, match=r"unknown key 'policy.quality_per_us'; did you mean 'quality_per_usd'"):
        parse("policy", PolicyParams, {"quality_per_us": 1.0})
