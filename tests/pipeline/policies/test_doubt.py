"""A router that doubts: standard errors from prompts to choices, through saving, joining, windows and the engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.data.folds import make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.windows import EncodedPrompts
from pipeline.policies.policy import BestPolicy, DoubtPolicy, PolicyParams, WillingnessPolicy
from pipeline.policies.selection import HeldOutOutcomes, choose_policy
from pipeline.routers.baselines.tfidf import TfidfScorer
from pipeline.routers.calibrated import DESCRIPTION, CalibratedRouter
from pipeline.routers.systems import open_router
from pipeline.routers.tasks.router import TasksScorer
from pipeline.runtime.errors import InputError, ParamsError
from pipeline.runtime.params import parse
from pipeline.runtime.tables import read_json, write_json
from pipeline.serving.engine.decision import RoutingOptions, decide
from pipeline.serving.engine.engine import Engine

pytestmark = pytest.mark.usefixtures("one_thread")
NAMES = ("big", "mid", "small")
USD = (0.010, 0.002, 0.001)
SUBJECTS = ("prove the theorem about primes {}", "Write a sad poem about autumn leaves {}")


def graded(rows: int = 120) -> Outcomes:
    """Proofs need `big`; on poems all are alike, and `big` seems a little better by chance."""
    random = np.random.default_rng(1)
    hard = np.arange(rows) % 2 == 0
    chance = np.where(hard[:, None], (0.95, 0.3, 0.2), (0.7, 0.7, 0.7))
    quality = np.clip(chance + random.normal(0, 0.2, chance.shape), 0, 1).astype(np.float32)
    prompts = tuple(SUBJECTS[i % 2].format(f"number {i} of {i % 7}") for i in range(rows))
    cost = np.tile(np.array(USD, np.float32), (rows, 1))
    return Outcomes(tuple(f"p{i}" for i in range(rows)), prompts, NAMES, quality, cost, False)


def fitted(encoder: Path, policy: PolicyParams, outcomes: Outcomes | None = None) -> CalibratedRouter:
    outcomes = outcomes or graded()
    router = CalibratedRouter(TasksScorer(FrozenEmbedding(str(encoder), 32), 0), policy)
    router.fit(outcomes, make_folds(outcomes, 3, 0))
    return router


@pytest.fixture(scope="module")
def doubting(tiny_encoder: Path) -> CalibratedRouter:
    return fitted(tiny_encoder, PolicyParams(doubt=3.0))


@pytest.fixture(scope="module")
def plain(tiny_encoder: Path) -> CalibratedRouter:
    return fitted(tiny_encoder, PolicyParams())


ASKED = tuple(subject.format(f"number {i} of 3") for i in range(400, 420) for subject in SUBJECTS)


def test_it_pays_for_proofs_and_not_for_poems(doubting: CalibratedRouter, plain: CalibratedRouter) -> None:
    before, after = plain.predict(ASKED), doubting.predict(ASKED)
    assert before.error is None
    assert after.error is not None
    assert after.error.shape == (40, 3)
    np.testing.assert_array_equal(before.quality, after.quality)
    proofs = np.arange(40) % 2 == 0
    assert (before.chosen[~proofs] == [False, False, True]).all(axis=1).mean() < 0.5
    assert (after.chosen[~proofs] == [False, False, True]).all(axis=1).mean() > 0.9, (
        "what is in doubt goes to the cheap"
    )
    assert (after.chosen[proofs].argmax(axis=1) == 0).mean() > 0.9, "what is beyond doubt is paid for"


def test_no_doubt_leaves_every_byte_as_it_was(plain: CalibratedRouter, tiny_encoder: Path, tmp_path: Path) -> None:
    plain.save(tmp_path / "plain")
    fitted(tiny_encoder, PolicyParams(doubt=0.0)).save(tmp_path / "none")
    assert (tmp_path / "plain" / DESCRIPTION).read_bytes() == (tmp_path / "none" / DESCRIPTION).read_bytes()
    assert "doubt" not in (tmp_path / "plain" / DESCRIPTION).read_text(encoding="utf-8")


def test_a_saved_router_doubts_alike_and_so_does_the_engine(doubting: CalibratedRouter, tmp_path: Path) -> None:
    doubting.save(tmp_path)
    again, expected = open_router(tmp_path), doubting.predict(ASKED)
    assert again.policy == DoubtPolicy(BestPolicy(), 3.0)
    np.testing.assert_array_equal(again.predict(ASKED).chosen, expected.chosen)
    engine = Engine(again)
    for text, chosen in zip(ASKED[:6], expected.chosen, strict=False):
        decided = decide(engine.score([text])[0], NAMES, engine.policy, RoutingOptions())
        assert decided.chosen == (NAMES[int(chosen.argmax())],)
        assert set(decided.ranking) == set(NAMES)


def test_a_router_that_cannot_is_refused_when_it_is_asked_too(doubting: CalibratedRouter, tmp_path: Path) -> None:
    router = CalibratedRouter(TfidfScorer())
    router.fit(graded(), make_folds(graded(), 3, 0))
    router.save(tmp_path)
    description = read_json(tmp_path / DESCRIPTION)
    write_json({**description, "policy": {"kind": "best", "doubt": 1.0}}, tmp_path / DESCRIPTION)
    with pytest.raises(InputError, match="a tfidf router tells no uncertainty"):
        open_router(tmp_path).predict(ASKED)


def test_lambda_is_chosen_with_the_doubt(tiny_encoder: Path, tmp_path: Path) -> None:
    router = fitted(tiny_encoder, PolicyParams(kind="willingness", doubt=1.0))
    assert isinstance(router.policy, DoubtPolicy)
    assert isinstance(router.policy.policy, WillingnessPolicy)
    assert router.operating is not None
    assert router.operating.policy == router.policy
    router.save(tmp_path)
    found = open_router(tmp_path).predict(ASKED)
    assert found.operating is not None
    np.testing.assert_array_equal(found.operating, router.predict(ASKED).chosen)


def test_one_that_joins_is_doubted_too(doubting: CalibratedRouter, tmp_path: Path) -> None:
    doubting.save(tmp_path)
    router, known = open_router(tmp_path), graded()
    quality = np.column_stack([known.quality, np.where(np.arange(120) < 6, 0.75, np.nan)]).astype(np.float32)
    cost = np.column_stack([known.cost, np.full(120, 0.02)]).astype(np.float32)
    router.join(replace(known, candidates=(*NAMES, "new"), quality=quality, cost=cost))
    found = router.predict(ASKED)
    assert found.error is not None
    assert (found.error[:, 3] > found.error[:, 2]).all(), "six outcomes tell less than a hundred and twenty"
    assert not found.chosen[1::2, 3].any()


def test_a_long_prompt_errs_as_its_parts_do(doubting: CalibratedRouter) -> None:
    text = " ".join([ASKED[0]] * 30)
    reading = doubting.read([text])
    assert reading is not None
    assert len(reading.vectors) > 3
    assert isinstance(doubting.scorer, TasksScorer)
    each = doubting.scorer.uncertainty([text] * len(reading.vectors), reading.vectors)
    found = doubting.judge([text], reading).error
    assert found is not None
    np.testing.assert_allclose(found[0], (each[0] + each[1:].mean(axis=0)) / 2, rtol=1e-5)
    assert found.dtype == np.float64
    whole = EncodedPrompts(reading.vectors[:1], np.zeros(1, np.int64), np.ones(1, np.int64))
    short = doubting.judge([text], whole).error
    assert short is not None
    np.testing.assert_allclose(short[0], each[0], rtol=1e-5)


# --- what is refused ----------------------------------------------------------------------------------------------


def test_a_system_without_uncertainty_is_refused_before_anything_is_learnt() -> None:
    router = CalibratedRouter(TfidfScorer(), PolicyParams(doubt=1.0))
    with pytest.raises(InputError, match=r"^policy.doubt: a tfidf router knows no uncertainty; leave it out$"):
        router.fit(graded(), make_folds(graded(), 3, 0))
    assert router.candidates == ()


def test_a_table_that_leaves_nothing_to_doubt_is_refused_before_anything_is_learnt(tiny_encoder: Path) -> None:
    free = replace(graded(), cost=np.full_like(graded().cost, np.nan))
    labels = replace(graded(), quality=np.eye(3, dtype=np.float32)[np.arange(120) % 3], is_labels=True)
    for outcomes, message in ((free, "the table has none"), (labels, "table with labels")):
        scorer = TasksScorer(FrozenEmbedding(str(tiny_encoder), 32), 0)
        with pytest.raises(InputError, match=message):
            CalibratedRouter(scorer, PolicyParams(doubt=1.0)).fit(outcomes, make_folds(outcomes, 3, 0))
        with pytest.raises(InputError, match="not fitted"):
            scorer.tasks()


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (PolicyParams(kind="subset"), "is for tables with agents"),
        (PolicyParams(kind="budget"), "needs policy.budget_usd"),
        (PolicyParams(kind="pair", weak="nobody"), "policy.weak 'nobody' is no candidate"),
    ],
)
def test_a_policy_that_the_table_cannot_have_is_refused_before_anything_is_learnt(
    policy: PolicyParams, message: str
) -> None:
    scorer = TfidfScorer()
    with pytest.raises(InputError, match=message):
        CalibratedRouter(scorer, policy).fit(graded(), make_folds(graded(), 3, 0))
    assert scorer._vectorizer is None


@pytest.mark.parametrize("kind", ["subset", "pair"])
def test_kinds_that_do_not_doubt_say_so(kind: str) -> None:
    with pytest.raises(ParamsError, match=f"doubt goes with kind best, willingness, budget, auto, not with {kind}"):
        parse("train.policy", PolicyParams, {"kind": kind, "doubt": 1.0})
    for wrong in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ParamsError, match="doubt"):
            parse("train.policy", PolicyParams, {"doubt": wrong})


def held_out(cost: Any = USD, error: Any = 0.1) -> HeldOutOutcomes:
    expected = np.array([[0.9, 0.85, 0.4], [0.9, 0.5, 0.4]] * 2)
    costs = np.broadcast_to(np.array(cost, dtype=np.float64), expected.shape)
    errors = None if error is None else np.full(expected.shape, error)
    return HeldOutOutcomes(NAMES, expected, costs, expected, costs, np.arange(4) % 2, errors)


def test_what_a_doubt_gets_on_held_out_rows_is_kept() -> None:
    chosen = choose_policy(PolicyParams(doubt=1.0), held_out(), False)
    assert chosen.policy == DoubtPolicy(BestPolicy(), 1.0)
    assert (chosen.chosen_on["quality"], chosen.chosen_on["cost_usd"]) == (0.875, 0.006)
    assert chosen.chosen_on["quality_first"] == {"quality": 0.9, "cost_usd": 0.01}


def test_labels_unknown_costs_and_unknown_errors_are_refused() -> None:
    with pytest.raises(InputError, match="table with labels"):
        choose_policy(PolicyParams(doubt=1.0), held_out(), True)
    with pytest.raises(InputError, match="the table has none"):
        choose_policy(PolicyParams(doubt=1.0), held_out((np.nan,) * 3), False)
    with pytest.raises(InputError, match="no uncertainty of held-out prompts"):
        choose_policy(PolicyParams(doubt=1.0), held_out(error=None), False)
