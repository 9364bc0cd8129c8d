"""The gates against the champion open for an equal router and stay shut for a worse one, as simulated."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.gate_power import (
    CHAMPION_F1,
    Holdout,
    Pair,
    bounds,
    challengers,
    disagreement,
    pass_rates,
    settings,
    shipped_holdout,
)
from pipeline.gating.agent_gates import GateInputs, GateParams, against_champion
from pipeline.gating.champion import Champion
from pipeline.gating.results import GATE
from pipeline.metrics.multilabel import micro_f1
from pipeline.runtime.params import read

PAIRS = 300
Rates = dict[str, dict[str, float]]


@pytest.fixture(scope="module")
def holdout() -> Holdout:
    return shipped_holdout()


@pytest.fixture(scope="module")
def params() -> GateParams:
    return read(GATE, GateParams).model_copy(update={"resamples": 200})


@pytest.fixture(scope="module")
def simulated(holdout: Holdout) -> dict[str, list[Pair]]:
    return challengers(holdout, PAIRS)


@pytest.fixture(scope="module")
def rates(holdout: Holdout, simulated: dict[str, list[Pair]], params: GateParams) -> Rates:
    return {name: pass_rates(holdout, pairs, params) for name, pairs in simulated.items()}


def test_simulated_routers_are_as_good_and_as_unlike_as_they_claim(
    holdout: Holdout, simulated: dict[str, list[Pair]]
) -> None:
    def mean_f1(kind: str, which: int) -> float:
        return float(np.mean([micro_f1(holdout.truth, pair[which]) for pair in simulated[kind]]))

    assert mean_f1("equal", 0) == pytest.approx(CHAMPION_F1, abs=0.01)
    assert mean_f1("equal", 1) == pytest.approx(CHAMPION_F1, abs=0.01)
    assert mean_f1("5 points worse", 0) == pytest.approx(CHAMPION_F1 - 0.05, abs=0.01)
    assert 0.15 <= disagreement(simulated["equal"]) <= 0.20


def test_the_simulation_judges_as_the_stage_does(
    holdout: Holdout, simulated: dict[str, list[Pair]], params: GateParams
) -> None:
    champion = Champion(version="1", run_key="nightly-2026-01-01-1", router_sha256="0" * 64, train_rows=390)
    for seed, (ours, theirs) in enumerate(simulated["smallest agent .40"][:5]):
        inputs = GateInputs(holdout.truth, ours, holdout.names, holdout.train_support, {}, 390, champion, theirs)
        judged = against_champion(inputs, params, seed)
        stage = {result.gate: (result.value, result.limit) for result in judged if result.gate != "row_count"}
        here = bounds(holdout, (ours, theirs), params, seed)
        assert stage.keys() == here.keys()
        for gate, found in here.items():
            assert stage[gate] == pytest.approx(found, abs=1e-6)


def test_an_equal_router_passes_all_gates_four_times_in_five(rates: Rates) -> None:
    assert rates["equal"]["all"] >= 0.80
    assert rates["equal, noisier"]["all"] >= 0.75


def test_a_router_five_points_worse_is_let_through_one_time_in_ten_at_most(rates: Rates) -> None:
    assert rates["5 points worse"]["all"] <= 0.10
    assert rates["5 points worse"]["overall"] <= 0.10


def test_the_gate_of_an_agent_sees_what_the_overall_gate_overlooks(rates: Rates) -> None:
    broken = rates["smallest agent .40"]
    assert broken["overall"] > 0.3
    assert broken["agents"] <= 0.10


def test_rare_agents_that_break_are_seen_together(rates: Rates) -> None:
    assert rates["rare agents .40"]["rare"] <= 0.10
    assert rates["equal"]["rare"] >= 0.95


def test_a_margin_of_two_points_and_an_own_gate_for_each_agent_never_open(
    holdout: Holdout, simulated: dict[str, list[Pair]], params: GateParams
) -> None:
    naive = settings(params)["naive: margin .02, 20 agents"]
    assert pass_rates(holdout, simulated["equal"], naive)["all"] <= 0.01
