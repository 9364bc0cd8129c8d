"""What is swept on the evaluated prompts: quality for cost over lambda, a weak and a strong candidate, acceptance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.evaluation.outcome_facts import (
    BY_LAMBDA,
    BY_POLICY,
    SWEPT,
    AcceptRates,
    CandidatePoint,
    OperatingPoint,
    Pair,
    PairFigures,
    Point,
    Swept,
    SweptFigures,
    Verdicts,
)
from pipeline.evaluation.reference_strategies import BEST_SINGLE, CHEAPEST, ORACLE, Strategies, Strategy
from pipeline.metrics import cost_quality as m
from pipeline.metrics.bootstrap import Resampled, six_digits
from pipeline.metrics.candidate_means import known_mean
from pipeline.metrics.holdout_figures import ROUTER
from pipeline.routers.base.protocol import Predictions
from pipeline.runtime.arrays import Binary, Values


def swept_figures(strategies: Strategies, outcomes: Outcomes, routers: Mapping[str, Predictions]) -> Swept:
    """Quality for cost: frontiers over lambda, their areas, and what they reach at fixed costs and qualities.

    These are swept on the prompts that they are evaluated on; beside them stands what a lambda chosen in train gets.
    """
    quality, cost = outcomes.quality.astype(np.float64), outcomes.cost.astype(np.float64)
    singles = m.Curve(known_mean(cost, axis=0), known_mean(quality, axis=0))
    low, high = float(np.nanmin(singles.cost)), float(np.nanmax(singles.cost))
    single = strategies[BEST_SINGLE]
    spent, wanted = float(known_mean(single.cost)), float(known_mean(single.quality))
    fronts = {
        name: m.frontier(m.sweep(s.expected.quality, s.expected.cost, quality, cost))
        for name, s in strategies.items()
        if s.expected is not None
    }
    fronts["single_candidates"] = m.frontier(singles)

    def row(front: m.Curve) -> SweptFigures:
        return SweptFigures(
            aiq=six_digits(m.aiq(front, low, high)),
            quality_at_half_of_best_single=six_digits(m.quality_at(front, spent / 2)),
            quality_at_half_of_dearest=six_digits(m.quality_at(front, high / 2)),
            cost_to_match_best_single=six_digits(m.cost_to_match(front, wanted)),
            frontier=tuple(
                Point(six_digits(cost), six_digits(level))
                for cost, level in zip(front.cost, front.quality, strict=True)
            ),
        )

    points = {
        name: _operating_point(found.operating, outcomes, single)
        for name, found in routers.items()
        if found.operating is not None
    }
    return Swept(
        label=SWEPT,
        cost_from=six_digits(low),
        cost_to=six_digits(high),
        half_of_best_single=six_digits(spent / 2),
        half_of_dearest=six_digits(high / 2),
        operating_point=points.get(ROUTER) or OperatingPoint(BY_POLICY, *_means(strategies[ROUTER])),
        operating_points=points,
        candidates=tuple(
            CandidatePoint(name, six_digits(singles.cost[c]), six_digits(singles.quality[c]))
            for c, name in enumerate(outcomes.candidates)
        ),
        rows={name: row(front) for name, front in fronts.items()},
    )


def _operating_point(chosen: Binary, outcomes: Outcomes, single: Strategy) -> OperatingPoint:
    """What a choice by a lambda of train got, and how far above the best single candidate; rows of none left out."""
    some, picks = chosen.any(axis=1), chosen.argmax(axis=1)
    quality, cost = (np.where(some, m.taken(values, picks), np.nan) for values in (outcomes.quality, outcomes.cost))
    above = Resampled.of([quality - single.quality, cost - single.cost])
    point = Strategy("", quality, cost, picks)
    return OperatingPoint(BY_LAMBDA, *_means(point), above.estimate(0), above.estimate(1))


def _means(strategy: Strategy) -> tuple[float, float]:
    """Mean cost and mean quality, as reports give them."""
    return six_digits(float(known_mean(strategy.cost))), six_digits(float(known_mean(strategy.quality)))


def pair_figures(strategies: Strategies, outcomes: Outcomes, strong: int) -> Pair | None:
    """APGR, CPT(50) and CPT(80) between the best single candidate and the other one, or the cheapest of several.

    `share_of_strong` is what the stored policy made of it: the share of prompts that went to the strong one.
    """
    if len(outcomes.candidates) == 2:
        weak = 1 - strong
    elif CHEAPEST in strategies:
        weak = int(np.bincount(strategies[CHEAPEST].picked).argmax())
    else:
        return None
    if weak == strong:
        return None
    quality = outcomes.quality.astype(np.float64)

    def row(strategy: Strategy, expected: Values) -> PairFigures | None:
        need = np.where(np.isfinite(expected[:, [strong, weak]]).all(axis=1), expected[:, strong], np.nan)
        curve = m.recovered(m.pair_curve(need - expected[:, weak], quality[:, weak], quality[:, strong]))
        if curve is None:
            return None
        return PairFigures(
            apgr=six_digits(curve.area),
            cpt_50=six_digits(curve.share_for(0.5)),
            cpt_80=six_digits(curve.share_for(0.8)),
            share_of_strong=six_digits(float((strategy.picked == strong).mean())),
        )

    both = ~np.isnan(quality[:, [weak, strong]]).any(axis=1)
    rows = {name: row(s, s.expected.quality) for name, s in _routers(strategies).items() if s.expected is not None}
    return Pair(
        weak=outcomes.candidates[weak],
        strong=outcomes.candidates[strong],
        prompts=int(both.sum()),
        quality_weak=six_digits(float(known_mean(quality[both, weak]))),
        quality_strong=six_digits(float(known_mean(quality[both, strong]))),
        label=SWEPT,
        rows={name: found for name, found in rows.items() if found is not None},
    )


def _routers(strategies: Strategies) -> Strategies:
    """The strategies that expect something of each cell without knowing the outcome."""
    return {name: s for name, s in strategies.items() if s.expected is not None and name != ORACLE}


def accept_rates(strategies: Strategies, outcomes: Outcomes, reference: int) -> AcceptRates:
    """The accept rate's area over the share of prompts that go to the reference candidate, and the counts behind it."""
    picked = {name: s for name, s in strategies.items() if s.picks is not None}
    against = {name: verdicts(s.quality, s.cost, outcomes, reference) for name, s in picked.items()}
    if len(outcomes.candidates) < 2:
        return AcceptRates(outcomes.candidates[reference], m.TIE, SWEPT, {}, against)
    quality = outcomes.quality.astype(np.float64)
    areas = {
        name: six_digits(m.accept_curve(s.expected.quality, quality, reference).area)
        for name, s in _routers(strategies).items()
        if s.expected is not None
    }
    return AcceptRates(outcomes.candidates[reference], m.TIE, SWEPT, areas, against)


def verdicts(quality: Values, cost: Values, outcomes: Outcomes, reference: int) -> Verdicts:
    """Of what was chosen on each prompt, quality and cost float64 [n], against the reference candidate's there."""
    other = outcomes.quality[:, reference].astype(np.float64)
    known = np.isfinite(quality) & np.isfinite(other)
    wins = int(m.beats(quality, other).sum())
    losses = int(m.beats(other, quality).sum())
    paid = np.isfinite(cost) & np.isfinite(outcomes.cost[:, reference])
    usual = float(known_mean(outcomes.cost[paid, reference].astype(np.float64)))
    relative = float(known_mean(cost[paid])) / usual if usual > 0 else float("nan")
    return Verdicts(wins, int(known.sum()) - wins - losses, losses, six_digits(relative))
