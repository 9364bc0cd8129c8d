"""One model, a mixture or a router: what a table of outcomes speaks for, and how surely.

Everything is cross-validated: the best single candidate, the mixture's two candidates and the router are chosen
without the rows on which they are compared. A mixture sends each prompt to one of two candidates at random; what is
compared is the mean of that draw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.evaluation.recommendation_text import (
    ChoiceFigures,
    ComparedChoices,
    Difference,
    EqualDifference,
    MixtureFigures,
    QualityDifference,
    Recommendation,
    usd,
    verdict,
)
from pipeline.evaluation.reference_strategies import (
    BEST_PER_DATASET,
    TRAIN,
    Part,
    Strategy,
    baseline_rows,
    by_picks,
    of_predictions,
)
from pipeline.metrics import cost_quality as m
from pipeline.metrics.bootstrap import Estimate, Resampled, six_digits
from pipeline.metrics.candidate_means import known_mean, mean_quality_and_cost
from pipeline.metrics.preference import affordable, preferred
from pipeline.routers.base.protocol import Predictions
from pipeline.runtime.arrays import Indices, Values
from pipeline.runtime.errors import InputError


@dataclass(frozen=True)
class Mixture:
    """The cheaper and the dearer of two neighbours on the train hull, which may differ from fold to fold."""

    cheaper: Strategy
    dearer: Strategy


def parts_of(outcomes: Outcomes, folds: Indices) -> list[Part]:
    """For each fold the outcomes outside it, and its rows."""
    return [(outcomes.rows(np.flatnonzero(folds != fold)), np.flatnonzero(folds == fold)) for fold in np.unique(folds)]


def recommend(
    outcomes: Outcomes, parts: Sequence[Part], routers: Mapping[str, Predictions], budget: float | None = None
) -> Recommendation:
    """Compare the best single candidate, a mixture of two and the routers; `sentence` says what to do.

    `routers` are cross-validated predictions by name, over the same folds as `parts`. `budget` is the most that a
    prompt may cost on average, in USD: then lambda, too, is chosen outside the fold that it is used on.

    Raises:
        InputError: a budget without costs, or below the cheapest candidate.
    """
    if budget is not None:
        require_affordable(outcomes, parts, budget)
    has_costs = _has_costs(parts)
    rows = baseline_rows(outcomes, parts, TRAIN)
    fitted = {name: of_predictions(name, found, outcomes, parts) for name, found in routers.items()}
    if budget is not None:
        fitted = {name: _least_lambda(found, outcomes, parts, budget) for name, found in fitted.items()}
    router, used = _best_elsewhere(fitted, outcomes, parts)
    single = _single(outcomes, parts, budget)
    mixture = _mixture(router, outcomes, parts) if has_costs else None
    if budget is not None and mixture is not None:
        mixture = _within_budget(mixture, router, single, outcomes, parts, budget)
    compared = ComparedChoices(
        prompts=len(outcomes),
        candidates=len(outcomes.candidates),
        folds=len(parts),
        budget_usd=budget,
        router=used,
        best_single=single.choice(outcomes.candidates),
        rows=_rows({"router": router, **fitted, **rows, "best_single": single}),
        router_minus_best_single=_difference(router, single),
        mixture=mixture,
        router_minus_best_per_dataset=_difference(router, rows[BEST_PER_DATASET]) if BEST_PER_DATASET in rows else None,
        has_one_router=len(fitted) == 1,
        single_varies=single.picks is not None and len(np.unique(single.picks)) > 1,
    )
    found, sentence = verdict(compared)
    return Recommendation(**vars(compared), verdict=found, sentence=sentence)


def _has_costs(parts: Sequence[Part]) -> bool:
    """Whether some candidate was tried often enough, and its cost is known, in each part."""
    means = (mean_quality_and_cost(part) for part, _ in parts)
    return all((np.isfinite(level) & np.isfinite(price)).any() for level, price in means)


def require_affordable(outcomes: Outcomes, parts: Sequence[Part], budget: float) -> None:
    """Raises InputError where no candidate costs at most the budget, or no costs are known; asks no router."""
    if not _has_costs(parts):
        raise InputError(
            "--budget needs costs, and the table has none; add a column 'cost', name the agents' with --agents "
            "agents.yaml, or leave --budget out"
        )
    least = max(float(np.nanmin(mean_quality_and_cost(part)[1])) for part, _ in parts)
    if not affordable(least, budget):
        name = outcomes.candidates[int(np.nanargmin(mean_quality_and_cost(outcomes)[1]))]
        raise InputError(f"no candidate costs at most {usd(budget)} a prompt; the cheapest, {name}, costs {usd(least)}")


# --- the three ways ---------------------------------------------------------------------------------------------


def _best_elsewhere(fitted: Mapping[str, Strategy], outcomes: Outcomes, parts: Sequence[Part]) -> tuple[Strategy, str]:
    """On each fold the router that did best on the other folds; and the name of the one that is best over all."""
    names = list(fitted)
    picks, inside = np.zeros(len(outcomes), dtype=np.int64), np.zeros(len(outcomes), dtype=np.bool_)
    for _, rows in parts:
        inside[:] = False
        inside[rows] = True
        level = [np.nan_to_num(known_mean(fitted[name].quality[~inside]), nan=-np.inf) for name in names]
        chosen = fitted[names[int(np.argmax(level))]].picks
        assert chosen is not None
        picks[rows] = chosen[rows]
    best = names[int(np.argmax([np.nan_to_num(known_mean(fitted[name].quality), nan=-np.inf) for name in names]))]
    return by_picks(best, outcomes, picks, TRAIN), best


def _least_lambda(router: Strategy, outcomes: Outcomes, parts: Sequence[Part], budget: float) -> Strategy:
    """The router at the least lambda that kept within the budget on the other folds."""
    assert router.expected is not None
    priced = np.isfinite(router.expected.cost)
    expected = np.where(priced, router.expected.quality, -np.inf)
    cost = np.where(priced, router.expected.cost, 0.0)
    picks, pending = np.zeros(len(outcomes), dtype=np.int64), {i: rows for i, (_, rows) in enumerate(parts)}
    for rate in m.willingness(np.where(priced, cost, np.nan)):
        best = preferred(expected - rate * cost, router.expected.cost)
        spent = m.taken(outcomes.cost, best)
        for i, rows in list(pending.items()):
            picks[rows] = best[rows]
            if affordable(known_mean(np.delete(spent, rows)), budget):
                del pending[i]
        if not pending:
            break
    return by_picks(router.name, outcomes, picks, TRAIN, router.expected)


def _single(outcomes: Outcomes, parts: Sequence[Part], budget: float | None) -> Strategy:
    """The best candidate outside each fold, of those within the budget."""
    picks = np.zeros(len(outcomes), dtype=np.int64)
    for part, rows in parts:
        quality, cost = mean_quality_and_cost(part)
        open_to = np.ones(len(cost), np.bool_) if budget is None else affordable(cost, budget)
        picks[rows] = int(preferred(np.where(open_to, quality, -np.inf), cost))
    return by_picks("best_single", outcomes, picks, TRAIN)


def _neighbours(part: Outcomes, cost: float = np.nan, quality: float = np.nan) -> tuple[int, int, float]:
    """The two candidates of a part's hull around a cost or a quality, and the share of the dearer one."""
    level, price = mean_quality_and_cost(part)
    usable = np.isfinite(level) & np.isfinite(price)
    front = m.frontier(m.Curve(np.where(usable, price, np.nan), np.where(usable, level, np.nan)))
    columns = [
        int(np.flatnonzero((price == x) & (level == y))[0]) for x, y in zip(front.cost, front.quality, strict=True)
    ]
    axis, wanted = (front.cost, cost) if np.isfinite(cost) else (front.quality, quality)
    if len(columns) == 1:
        return columns[0], columns[0], 0.0
    right = int(np.clip(np.searchsorted(axis, wanted), 1, len(axis) - 1))
    share = float(np.clip((wanted - axis[right - 1]) / (axis[right] - axis[right - 1]), 0.0, 1.0))
    return columns[right - 1], columns[right], share


