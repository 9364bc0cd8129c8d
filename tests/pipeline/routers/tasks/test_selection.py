"""What `tasks` chooses inside train: whether there are tasks, members, penalty, and whether one candidate leads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted_subjects import subject_table

from pipeline.data.folds import make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.policies.policy import BestPolicy
from pipeline.routers.base.settings import FinetuningParams, TasksParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import SYSTEMS
from pipeline.routers.tasks.discovery import DiscoverySettings, _best, _SettingLoss
from pipeline.routers.tasks.graph import utility
from pipeline.routers.tasks.head_selection import _simplest, chosen_heads
from pipeline.routers.tasks.mixing import MixingWeights, TaskEstimates, chosen_mixing
from pipeline.routers.tasks.model import ModelSettings, TaskModel
from pipeline.routers.tasks.router import TasksScorer
from pipeline.routers.tasks.shrunken_means import shortlists
from pipeline.routers.tasks.task_heads import HeadSettings, TaskHeads
from pipeline.runtime.arrays import Values
from pipeline.runtime.errors import ParamsError
from pipeline.runtime.params import parse

pytestmark = pytest.mark.usefixtures("one_thread")
FIXED = {
    "neighbours": [7], "agreement": [0.5], "coarse": [0.5], "fine": [2], "group_prior": [20], "task_prior": [50],
    "members": [2], "penalty": [0.01], "coverage": 0.9, "quality_per_usd": 3,
}  # fmt: skip


def scorer_of(encoder: Path, **tasks: object) -> TasksScorer:
    params = parse("train", FinetuningParams, {"encoder": str(encoder), "max_tokens": 64, "tasks": tasks})
    scorer = SYSTEMS["tasks"](params, 0, None)
    assert isinstance(scorer, TasksScorer)
    return scorer


def test_what_is_fixed_in_the_params_is_what_a_router_is_fitted_with(tiny_encoder: Path, tmp_path: Path) -> None:
    outcomes = subject_table(120, 4, False)
    outcomes = replace(outcomes, cost=np.full_like(outcomes.quality, 0.01))
    scorer = scorer_of(tiny_encoder, **FIXED)
    CalibratedRouter(scorer).fit(outcomes, make_folds(outcomes, 3, 0))
    found = scorer.settings
    how = found.discovery
    assert (how.neighbours, how.of_agreement, how.coarse, how.fine) == (7, 0.5, 0.5, 2.0)
    assert (how.prior.group, how.prior.task, how.coverage, how.quality_per_usd) == (20.0, 50.0, 0.9, 3.0)
    assert found.heads == HeadSettings(2, 0.01)
    assert len(scorer._fitted()[0].heads.arrays[0]) == 2
    scorer.save(tmp_path)
    again = scorer_of(tiny_encoder)
    again.load(tmp_path)
    assert (again.settings.discovery, again.settings.heads) == (how, found.heads)


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"neighbors": [5]}, "unknown key 'train.tasks.neighbors'; did you mean 'neighbours'?"),
        ({"neighbours": []}, "train.tasks.neighbours"),
        ({"neighbours": [0]}, "train.tasks.neighbours.0"),
        ({"agreement": [1.5]}, "train.tasks.agreement.0"),
        ({"coarse": [0]}, "train.tasks.coarse.0"),
        ({"coverage": 0}, "train.tasks.coverage"),
        ({"quality_per_usd": -1}, "train.tasks.quality_per_usd"),
        ({"members": [2.5]}, "train.tasks.members.0"),
        ({"assignment": "nearest"}, "train.tasks.assignment"),
    ],
)
def test_a_setting_out_of_range_is_named(told: dict[str, object], says: str) -> None:
    with pytest.raises(ParamsError, match=says.replace("?", "[?]")):
        parse("train", FinetuningParams, {"tasks": told})


def test_a_price_counts_in_shortlists() -> None:
    quality, cost = np.array([[1, 0.9]] * 20, np.float32), np.array([[1, 0.1]] * 20, np.float32)
    means = np.array([[0.9, 0.9]])
    found = [
        shortlists(utility(quality, cost, rate), np.zeros(20, np.int64), means, 0.9)[0].tolist() for rate in (0.0, 1.0)
    ]
    assert found == [[True, False], [True, True]]


def _loss(*folds: list[float], tasks: float) -> _SettingLoss:
    return _SettingLoss(tuple(np.array(fold) for fold in folds), tasks)


def test_the_luckiest_of_many_settings_is_no_ground_for_tasks() -> None:
    """Each setting is lucky on one fold alone, so that the best on two of them loses on the third."""
    none = DiscoverySettings(coarse=0.0, fine=0.0)
    lucky = {
        DiscoverySettings(fine=float(i)): _loss(*([0.0 if f == i else 1.1] * 4 for f in range(3)), tasks=8.0)
        for i in range(3)
    }
    assert _best({none: _loss([1.0] * 4, [1.0] * 4, [1.0] * 4, tasks=1.0), **lucky}) == none
    steady = DiscoverySettings(fine=9.0)
    assert (
        _best({none: _loss([1.0] * 4, [1.0] * 4, tasks=1.0), steady: _loss([0.9] * 4, [0.9] * 4, tasks=8.0)}) == steady
    )


def test_the_simplest_within_a_standard_error_is_taken() -> None:
    random = np.random.default_rng(0)
    noise: Values = random.normal(size=400)
    losses = {4: 1.0 + 0.2 * noise, 8: 1.0 + 0.2 * noise - 0.005 * random.normal(size=400) - 0.0001, 16: noise * 0}
    assert _simplest((4, 8), lambda m: losses[m]) == 4
    assert _simplest((4, 8, 16), lambda m: losses[m]) == 16
    assert _simplest((4,), lambda m: 1 / 0) == 4  # nothing is computed for a choice of one


def test_members_and_penalty_are_among_those_that_may_be_chosen(tiny_encoder: Path) -> None:
    outcomes = subject_table(90, 4, False)
    vectors = FrozenEmbedding(str(tiny_encoder), 64).embed(outcomes.prompts)
    params = TasksParams(members=(2, 3), penalty=(1e-3, 1.0))
    how = ModelSettings(DiscoverySettings(coarse=0.5, fine=0.0))
    found = chosen_heads(outcomes, vectors, None, how, params, 0)
    assert found.members in params.members
    assert found.penalty in params.penalty
    small = outcomes.rows(np.arange(12))
    assert chosen_heads(small, vectors[:12], None, how, params, 0).members == 3


def test_a_hard_penalty_holds_task_heads_back_and_leaves_the_general_ones() -> None:
    random = np.random.default_rng(1)
    features = random.normal(size=(200, 8)).astype(np.float32)
    belongs = np.eye(2, dtype=np.float32)[np.arange(200) % 2]
    quality = (features[:, :2] * np.where(belongs[:, :1] > 0, 1, -1) > 0).astype(np.float32)
    told = (features, quality, belongs, np.ones((2, 2), np.bool_), 0)
    lenient = TaskHeads.fit(*told, HeadSettings(2, 1e-4))
    hard = lenient.with_task_heads(*told, 10.0)
    assert np.abs(hard.arrays[4]).max() < 0.1 * np.abs(lenient.arrays[4]).max()
    for one, other in zip(hard.arrays[:4], lenient.arrays[:4], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(lenient.first(1).arrays[0], lenient.arrays[0][:1])


def _held_out(expected: Values, quality: Values, price: tuple[float, ...]) -> tuple[TaskEstimates, Outcomes]:
    n, c = expected.shape
    estimates = TaskEstimates(
        expected,
        np.full((n, c), 0.1),
        *(expected.astype(np.float32),) * 3,
        np.ones(n, np.float32),
        np.zeros(n, np.bool_),
    )
    ids = tuple(f"p{i}" for i in range(n))
    cost = np.tile(np.array(price, np.float32), (n, 1))
    return estimates, Outcomes(ids, ids, tuple("abc"[:c]), quality.astype(np.float32), cost, False)


def _routed(how: MixingWeights, estimates: TaskEstimates, price: Values) -> Values:
    quality = estimates.mixed(how).astype(np.float32)
    return BestPolicy().choose(quality, np.tile(price, (len(quality), 1))).argmax(axis=1)


def test_the_best_single_candidate_is_left_only_for_a_proven_gain() -> None:
    """One candidate is best on nearly every prompt; what is expected of the other is noise around as much."""
    random = np.random.default_rng(2)
    quality = np.stack([random.random(600) < 0.9, random.random(600) < 0.7], axis=1).astype(np.float64)
    expected = np.stack([np.full(600, 0.85), 0.8 + 0.06 * random.normal(size=600)], axis=1)
    estimates, outcomes = _held_out(expected, quality, (0.02, 0.001))
    how = chosen_mixing([(np.arange(600), estimates)], outcomes)
    assert how.leads == 0
    # The cheaper one would win a tie, and so the favoured one has to lead.
    assert (_routed(how, estimates, np.array([0.02, 0.001])) == 0).all()
    plain = estimates.mixed(replace(how, leads=-1))
    assert (plain.argmax(axis=1) == 1).any()
    np.testing.assert_allclose(estimates.mixed(how)[:, 1], plain[:, 1], atol=2e-5)


def test_where_routing_gains_nobody_leads() -> None:
    random = np.random.default_rng(3)
    kind = np.arange(600) % 2
    right = np.where(np.arange(2) == kind[:, None], 0.9, 0.3)
    quality = (random.random((600, 2)) < right).astype(np.float64)
    estimates, outcomes = _held_out(right, quality, (0.02, 0.001))
    how = chosen_mixing([(np.arange(600), estimates)], outcomes)
    assert how.leads == -1
    assert (_routed(how, estimates, np.array([0.02, 0.001])) == kind).all()


def test_three_lucky_prompts_prove_nothing() -> None:
    """Of two that are alike the second is asked three times, and each time it is the better one."""
    quality, expected = np.ones((400, 2)), np.tile([0.9, 0.8], (400, 1))
    quality[:3, 0], expected[:3, 1] = 0.0, 0.95
    quality[3:8, 1] = 0.0
    estimates, outcomes = _held_out(expected, quality, (0.02, 0.001))
    assert chosen_mixing([(np.arange(400), estimates)], outcomes).leads == 0


def test_a_newcomer_is_not_held_back_by_who_leads() -> None:
    """It joined later, so that no held-out prompt says that it is no better."""
    known = np.array([[0.6, 0.7]])
    estimates, _ = _held_out(known, known, (1.0, 1.0))
    wider = replace(estimates, task=np.array([[0.6, 0.7, 0.95]]), error=np.full((1, 3), 0.1))
    found = wider.mixed(MixingWeights(leads=0))[0]
    assert found.argmax() == 2
    assert found[0] > found[1]


def test_a_fit_ranks_by_price_where_that_is_asked_for() -> None:
    """Both candidates answer everything, and the second is cheaper."""
    known = subject_table(40, 2, False)
    cost = np.tile(np.array([0.1, 0.01], np.float32), (40, 1))
    outcomes = replace(known, quality=np.ones((40, 2), np.float32), cost=cost)
    vectors = np.eye(4, dtype=np.float32)[np.arange(40) % 4]
    for rate, preferred in ((0.0, False), (1.0, True)):
        how = DiscoverySettings(coarse=0.0, fine=0.0, quality_per_usd=rate)
        model, _ = TaskModel.fit(outcomes, vectors, ModelSettings(how, HeadSettings(1)), 0)
        assert bool(model.shortlist[0, 1]) is preferred
