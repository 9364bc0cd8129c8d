"""What a request may ask of the choice, and that what cannot be met is refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.policies.policy import BestPolicy, BudgetPolicy, PairPolicy, Policy, SubsetPolicy, WillingnessPolicy
from pipeline.runtime.errors import InputError
from pipeline.serving.engine.decision import Decision, RoutingOptions, check, decide
from pipeline.serving.engine.scored import ScoredText

NAMES = ("coding", "email", "sql")
SUBSET = SubsetPolicy((0.5, 0.5, 0.5), at_least_one=True)


def _decided(
    scores: tuple[float, ...],
    options: RoutingOptions,
    policy: Policy = SUBSET,
    costs: tuple[float, ...] = (0.02, 0.001, np.nan),
    allowed: tuple[bool, ...] | None = None,
) -> Decision:
    may = None if allowed is None else np.array(allowed)
    scored = ScoredText(np.array(scores, dtype=np.float32), np.array(costs), 3, 1, (), may)
    return decide(scored, NAMES, policy, options)


def _chosen(*arguments: Any) -> Decision:
    """Without its margin, which has a test of its own."""
    return replace(_decided(*arguments), margin=None)


def test_the_stored_policy_decides_unless_something_is_wished() -> None:
    assert _chosen((0.6, 0.7, 0.1), RoutingOptions()) == Decision(
        ("email", "coding"), ("email", "coding", "sql"), 1.0, "stored"
    )
    assert _decided((0.1, 0.2, 0.3), RoutingOptions()).chosen == ("sql",)
    assert _decided((0.6, 0.7, 0.1), RoutingOptions(), BestPolicy()).chosen == ("email",)


def test_of_exclusive_labels_one_is_chosen_and_thresholds_are_refused() -> None:
    alone = SubsetPolicy((0.0, 0.0, 0.0), at_least_one=True, exactly_one=True)
    found = _decided((0.6, 0.7, 0.1), RoutingOptions(), alone)
    assert (found.chosen, found.margin, found.below_threshold) == (("email",), pytest.approx(0.1), False)
    assert _decided((0.6, 0.7, 0.1), RoutingOptions(policy="budget", budget_usd=0.02), alone).chosen == ("email",)
    with pytest.raises(InputError, match="thresholds apply where a subset is chosen by thresholds"):
        check(RoutingOptions(thresholds={"coding": 0.2}), NAMES, alone)


@pytest.mark.parametrize(
    ("scores", "options", "chosen", "below"),
    [
        ((0.1, 0.3, 0.2), RoutingOptions(), ("email",), True),
        ((0.1, 0.6, 0.2), RoutingOptions(), ("email",), False),
        ((0.1, 0.3, 0.2), RoutingOptions(thresholds={"email": 0.3}), ("email",), False),
        ((0.6, 0.3, 0.2), RoutingOptions(thresholds={"coding": 0.7}), ("coding",), True),
        ((0.6, 0.3, 0.2), RoutingOptions(policy="budget", budget_usd=0.001), ("email",), True),
        ((0.6, 0.7, 0.2), RoutingOptions(policy="budget", budget_usd=0.001), ("email",), False),
        ((0.1, 0.3, 0.2), RoutingOptions(policy="best"), ("email",), False),
        ((0.1, 0.3, 0.2), RoutingOptions(top_k=2), ("email", "sql"), False),
    ],
)
def test_a_choice_of_which_none_reaches_its_threshold_says_so(
    scores: tuple[float, ...], options: RoutingOptions, chosen: tuple[str, ...], below: bool
) -> None:
    found = _decided(scores, options)
    assert (found.chosen, found.below_threshold) == (chosen, below)


def test_top_k_and_best_look_at_scores_alone() -> None:
    assert _decided((0.6, 0.7, 0.1), RoutingOptions(top_k=3)).chosen == ("email", "coding", "sql")
    assert _decided((0.6, 0.7, 0.1), RoutingOptions(policy="best")).chosen == ("email",)
    assert _decided((0.6, 0.7, 0.1), RoutingOptions(policy="best", top_k=2)).chosen == ("email", "coding")


def test_own_thresholds_replace_only_those_named() -> None:
    assert _decided((0.6, 0.7, 0.1), RoutingOptions(thresholds={"email": 0.71})).chosen == ("coding",)
    assert _decided((0.6, 0.7, 0.1), RoutingOptions(thresholds={"sql": 0.1})).chosen == ("email", "coding", "sql")


def test_a_budget_is_filled_in_order_of_score() -> None:
    assert _decided((0.7, 0.6, 0.1), RoutingOptions(policy="budget", budget_usd=0.021)).chosen == ("coding", "email")
    assert _decided((0.7, 0.6, 0.1), RoutingOptions(policy="budget", budget_usd=0.0205)).chosen == ("coding",)
    assert _decided((0.7, 0.6, 0.1), RoutingOptions(policy="budget", budget_usd=0.001)).chosen == ("email",)
    assert _decided((0.7, 0.1, 0.1), RoutingOptions(policy="budget", budget_usd=0.001)).chosen == ("email",)
    assert _decided((0.7, 0.1, 0.9), RoutingOptions(policy="budget", budget_usd=9.0), BestPolicy()).chosen == (
        "coding",
    )


def test_what_is_told_to_cost_just_the_budget_fits_it() -> None:
    options = RoutingOptions(policy="budget", budget_usd=0.001234)
    assert _decided((0.9, 0.1, 0.1), options, costs=(0.00123449, 0.0001, 0.0001)).chosen == ("coding",)
    assert _decided((0.9, 0.1, 0.1), options, BestPolicy(), (0.00123551, 0.0001, 0.0001)).chosen == ("email",)
    thirds = RoutingOptions(policy="budget", budget_usd=0.3)
    assert len(_decided((0.9, 0.8, 0.7), thirds, SubsetPolicy((0.5,) * 3, True), (0.1, 0.1, 0.1)).chosen) == 3


@pytest.mark.parametrize(
    ("scores", "options", "policy", "margin"),
    [
        ((0.9, 0.1, 0.47), RoutingOptions(), SUBSET, 0.03),
        ((0.9, 0.1, 0.47), RoutingOptions(thresholds={"coding": 0.89}), SUBSET, 0.01),
        ((0.9, 0.1, 0.47), RoutingOptions(), BestPolicy(), 0.43),
        ((0.9, 0.1, 0.47), RoutingOptions(top_k=2), SUBSET, 0.37),
        ((0.9, 0.1, 0.47), RoutingOptions(top_k=3), SUBSET, None),
        ((0.9, 0.85, 0.47), RoutingOptions(), WillingnessPolicy(10.0), None),
    ],
)
def test_the_margin_is_how_near_another_choice_was(
    scores: tuple[float, ...], options: RoutingOptions, policy: Policy, margin: float | None
) -> None:
    assert _decided(scores, options, policy).margin == pytest.approx(margin, abs=1e-6)


def test_a_barred_candidate_has_no_part_in_the_margin() -> None:
    assert _decided((0.9, 0.1, 0.49), RoutingOptions(), allowed=(True, True, False)).margin == pytest.approx(0.4)
    assert _decided((0.9, 0.1, 0.8), RoutingOptions(), BestPolicy(), allowed=(True, False, False)).margin is None


def test_willingness_weighs_the_cost_and_puts_unknown_costs_behind() -> None:
    # lambda 10: .90 - .20, .75 - .01, and the third is unknown
    assert _chosen((0.90, 0.75, 0.99), RoutingOptions(policy="willingness", quality_per_usd=10.0)) == Decision(
        ("email",), ("email", "coding", "sql"), 1.0, "willingness"
    )
    assert _decided((0.90, 0.75, 0.99), RoutingOptions(policy="willingness", quality_per_usd=1.0)).chosen == ("coding",)
    with pytest.raises(InputError, match="knows no costs"):
        _decided((0.9, 0.7, 0.1), RoutingOptions(policy="willingness", quality_per_usd=1.0), costs=(np.nan,) * 3)


@pytest.mark.parametrize(
    ("policy", "chosen", "ranking"),
    [
        (WillingnessPolicy(10.0), "email", ("email", "coding", "sql")),
        (PairPolicy(0, 2, 0.5), "coding", ("coding", "sql", "email")),
        (PairPolicy(0, 2, 0.9), "sql", ("sql", "coding", "email")),
        (BudgetPolicy(0.005), "email", ("email", "coding", "sql")),
    ],
)
def test_every_stored_policy_decides_and_gives_the_order_to_fall_back_in(
    policy: Policy, chosen: str, ranking: tuple[str, ...]
) -> None:
    assert _chosen((0.90, 0.75, 0.1), RoutingOptions(), policy) == Decision((chosen,), ranking, 1.0, "stored")
    assert _decided((0.90, 0.75, 0.1), RoutingOptions(policy="best"), policy).chosen == ("coding",)
    assert _decided((0.90, 0.75, 0.1), RoutingOptions(top_k=2), policy).chosen == ("coding", "email")
    assert _decided((0.90, 0.75, 0.1), RoutingOptions(policy="budget", budget_usd=0.02), policy).chosen == ("coding",)


def test_a_stored_budget_that_nothing_fits_is_an_error() -> None:
    with pytest.raises(InputError, match="finds no candidate"):
        _decided((0.9, 0.8, 0.7), RoutingOptions(), BudgetPolicy(0.0001))


@pytest.mark.parametrize("options", [
    RoutingOptions(), RoutingOptions(top_k=3),
    RoutingOptions(policy="best"), RoutingOptions(policy="budget", budget_usd=1.0),
    RoutingOptions(policy="willingness", quality_per_usd=0.0), RoutingOptions(thresholds={"email": 0.0}),
])  # fmt: skip
def test_whom_a_pool_bars_is_neither_chosen_nor_ranked_whatever_is_wished(options: RoutingOptions) -> None:
    for stored in (SUBSET, BestPolicy(), WillingnessPolicy(1.0), PairPolicy(1, 0, 0.0)):
        if options.thresholds and stored is not SUBSET:
            continue
        found = _decided((0.6, 0.9, 0.5), options, stored, (0.02, 0.001, 0.003), (True, False, True))
        assert found.ranking == ("coding", "sql")
        assert "email" not in found.chosen
        assert found.chosen
        with pytest.raises(InputError, match="the pool lets no candidate answer"):
            _decided((0.6, 0.9, 0.5), options, stored, (0.02, 0.001, 0.003), (False,) * 3)


def test_of_equal_scores_the_cheaper_goes_first_and_an_unknown_cost_last() -> None:
    assert _decided((0.4, 0.4, 0.4), RoutingOptions()).ranking == ("email", "coding", "sql")
    same = _decided((0.4, 0.4, 0.4), RoutingOptions(), costs=(np.nan, np.nan, np.nan))
    assert same.ranking == NAMES


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (RoutingOptions(policy="cheapest"), "known are stored, best, budget, willingness"),
        (RoutingOptions(policy="budget"), "belong together"),
        (RoutingOptions(budget_usd=1.0), "belong together"),
        (RoutingOptions(policy="budget", budget_usd=float("nan")), "not an amount"),
        (RoutingOptions(policy="budget", budget_usd=0.0005), "the cheapest costs 0.001 USD"),
        (RoutingOptions(top_k=4), "this version has 3 candidates"),
        (RoutingOptions(top_k=0), "out of range"),
        (RoutingOptions(top_k=1, thresholds={"sql": 0.5}), "without thresholds"),
        (RoutingOptions(top_k=1, policy="budget", budget_usd=1.0), "without a budget"),
        (RoutingOptions(policy="willingness"), "quality_per_usd belong together"),
        (RoutingOptions(quality_per_usd=1.0), "quality_per_usd belong together"),
        (RoutingOptions(policy="willingness", quality_per_usd=-1.0), "not an amount"),
        (RoutingOptions(top_k=1, policy="willingness", quality_per_usd=1.0), "without a lambda"),
        (RoutingOptions(thresholds={"codign": 0.5}), "did you mean 'coding'?"),
        (RoutingOptions(thresholds={"coding": 1.5}), "give 0 to 1"),
        (RoutingOptions(thresholds={"coding": float("nan")}), "give 0 to 1"),
        (RoutingOptions(thresholds={"coding": 0.5}, policy="best"), "leave them out"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(options: RoutingOptions, said: str) -> None:
    with pytest.raises(InputError, match=said.replace("?", r"\?")):
        _decided((0.6, 0.7, 0.1), options)