def _mixed(outcomes: Outcomes, parts: Sequence[Part], **wanted: float) -> tuple[Mixture, Values]:
    """The mixture around a wanted cost or quality, and on each row the dearer candidate's share by the train means."""
    picks = np.zeros((2, len(outcomes)), dtype=np.int64)
    share = np.zeros(len(outcomes))
    for part, rows in parts:
        picks[0, rows], picks[1, rows], share[rows] = _neighbours(part, **wanted)
    return Mixture(by_picks("cheaper", outcomes, picks[0]), by_picks("dearer", outcomes, picks[1])), share


def _at_budget(outcomes: Outcomes, parts: Sequence[Part], budget: float) -> Strategy:
    """What is expected of the mixture whose train means cost the budget."""
    mixture, share = _mixed(outcomes, parts, cost=budget)
    quality = (1 - share) * mixture.cheaper.quality + share * mixture.dearer.quality
    return Strategy("mixture", quality, (1 - share) * mixture.cheaper.cost + share * mixture.dearer.cost, None, TRAIN)


# --- comparing --------------------------------------------------------------------------------------------------


def _rows(strategies: Mapping[str, Strategy]) -> dict[str, ChoiceFigures]:
    """Quality and cost of each way of choosing, with intervals, and on how many prompts they rest."""
    means = Resampled.of([column for s in strategies.values() for column in (s.quality, s.cost)])
    return {
        name: ChoiceFigures(means.share(2 * i), means.estimate(2 * i + 1), len(s.quality) - s.untried, s.untried)
        for i, (name, s) in enumerate(strategies.items())
    }


