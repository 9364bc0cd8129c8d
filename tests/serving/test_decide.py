"""What a request may wish of the choice, and that what cannot be met is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.errors import InputError
from pipeline.policies import BestPolicy, SubsetPolicy
from pipeline.serving.answers import Scored
from pipeline.serving.decide import Decision, Wish, decide

NAMES = ("coding", "email", "sql")
SUBSET = SubsetPolicy((0.5, 0.5, 0.5), at_least_one=True)


def _decided(scores: tuple[float, ...], wish: Wish, policy: SubsetPolicy | BestPolicy = SUBSET) -> Decision:
    costs = np.array((0.02, 0.001, np.nan), dtype=np.float32)
    scored = Scored(np.array(scores, dtype=np.float32), costs, 3, 1, ())
    return decide(scored, NAMES, policy, wish)


def test_the_stored_policy_decides_unless_something_is_wished() -> None:
    assert _decided((0.6, 0.7, 0.1), Wish()) == Decision(("email", "coding"), ("email", "coding", "sql"), 1.0, "stored")
    assert _decided((0.1, 0.2, 0.3), Wish()).chosen == ("sql",)
    assert _decided((0.6, 0.7, 0.1), Wish(), BestPolicy()).chosen == ("email",)


def test_top_k_and_best_look_at_scores_alone() -> None:
    assert _decided((0.6, 0.7, 0.1), Wish(top_k=3)).chosen == ("email", "coding", "sql")
    assert _decided((0.6, 0.7, 0.1), Wish(policy="best")).chosen == ("email",)
    assert _decided((0.6, 0.7, 0.1), Wish(policy="best", top_k=2)).chosen == ("email", "coding")


def test_own_thresholds_replace_only_those_named() -> None:
    assert _decided((0.6, 0.7, 0.1), Wish(thresholds={"email": 0.71})).chosen == ("coding",)
    assert _decided((0.6, 0.7, 0.1), Wish(thresholds={"sql": 0.1})).chosen == ("email", "coding", "sql")


def test_a_budget_is_filled_in_order_of_score() -> None:
    assert _decided((0.7, 0.6, 0.1), Wish(policy="budget", budget_usd=0.021)).chosen == ("coding", "email")
    assert _decided((0.7, 0.6, 0.1), Wish(policy="budget", budget_usd=0.0205)).chosen == ("coding",)
    assert _decided((0.7, 0.6, 0.1), Wish(policy="budget", budget_usd=0.001)).chosen == ("email",)
    assert _decided((0.7, 0.1, 0.1), Wish(policy="budget", budget_usd=0.001)).chosen == ("email",)
    assert _decided((0.7, 0.1, 0.9), Wish(policy="budget", budget_usd=9.0), BestPolicy()).chosen == ("coding",)


def test_equal_scores_keep_the_order_of_the_candidates() -> None:
    assert _decided((0.4, 0.4, 0.4), Wish()).ranking == NAMES


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wish(policy="cheapest"), "known are stored, best, budget"),
        (Wish(policy="budget"), "belong together"),
        (Wish(budget_usd=1.0), "belong together"),
        (Wish(policy="budget", budget_usd=float("nan")), "not an amount"),
        (Wish(policy="budget", budget_usd=0.0005), "the cheapest costs 0.001 USD"),
        (Wish(top_k=4), "this version has 3 candidates"),
        (Wish(top_k=0), "out of range"),
        (Wish(top_k=1, thresholds={"sql": 0.5}), "without thresholds"),
        (Wish(top_k=1, policy="budget", budget_usd=1.0), "without a budget"),
        (Wish(thresholds={"codign": 0.5}), "did you mean 'coding'?"),
        (Wish(thresholds={"coding": 1.5}), "give 0 to 1"),
        (Wish(thresholds={"coding": float("nan")}), "give 0 to 1"),
        (Wish(thresholds={"coding": 0.5}, policy="best"), "leave them out"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(wish: Wish, said: str) -> None:
    with pytest.raises(InputError, match=said.replace("?", r"\?")):
        _decided((0.6, 0.7, 0.1), wish)
