"""What every evaluation of graded outcomes shows beside the router: ways of choosing that know little or everything.

Which candidate is the best single one, the cheapest, or the best on a data set is itself learnt. Chosen on the prompts
that are evaluated it flatters the baseline, so it is chosen on other prompts wherever there are some.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.data.folds import inner_folds
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.encoders.windows import EncodedPrompts
from pipeline.metrics.candidate_means import best_single, cheapest, dearest, known_mean, mean_cost, shrunk_quality
from pipeline.metrics.cost_quality import taken
from pipeline.metrics.preference import preferred
from pipeline.routers.base.protocol import Predictions, Scorer, gathered
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.baselines.clusters import ClustersScorer
from pipeline.routers.baselines.knn import KnnScorer
from pipeline.routers.baselines.linear import LinearScorer
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.runtime.arrays import FloatMatrix, Indices, Values
from pipeline.runtime.progress import Progress

RANDOM, CHEAPEST, DEAREST = "random", "cheapest", "dearest"
BEST_SINGLE, BEST_PER_DATASET, ORACLE = "best_single", "best_per_dataset", "oracle"
TRAIN, EVALUATED = "train", "the evaluated prompts"

Part = tuple[Outcomes, Indices]
"""Outcomes that a choice is made on, and the evaluated rows that it is made for."""


@dataclass(frozen=True)
class Expected:
    """What a way of choosing expects of each cell: quality and cost (USD), float64 [n, c]."""

    quality: Values
    cost: Values


@dataclass(frozen=True)
class Strategy:
    """One way of choosing, and what it got on each prompt: quality and cost (USD), float64 [n], NaN where unknown.

    `picks` is int64 [n], None where no single candidate was picked. `chosen_in` says on what the choice was learnt,
    `expected` is what it went by, where it can be swept over lambda.
    """

    name: str
    quality: Values
    cost: Values
    picks: Indices | None = None
    chosen_in: str = ""
    expected: Expected | None = None

    @property
    def picked(self) -> Indices:
        """The columns picked; none where no single candidate was."""
        return np.zeros(0, np.int64) if self.picks is None else self.picks

    @property
    def untried(self) -> int:
        """On how many prompts what was picked was never tried."""
        return int(np.isnan(self.quality).sum())

    def choice(self, candidates: Sequence[str]) -> str | None:
        """The candidate picked most often; None where none is picked singly."""
        return None if self.picks is None else candidates[int(np.bincount(self.picks).argmax())]


Strategies = dict[str, Strategy]


def by_picks(
    name: str, outcomes: Outcomes, picks: Indices, chosen_in: str = "", expected: Expected | None = None
) -> Strategy:
    """The strategy that picks column `picks[i]` for row i."""
    return Strategy(name, taken(outcomes.quality, picks), taken(outcomes.cost, picks), picks, chosen_in, expected)


def of_predictions(name: str, predictions: Predictions, outcomes: Outcomes, parts: Sequence[Part]) -> Strategy:
    """What a router chose; of several candidates, or where it chose none, the one that it expects most of.

    Where it predicts no cost, that is the candidate's mean in `parts`.
    """
    choosable = predictions.chosen | ~predictions.chosen.any(axis=1, keepdims=True)
    cost = predictions.cost.astype(np.float64)
    if np.isnan(cost).all():
        cost = _spread(parts, outcomes, lambda part, rows: np.tile(mean_cost(part), (len(rows), 1)))
    picks = preferred(np.where(choosable, predictions.quality, -np.inf), cost)
    return by_picks(name, outcomes, picks, "", Expected(predictions.quality.astype(np.float64), cost))


def baseline_rows(outcomes: Outcomes, parts: Sequence[Part], chosen_in: str) -> dict[str, Strategy]:
    """The rows that need no fitting, by name; those that need costs or data sets only where the table has them."""
    picks = {BEST_SINGLE: best_single}
    if np.isfinite(outcomes.cost).any() and all(np.isfinite(part.cost).any() for part, _ in parts):
        picks = {CHEAPEST: cheapest, DEAREST: dearest, **picks}
    rows = {RANDOM: _random(outcomes)}
    rows |= {name: by_picks(name, outcomes, _picks(parts, outcomes, pick), chosen_in) for name, pick in picks.items()}
    if outcomes.datasets is not None and all(part.datasets is not None for part, _ in parts):
        expected = _told_the_dataset(outcomes, parts)
        best = preferred(expected.quality, expected.cost)
        rows[BEST_PER_DATASET] = by_picks(BEST_PER_DATASET, outcomes, best, chosen_in, expected)
    rows[ORACLE] = _oracle(outcomes)
    return rows


def _picks(parts: Sequence[Part], outcomes: Outcomes, pick: Callable[[Outcomes], int]) -> Indices:
    return _spread(parts, outcomes, lambda part, rows: np.full(len(rows), pick(part), np.float64)).astype(np.int64)


def _spread(parts: Sequence[Part], outcomes: Outcomes, value: Callable[[Outcomes, Indices], Values]) -> Values:
    """What `value` says of each part, put to the rows that it holds for."""
    made = [value(part, rows) for part, rows in parts]
    spread = np.full((len(outcomes), *made[0].shape[1:]), np.nan)
    for (_, rows), values in zip(parts, made, strict=True):
        spread[rows] = values
    return spread


def _told_the_dataset(outcomes: Outcomes, parts: Sequence[Part]) -> Expected:
    """Each candidate's mean on the prompt's data set, -inf where not tried on it; on a new data set that over all."""

    def level(part: Outcomes, rows: Indices) -> Values:
        names = np.array(part.datasets, dtype=object)
        asked = np.array([outcomes.datasets[i] for i in rows] if outcomes.datasets else [], dtype=object)
        quality = part.quality.astype(np.float64)
        levels = np.tile(shrunk_quality(quality), (len(rows), 1))
        for name in set(asked) & set(names):
            inside = quality[names == name]
            levels[asked == name] = shrunk_quality(inside, known_mean(inside))
        return levels

    return Expected(
        _spread(parts, outcomes, level),
        _spread(parts, outcomes, lambda part, rows: np.tile(mean_cost(part), (len(rows), 1))),
    )


def _random(outcomes: Outcomes) -> Strategy:
    """Any of the candidates that were tried, each as likely: the mean over them, without the noise of a draw."""
    quality, cost = outcomes.quality.astype(np.float64), outcomes.cost.astype(np.float64)
    return Strategy(RANDOM, known_mean(quality, axis=1), known_mean(np.where(np.isnan(quality), np.nan, cost), axis=1))


def _oracle(outcomes: Outcomes) -> Strategy:
    """The best answer to each prompt, and of several best ones the cheapest."""
    quality, cost = outcomes.quality.astype(np.float64), outcomes.cost.astype(np.float64)
    known = np.where(np.isnan(quality), -np.inf, quality)
    return by_picks(ORACLE, outcomes, preferred(known, cost), EVALUATED, Expected(known, cost))


LEARNT: dict[str, Callable[[FrozenEmbedding, int], Scorer]] = {
    "knn": lambda embedding, seed: KnnScorer(embedding),
    "linear": lambda embedding, seed: LinearScorer(embedding),
    "clusters": ClustersScorer,
}
"""From an embedding, which they share, and a seed to an unfitted scorer."""


class RememberedEmbedding(FrozenEmbedding):
    """A frozen embedding that keeps readings as well: several baselines on several folds read each prompt once."""

    def __init__(self, encoder: str, max_tokens: int) -> None:
        super().__init__(encoder, max_tokens)
        self._readings: dict[str, tuple[FloatMatrix, int]] = {}

    def read(self, prompts: Sequence[str]) -> EncodedPrompts:
        new = list(dict.fromkeys(text for text in prompts if text not in self._readings))
        if new:
            reading = super().read(new)
            vectors = np.split(reading.vectors, reading.first[1:])
            self._readings.update(zip(new, zip(vectors, reading.tokens.tolist(), strict=True), strict=True))
        vectors = [self._readings[text][0] for text in prompts]
        counts = np.array([len(parts) for parts in vectors], dtype=np.int64)
        tokens = np.array([self._readings[text][1] for text in prompts], dtype=np.int64)
        return EncodedPrompts(np.concatenate(vectors), np.cumsum(counts) - counts, tokens)


def learnt_predictions(
    names: Sequence[str],
    outcomes: Outcomes,
    parts: Sequence[Part],
    params: FinetuningParams,
    seed: int,
    progress: Progress | None = None,
) -> dict[str, Predictions]:
    """For each name of LEARNT, what it predicts of every row after it was fitted on the part that is for that row."""
    embedding = RememberedEmbedding(params.encoder, params.max_tokens)
    found = {}
    for name in names:
        made = []
        for part, rows in parts:
            router = CalibratedRouter(LEARNT[name](embedding, seed))
            router.fit(replace(part, datasets=None), inner_folds(part, params.folds, seed))
            made.append((rows, router.predict([outcomes.prompts[i] for i in rows])))
            if progress:
                progress(name)
        found[name] = gathered(made)
    return found
