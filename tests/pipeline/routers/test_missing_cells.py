"""A cell that was not tried is not a zero: with half of them gone at random, what is chosen stays about as good."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from reference_tables import reference_table

from pipeline.data.folds import inner_folds
from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.evaluation.reference_strategies import LEARNT, RememberedEmbedding
from pipeline.routers.base.protocol import Scorer
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.baselines.knn import KnnScorer
from pipeline.routers.baselines.prompt_effects import QualityDecomposition
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import new_router
from pipeline.runtime.arrays import FloatMatrix

pytestmark = pytest.mark.usefixtures("one_thread")
TOPICS = ("bread oven dough flour", "sail anchor harbour tide", "violin chord melody rhythm", "planet orbit comet star")
LEVELS = np.array([[0.7, 0.5, 0.4, 0.5], [0.4, 0.7, 0.5, 0.5], [0.5, 0.4, 0.7, 0.5], [0.4, 0.5, 0.5, 0.65]])
"""What each of four candidates gets on each topic, on a prompt of average difficulty."""


def planted(rows: int, seed: int) -> tuple[Outcomes, FloatMatrix]:
    """Right or wrong answers to prompts of four topics, some hard for everybody; and each candidate's chance."""
    random = np.random.default_rng(seed)
    topic = random.integers(4, size=rows)
    prompts = [" ".join(random.choice(TOPICS[t].split(), 3)) + f" {i}" for i, t in enumerate(topic)]
    chance = np.clip(LEVELS[topic] + random.choice([-0.35, 0.25], size=(rows, 1)), 0.02, 0.98)
    quality = (random.random(chance.shape) < chance).astype(np.float32)
    names = ("a", "b", "c", "d")
    cost = np.full_like(quality, np.nan)
    return Outcomes(tuple(f"p{i}" for i in range(rows)), tuple(prompts), names, quality, cost, False), chance


def without_half(quality: FloatMatrix, seed: int) -> FloatMatrix:
    return np.where(np.random.default_rng(seed).random(quality.shape) < 0.5, np.nan, quality).astype(np.float32)


def chosen(
    make: Callable[[FrozenEmbedding, int], Scorer], embedding: FrozenEmbedding, train: Outcomes, asked: Outcomes
) -> np.ndarray:
    router = CalibratedRouter(make(embedding, 7))
    router.fit(train, inner_folds(train, 3, 7))
    return router.predict(asked.prompts).quality.argmax(axis=1)


@pytest.mark.parametrize("name", LEARNT)
def test_with_half_of_the_cells_gone_the_chosen_quality_falls_by_at_most_a_hundredth(
    name: str, minilm: FrozenEmbedding
) -> None:
    train, _ = planted(700, seed=1)
    asked, chance = planted(100, seed=2)
    rows = np.arange(len(asked))
    whole = chance[rows, chosen(LEARNT[name], minilm, train, asked)].mean()
    halves = [
        chance[rows, chosen(LEARNT[name], minilm, replace(train, quality=without_half(train.quality, s)), asked)].mean()
        for s in range(3)
    ]
    assert whole > chance.max(axis=1).mean() - 0.02
    assert np.mean(halves) >= whole - 0.01


@pytest.mark.parametrize("name", [*LEARNT, "tags", "tasks"])
def test_one_lucky_answer_makes_nobody_good_nor_others_better(name: str, minilm: FrozenEmbedding) -> None:
    """The last candidate was tried once, and right; the others' own means are known from 80 prompts."""
    table, _ = planted(80, seed=4)
    quality = table.quality.copy()
    quality[:, 3] = np.nan
    quality[0, 3] = 1.0
    router = CalibratedRouter(new_router(name, FinetuningParams(), 7).scorer)
    router.scorer.embedding = router.scorer.frozen = minilm  # type: ignore[attr-defined]
    router.fit(replace(table, quality=quality), inner_folds(table, 3, 7))
    found = router.predict(table.prompts).quality.mean(axis=0)
    known = np.nanmean(quality[:, :3], axis=0)
    assert np.abs(found[:3] - known).max() < 0.1
    assert found[3] < known.mean() + 0.15


