"""One candidate left out: it is unseen in training and joins by its answers to the aptitude test alone.

Beside it: the pool without it, the same router trained with it, and what needs no training: nearest neighbours and task
means from the same answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.data.folds import inner_folds
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.metrics import cost_quality as m
from pipeline.routers.aptitude.capability import accuracy, levels
from pipeline.routers.aptitude.items import AptitudeTest, digest
from pipeline.routers.aptitude.router import AptitudeScorer
from pipeline.routers.base.protocol import Predictions
from pipeline.routers.base.settings import AptitudeParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.tasks.assignment import TaskClassifier
from pipeline.runtime.arrays import FloatMatrix, Indices, Values

WITHOUT, JOINED, TRAINED, NEIGHBOURS, TASKS = "without it", "joined", "trained with it", "knn", "task means"
_NEIGHBOURS = (25, 50, 100, 200, 400)
_PRIOR = 10.0


@dataclass(frozen=True)
class Shop:
    """What every fit on one table shares."""

    embedding: FrozenEmbedding
    params: AptitudeParams
    seed: int = 0
    folds: int = 3

    def fitted(self, train: Outcomes, out_of_view: Sequence[str] = ()) -> CalibratedRouter:
        router = CalibratedRouter(AptitudeScorer(self.embedding, self.seed, self.params, None, out_of_view))
        router.fit(train, inner_folds(train, self.folds, self.seed))
        return router


@dataclass(frozen=True)
class LeftOut:
    """One candidate's turn: predictions by name, all but `WITHOUT` with it as the last of their candidates."""

    candidate: str
    truth: Outcomes
    found: dict[str, Predictions]

    def routed(self, name: str) -> Values:
        """The quality that was chosen on each prompt, float64 [n]."""
        predictions = self.found[name]
        columns = [self.truth.candidates.index(known) for known in predictions.candidates]
        return m.taken(self.truth.quality[:, columns], predictions.chosen.argmax(axis=1))

    def aiq(self, name: str, low: float, high: float) -> float:
        """Mean height of its frontier between two costs in USD a prompt; NaN without costs."""
        if not np.isfinite(self.truth.cost).any():
            return float("nan")
        predictions = self.found[name]
        columns = [self.truth.candidates.index(known) for known in predictions.candidates]
        quality, cost = (matrix[:, columns].astype(np.float64) for matrix in (self.truth.quality, self.truth.cost))
        swept = m.sweep(predictions.quality.astype(np.float64), predictions.cost, quality, cost)
        return m.aiq(m.frontier(swept), low, high)

    def expected(self, name: str = JOINED) -> tuple[Values, Values]:
        """What was expected of the candidate on each prompt, and what it got."""
        return self.found[name].quality[:, -1].astype(np.float64), self.truth.quality[:, -1].astype(np.float64)


def left_out(shop: Shop, train: Outcomes, test: Outcomes, candidate: str) -> LeftOut:
    """Every row of one candidate's turn."""
    train, test = last(train, candidate), last(test, candidate)
    others = columns(train, range(len(train.candidates) - 1))
    router = shop.fitted(others)
    reading = router.read(test.prompts)
    found = {WITHOUT: router.judge(test.prompts, reading)}
    items = rows_of_items(router, train)
    router.join(train.rows(items))
    found[JOINED] = joined = router.judge(test.prompts, reading)
    found |= plain_rows(router, train, test, joined)
    found[TRAINED] = shop.fitted(train, (candidate,)).judge(test.prompts, reading)
    return LeftOut(candidate, test, found)


def rows_of_items(router: CalibratedRouter, outcomes: Outcomes) -> Indices:
    """Which rows of a table are items of the router's test, int64 [items], in the test's order."""
    place = {digest(text): row for row, text in enumerate(router.followed(outcomes.prompts))}
    return np.array([place[known] for known in scorer_of(router).test.digests], dtype=np.int64)


def scorer_of(router: CalibratedRouter) -> AptitudeScorer:
    assert isinstance(router.scorer, AptitudeScorer)
    return router.scorer


def columns(outcomes: Outcomes, which: Sequence[int]) -> Outcomes:
    """Some candidates alone."""
    names = tuple(outcomes.candidates[c] for c in which)
    return replace(
        outcomes, candidates=names, quality=outcomes.quality[:, list(which)], cost=outcomes.cost[:, list(which)]
    )


def last(outcomes: Outcomes, candidate: str) -> Outcomes:
    """The same with one candidate as the last."""
    place = outcomes.candidates.index(candidate)
    return columns(outcomes, [*(c for c in range(len(outcomes.candidates)) if c != place), place])


def plain_rows(
    router: CalibratedRouter, train: Outcomes, test: Outcomes, joined: Predictions
) -> dict[str, Predictions]:
    """Nearest neighbours and task means, from the answers that the router knows its candidates by.

    Both see the router's own features; `joined` lends its costs.
    """
    scorer = scorer_of(router)
    features = scorer.features_of(router.followed(test.prompts))
    learnt = scorer.features_of(router.followed(train.prompts))
    task = nearest_task(scorer.test, learnt)
    assignment = TaskClassifier.fit(learnt, task, len(scorer.test.share), scorer.seed)
    made = {
        NEIGHBOURS: neighbours(scorer.test, scorer.capability.answers, features),
        TASKS: assignment.of(features) @ accuracy(scorer.test, scorer.capability.answers).mean,
    }
    return {name: _predictions(quality, joined) for name, quality in made.items()}


def _predictions(quality: Values, like: Predictions) -> Predictions:
    chosen = np.zeros(quality.shape, dtype=np.bool_)
    chosen[np.arange(len(quality)), quality.argmax(axis=1)] = True
    return Predictions(like.candidates, quality.astype(np.float32), like.cost, chosen)


def nearest_task(test: AptitudeTest, features: FloatMatrix) -> Indices:
    """The task whose items' centre is nearest, int64 [n]."""
    centres = np.stack([test.features[test.task == t].mean(axis=0) for t in range(len(test.share))])
    return np.asarray((features @ (centres / np.linalg.norm(centres, axis=1, keepdims=True)).T).argmax(axis=1))


def neighbours(test: AptitudeTest, answers: FloatMatrix, features: FloatMatrix) -> Values:
    """Weighted means over the nearest items, float64 [n, c]; how many is chosen by leaving items out one by one."""
    counts = [k for k in _NEIGHBOURS if k < len(test)] or [1]
    own = test.features @ test.features.T
    np.fill_diagonal(own, -np.inf)
    losses = [_contrast_error(_near_means(own, test, answers, k), answers) for k in counts]
    return _near_means(features @ test.features.T, test, answers, counts[int(np.argmin(losses))])


def _near_means(cosine: FloatMatrix, test: AptitudeTest, answers: FloatMatrix, count: int) -> Values:
    near = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
    chosen = np.zeros(cosine.shape)
    np.put_along_axis(chosen, near, test.weight[near], axis=1)
    chosen *= count / chosen.sum(axis=1, keepdims=True)
    known = ~np.isnan(answers)
    total = chosen @ np.where(known, answers, 0.0) + _PRIOR * levels(test, answers)
    return np.asarray(total / (chosen @ known + _PRIOR))


def _contrast_error(expected: Values, quality: FloatMatrix) -> float:
    """Of the differences between candidates, which decide who is chosen."""
    off = expected - quality
    return float(np.nanmean((off - np.nanmean(off, axis=1, keepdims=True)) ** 2))
