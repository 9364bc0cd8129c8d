"""The gates of the models' track: each is seen to close, and what cannot be decided does not pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.gating.champion import Champion
from pipeline.gating.model_gates import ModelGateInputs, ModelGateParams, judge
from pipeline.gating.results import FAILED, PASSED, UNDECIDABLE, GateResult

PARAMS = ModelGateParams(
    quality=0.5, judged=0.25, calibration_error=0.1, cost_usd=0.02, cost_rise=0.1, row_drop=0.1, margin=0.05,
    confidence=0.9, resamples=200,
)  # fmt: skip
PROMPTS = 100


def chosen(column: int) -> np.ndarray:
    matrix = np.zeros((PROMPTS, 3), dtype=np.bool_)
    matrix[:, column] = True
    return matrix


def inputs() -> ModelGateInputs:
    """The first candidate is right on 90 of 100 prompts, the second on 60, the third on 30; all cost a cent."""
    right = np.arange(PROMPTS)[:, None] < np.array([90, 60, 30])
    quality = right.astype(np.float32)
    return ModelGateInputs(
        ("good", "fair", "poor"), quality, np.full_like(quality, 0.01), chosen(0), 0, 0.05, 400, None, None
    )


def champion(rows: int = 400) -> Champion:
    return Champion("1", "models-1", "sha256:0", rows)


def result(name: str, of: ModelGateInputs, params: ModelGateParams = PARAMS) -> GateResult:
    (found,) = [each for each in judge(of, params, 0) if each.gate == name]
    return found


def test_a_good_router_passes_every_gate() -> None:
    assert {each.verdict for each in judge(inputs(), PARAMS, 0)} == {PASSED}


@pytest.mark.parametrize(
    ("name", "changes", "outcome"),
    [
        ("quality", {"chosen": chosen(2)}, FAILED),
        ("over_best_single", {"chosen": chosen(1)}, FAILED),
        ("calibration_error", {"calibration_error": 0.2}, FAILED),
        ("cost_usd", {"cost": np.full((PROMPTS, 3), 0.03, np.float32)}, FAILED),
        ("cost_usd", {"cost": np.full((PROMPTS, 3), np.nan, np.float32)}, UNDECIDABLE),
    ],
    ids=["quality", "best single", "calibration", "dear", "cost unknown"],
)
def test_each_gate_closes(name: str, changes: dict[str, object], outcome: str) -> None:
    assert result(name, replace(inputs(), **changes)).verdict == outcome  # type: ignore[arg-type]


def untried(tried: int) -> ModelGateInputs:
    """Half of the prompts go to a candidate that was tried on the first few of them."""
    half = chosen(0)
    half[50:] = [False, True, False]
    known = inputs()
    quality = known.quality.copy()
    quality[50 + tried :, 1] = np.nan
    return replace(known, quality=quality, chosen=half)


def test_choices_that_nobody_tried_are_not_judged_by_the_others() -> None:
    found = result("judged", untried(5))
    assert found.verdict == UNDECIDABLE
    assert found.reason == "fair was chosen on 50 holdout prompts and tried on 10% of them; add its outcomes there"
    assert result("judged", untried(20)).verdict == PASSED


def test_a_candidate_chosen_now_and_then_needs_no_outcome() -> None:
    known = inputs()
    few = chosen(0)
    few[:4] = [False, False, True]
    quality = known.quality.copy()
    quality[:, 2] = np.nan
    assert result("judged", replace(known, chosen=few, quality=quality)).verdict == PASSED


def test_choices_spread_over_many_candidates_are_tried_too() -> None:
    candidates = tuple(f"model-{number}" for number in range(50))
    spread = np.eye(50, dtype=np.bool_)[np.arange(PROMPTS) % 50]
    quality = np.full((PROMPTS, 50), np.nan, np.float32)
    quality[spread] = np.where(np.arange(PROMPTS) < 20, 0.9, np.nan)
    thin = replace(inputs(), candidates=candidates, quality=quality, cost=quality, chosen=spread)
    found = result("judged", thin)
    assert found.verdict == UNDECIDABLE
    assert (
        found.reason == "any candidate was chosen on 100 holdout prompts and tried on 20% of them; add outcomes there"
    )


def test_a_few_prompts_known_of_both_decide_nothing() -> None:
    known = inputs()
    quality, cost = known.quality.copy(), known.cost.copy()
    quality[19:, 0] = cost[19:, 0] = np.nan
    few = replace(known, quality=quality, cost=cost, chosen=chosen(1), champion=champion(), champion_chosen=chosen(0))
    for name, of in (("over_best_single", "quality"), ("champion_quality", "quality"), ("champion_cost", "cost")):
        found = result(name, few)
        assert found.verdict == UNDECIDABLE
        assert found.reason == f"the {of} of both choices is known on 19 holdout prompts; it takes 20"


def test_costs_are_compared_where_both_are_known() -> None:
    known = inputs()
    cost = known.cost * np.array([1, 2, 1], dtype=np.float32)
    cost[:50, 1] = np.nan
    cost[50:, 0] = 1.0
    found = result(
        "champion_cost", replace(known, cost=cost, chosen=chosen(1), champion=champion(), champion_chosen=chosen(0))
    )
    assert (found.verdict, found.value) == (PASSED, -0.98)
    without = np.full_like(cost, np.nan)
    assert (
        result("champion_cost", replace(known, cost=without, champion=champion(), champion_chosen=chosen(0))).reason
        == "no costs are known"
    )


def test_the_champion_is_compared_prompt_by_prompt() -> None:
    worse = replace(inputs(), champion=champion(), champion_chosen=chosen(0), chosen=chosen(1))
    assert result("champion_quality", worse).verdict == FAILED
    unread = replace(inputs(), champion=champion(), champion_chosen=None)
    assert result("champion_quality", unread).verdict == UNDECIDABLE
    shrunk = replace(inputs(), champion=champion(600), champion_chosen=chosen(0))
    assert result("row_count", shrunk).verdict == FAILED


def test_a_dearer_router_than_the_champion_is_stopped() -> None:
    known = inputs()
    cost = known.cost * np.array([2, 1, 1], dtype=np.float32)
    dearer = replace(known, cost=cost, champion=champion(), champion_chosen=chosen(1))
    found = result("champion_cost", dearer)
    assert (found.verdict, found.value) == (FAILED, 1.0)