def test_nothing_missing_gives_the_plain_shrunk_mean() -> None:
    random = np.random.default_rng(0)
    quality, weights = random.random((40, 3)).astype(np.float32), random.random((5, 40)).astype(np.float32)
    plain = (weights @ quality + 10 * quality.mean(axis=0)) / (weights.sum(axis=1, keepdims=True) + 10)
    np.testing.assert_allclose(QualityDecomposition.of(quality).means(weights, 10.0), plain, rtol=1e-4)


def test_easy_prompts_flatter_a_candidate_less_than_its_plain_mean_does() -> None:
    """The first is better by .2 everywhere, but was tried on hard prompts only, and the second on easy ones."""
    random = np.random.default_rng(0)
    easy = random.random(600) < 0.5
    chance = np.where(easy[:, None], 0.3, -0.2) + np.array([0.6, 0.4, 0.5, 0.5, 0.5])
    quality = (random.random(chance.shape) < chance).astype(np.float32)
    quality[easy, 0] = np.nan
    quality[~easy, 1] = np.nan
    flattery = np.nanmean(quality[:, 1]) - np.nanmean(quality[:, 0])
    everywhere = np.ones((1, 600), dtype=np.float32)
    first, second, *_ = QualityDecomposition.of(quality).means(everywhere, 10.0)[0]
    assert second - first < 0.6 * flattery


def test_a_candidate_that_was_never_tried_stands_in_the_middle() -> None:
    quality = np.array([[1.0, np.nan, np.nan], [0.5, 0.5, np.nan]], dtype=np.float32)
    assert QualityDecomposition.of(quality).means(np.ones((1, 2), dtype=np.float32), 1.0)[0, 2] == 0.5


def test_the_nearest_prompts_on_which_a_candidate_was_tried_decide_for_it() -> None:
    """One outcome a prompt: a table of arena votes. What was not tried pulls no candidate down."""
    known = np.repeat(np.eye(2, dtype=np.float32), 200, axis=0)
    quality = np.full((400, 2), np.nan, dtype=np.float32)
    quality[0:200:2, 0], quality[1:200:2, 1] = 1.0, 0.0
    quality[200:400:2, 0], quality[201:400:2, 1] = 0.0, 1.0
    scorer = KnnScorer(FrozenEmbedding("minilm", 16))
    scorer._vectors, scorer._known, scorer._is_labels = known, QualityDecomposition.of(quality), False
    scorer.setting = (100, 0.0)
    scores = scorer.scores(["", ""], np.eye(2, dtype=np.float32))
    assert scores.argmax(axis=1).tolist() == [0, 1]
    assert (np.abs(scores - np.eye(2)) < 0.2).all()


def read(name: str) -> Outcomes:
    return read_outcomes(reference_table(name))


@pytest.fixture(scope="module")
def remembered() -> RememberedEmbedding:
    return RememberedEmbedding("minilm", 128)


@pytest.mark.heavy
@pytest.mark.parametrize("name", LEARNT)
@pytest.mark.parametrize("table", ["routerbench_train", "routerdc_train"])
def test_on_real_tables_too(table: str, name: str, remembered: RememberedEmbedding) -> None:
    """5-fold, over four draws of the missing half: one draw moves the figure by half a hundredth either way."""
    outcomes = read(table)
    assert outcomes.folds is not None
    drawn = [without_half(outcomes.quality, seed) for seed in range(4)]
    got = np.zeros((5, len(outcomes)))
    for fold in np.unique(outcomes.folds):
        train, held_out = np.flatnonzero(outcomes.folds != fold), np.flatnonzero(outcomes.folds == fold)
        asked = outcomes.rows(held_out)
        for i, quality in enumerate([outcomes.quality, *drawn]):
            part = replace(outcomes.rows(train), quality=quality[train], datasets=None)
            picks = chosen(LEARNT[name], remembered, part, asked)
            got[i, held_out] = asked.quality[np.arange(len(asked)), picks]
    assert got[1:].mean() >= got[0].mean() - 0.01