def _difference(left: Strategy, right: Strategy) -> Difference:
    """Left minus right on the prompts where both are known, with the share of resamples in which it is above 0."""
    means = Resampled.of([left.quality - right.quality, left.cost - right.cost])
    above = float((means.draws[:, 0] > 0).mean())
    return Difference(
        QualityDifference(**vars(means.estimate(0)), share_of_resamples_above_0=above),
        means.estimate(1),
        int((~np.isnan(left.quality - right.quality)).sum()),
    )


def _mixture(router: Strategy, outcomes: Outcomes, parts: Sequence[Part]) -> MixtureFigures:
    """The router beside the mixture that costs as much on the same prompts, and the one that is as good."""
    spent, got = float(known_mean(router.cost)), float(known_mean(router.quality))
    (by_cost, share), (by_quality, _) = _mixed(outcomes, parts, cost=spent), _mixed(outcomes, parts, quality=got)
    highest = min(float(mean_quality_and_cost(part)[0].max()) for part, _ in parts)
    return MixtureFigures(
        cheaper=by_cost.cheaper.choice(outcomes.candidates),
        dearer=by_cost.dearer.choice(outcomes.candidates),
        share_of_dearer=six_digits(share.mean()),
        router_minus_mixture_at_equal_cost=_at_equal(router, by_cost, "cost"),
        router_minus_mixture_at_equal_quality_usd=_at_equal(router, by_quality, "quality") if got <= highest else None,
    )


def _within_budget(
    found: MixtureFigures, router: Strategy, single: Strategy, outcomes: Outcomes, parts: Sequence[Part], budget: float
) -> MixtureFigures:
    """The same comparisons with the mixture that is shown being the one that costs the budget."""
    shown, share = _mixed(outcomes, parts, cost=budget)
    mixed = _at_budget(outcomes, parts, budget)
    return replace(
        found,
        cheaper=shown.cheaper.choice(outcomes.candidates),
        dearer=shown.dearer.choice(outcomes.candidates),
        share_of_dearer=six_digits(share.mean()),
        router_minus_mixture_at_budget=_difference(router, mixed),
        minus_best_single=_difference(mixed, single),
    )


def _at_equal(router: Strategy, mixture: Mixture, equal: str) -> EqualDifference | None:
    """Router minus mixture in quality (or in cost), the mixture's share making the other one equal in each draw.

    None where no prompt has all six figures.
    """
    fixed, free = ("cost", "quality") if equal == "cost" else ("quality", "cost")
    ways = (router, mixture.cheaper, mixture.dearer)
    columns = [getattr(way, axis) for axis in (fixed, free) for way in ways]
    common = np.isfinite(np.stack(columns)).all(axis=0)
    if not common.any():
        return None
    means = Resampled.of([np.where(common, column, np.nan) for column in columns])

    def apart(x: Values) -> Values:
        wanted, low, high, here, cheap, dear = (x[..., i] for i in range(6))
        span = np.where(np.abs(high - low) > 1e-12, high - low, np.nan)
        share = np.where(np.isnan(span), 0.0, np.clip((wanted - low) / span, 0.0, 1.0))
        return np.asarray(here - (cheap + share * (dear - cheap)))

    found = Estimate.of(float(apart(means.value)), apart(means.draws))
    return EqualDifference(**vars(found), prompts=int(common.sum()))
