"""The paper's decider with a theta that is chosen in train, and pools of candidates along the price ladder.

TagRouter's decider (arXiv 2506.12473): where the strong model leads, the cheaper one is taken when the gap of their
scores is under theta. Of more than two, the cheapest of those within theta of the leader.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.data.prices import Prices
from pipeline.evaluation.reference_strategies import by_picks
from pipeline.evaluation.swept import verdicts
from pipeline.metrics.candidate_means import known_mean
from pipeline.metrics.cost_quality import accepted
from pipeline.metrics.preference import preferred
from pipeline.runtime.arrays import Indices, Values
from pipeline.runtime.errors import InputError

LEAST_ACCEPT_RATE = 0.95
"""What an operating point has to reach on the prompts that it is chosen on.

The highest accept rate would always choose the reference itself, which is accepted by definition.
"""
STEPS = 200
_SAME = 1e-9


@dataclass(frozen=True)
class Scored:
    """What a router thinks of each cell of a table, and what the decider knows besides.

    `scores` are float64 [n, c] on any scale, `price` float64 [n, c] in USD as known in train; `reference` is a column.
    """

    outcomes: Outcomes
    scores: Values
    price: Values
    reference: int

    def rows(self, index: Indices) -> Scored:
        return replace(self, outcomes=self.outcomes.rows(index), scores=self.scores[index], price=self.price[index])

    def decided(self, theta: float) -> Indices:
        """In each row the cheapest candidate whose score lies at most theta below the leader's."""
        return preferred(np.where(self._gaps <= theta + _SAME, 0.0, -np.inf), self.price)

    def thetas(self, steps: int = STEPS) -> Values:
        """0, then evenly spaced quantiles of how far those behind the leader lie: from it alone to the cheapest."""
        behind = np.sort(self._gaps, axis=1)[:, 1:]
        return np.unique(np.append(0.0, np.quantile(behind, np.linspace(0.0, 1.0, steps + 1))))

    @property
    def _gaps(self) -> Values:
        return np.asarray(self.scores.max(axis=1, keepdims=True) - self.scores)


@dataclass(frozen=True)
class ThetaPoint:
    """What a theta gets: share of prompts to the reference, accept rate, mean cost as a multiple of the reference's."""

    theta: float
    share: float
    accept_rate: float
    relative_cost: float


def theta_points(scored: Scored, thetas: Iterable[float]) -> list[ThetaPoint]:
    """A point for each theta, on these rows."""
    other = scored.outcomes.quality[:, scored.reference].astype(np.float64)
    points = []
    for theta in thetas:
        picks = scored.decided(theta)
        got = by_picks("", scored.outcomes, picks)
        points.append(
            ThetaPoint(
                float(theta),
                float((picks == scored.reference).mean()),
                float(known_mean(accepted(got.quality, other))),
                verdicts(got.quality, got.cost, scored.outcomes, scored.reference).relative_cost,
            )
        )
    return points


def chosen_theta(scored: Scored, least: float = LEAST_ACCEPT_RATE) -> float:
    """The theta of least cost whose accept rate on these rows reaches `least`; where none does, that of the highest."""
    points = theta_points(scored, scored.thetas())
    enough = [point for point in points if point.accept_rate >= least]
    if not enough:
        highest = max(point.accept_rate for point in points)
        enough = [point for point in points if point.accept_rate == highest]
    return min(enough, key=lambda point: point.relative_cost).theta


def operating_picks(scored: Scored) -> tuple[Indices, Values]:
    """What each row gets by a theta that was chosen on the rows of all other folds; and each fold's theta.

    The other folds' scores are held out, too, by routers that learnt from this fold among others: of its outcomes no
    more than one number can have come through.
    """
    folds = scored.outcomes.folds
    if folds is None or len(np.unique(folds)) < 2:
        raise InputError("an operating point is chosen on other folds; give a table with 2 or more in a column 'fold'")
    picks, thetas = np.zeros(len(folds), np.int64), []
    for fold in np.unique(folds):
        thetas.append(chosen_theta(scored.rows(np.flatnonzero(folds != fold))))
        here = np.flatnonzero(folds == fold)
        picks[here] = scored.rows(here).decided(thetas[-1])
    return picks, np.array(thetas)


def price_ladder(candidates: Sequence[str], prices: Prices) -> tuple[str, ...]:
    """Candidates from the cheapest by list price (USD per million tokens in and out, together); of equals by name.

    No outcome has a say in it.
    """
    both = {
        name: price.usd_per_million_in + price.usd_per_million_out
        for name, price in ((name, prices.of(name)) for name in candidates)
    }
    return tuple(sorted(candidates, key=lambda name: (both[name], name)))


def pools(ladder: Sequence[str], pair: Sequence[str], sizes: Iterable[int]) -> list[tuple[str, ...]]:
    """For 2 the pair, else so many evenly over the ladder, both ends among them.

    Raises:
        InputError: the table lacks one of the pair, or has fewer candidates than a pool is to have.
    """
    made = []
    for size in sizes:
        if missing := [name for name in pair if size == len(pair) and name not in ladder]:
            raise InputError(f"the table has no candidate '{missing[0]}'; name two that it has with --pair")
        if not 2 <= size <= len(ladder):
            raise InputError(f"a pool of {size}: the table has {len(ladder)} candidates; ask for 2 to {len(ladder)}")
        steps = np.linspace(0, len(ladder) - 1, size).round().astype(int)
        made.append(tuple(pair) if size == len(pair) else tuple(ladder[step] for step in steps))
    return made
