"""The facts of one evaluation on graded outcomes, as plain values: the router beside what every report shows.

All intervals are 95 % bootstrap intervals over prompts and come from one set of draws, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.evaluation.reference_strategies import (
    BEST_SINGLE,
    CHEAPEST,
    EVALUATED,
    ORACLE,
    TRAIN,
    Part,
    Strategy,
    baseline_rows,
    of_predictions,
)
from pipeline.evaluation.slices import Slice, dataset_slices, prompt_slices
from pipeline.metrics import cost_quality as m
from pipeline.metrics.bootstrap import Figure, Resampled, figure, short
from pipeline.metrics.candidate_means import known_mean
from pipeline.metrics.reliability import Reliability
from pipeline.routers.base.protocol import Predictions
from pipeline.runtime.arrays import Binary, Indices, Values

ROUTER = "router"
SWEPT = "swept on the evaluated prompts: optimistic"
BY_LAMBDA, BY_POLICY = "with the stored lambda, chosen in train", "by the stored policy"

Facts = dict[str, Any]
Strategies = dict[str, Strategy]


def outcome_report(
    predictions: Predictions,
    outcomes: Outcomes,
    learnt: Mapping[str, Predictions] | None = None,
    parts: Sequence[Part] | None = None,
) -> Facts:
    """Everything that is said of a router's predictions on the same outcomes.

    `learnt` are predictions of learnt baselines on the same prompts, by name. `parts` are the outcomes on which the
    best single candidate and its like are chosen; without them that is done on the evaluated prompts, and said.
    """
    chosen_in = EVALUATED if parts is None else TRAIN
    parts = parts or [(outcomes, np.arange(len(outcomes)))]
    strategies = strategies_of(predictions, outcomes, learnt or {}, parts, chosen_in)
    reference = int(np.bincount(_picks(strategies[BEST_SINGLE])).argmax())
    datasets = dataset_slices(outcomes)
    has_costs = CHEAPEST in strategies
    return {
        "kind": "outcomes",
        "prompts": len(outcomes),
        "candidates": len(outcomes.candidates),
        "tried_cells": round(float((~np.isnan(outcomes.quality)).mean()), 6),
        "best_single": outcomes.candidates[reference],
        "chosen_in": chosen_in,
        "untried_choices": strategies[ROUTER].untried,
        "metrics": _metrics(strategies, outcomes, reference, datasets),
        "swept": _swept(strategies, outcomes, {ROUTER: predictions, **(learnt or {})}) if has_costs else None,
        "pair": _pair(strategies, outcomes, reference),
        "accept": _accept(strategies, outcomes, reference),
        "datasets": _by_slice(strategies, datasets, len(outcomes)),
        "slices": _by_slice(strategies, prompt_slices(outcomes), len(outcomes)),
        "calibration": _calibration(strategies[ROUTER], outcomes),
    }


def strategies_of(
    predictions: Predictions,
    outcomes: Outcomes,
    learnt: Mapping[str, Predictions],
    parts: Sequence[Part],
    chosen_in: str,
) -> Strategies:
    """The router first, then what knows least, up to the oracle."""
    baselines = baseline_rows(outcomes, parts, chosen_in)
    oracle = baselines.pop(ORACLE)
    fitted = {name: of_predictions(name, found, outcomes, parts) for name, found in learnt.items()}
    return {ROUTER: of_predictions(ROUTER, predictions, outcomes, parts), **baselines, **fitted, ORACLE: oracle}


def _picks(strategy: Strategy) -> Indices:
    return np.zeros(0, np.int64) if strategy.picks is None else strategy.picks


def _metrics(strategies: Strategies, outcomes: Outcomes, reference: int, datasets: Sequence[Slice]) -> Facts:
    """For each strategy: means with intervals, paired differences, and on how many prompts they rest."""
    names, router, single = list(strategies), strategies[ROUTER], strategies[BEST_SINGLE]
    judge, quality = outcomes.quality[:, reference].astype(np.float64), outcomes.quality.astype(np.float64)
    columns: dict[tuple[str, str], Values] = {}
    for name, strategy in strategies.items():
        columns["quality", name] = strategy.quality
        columns["cost_usd", name] = strategy.cost
        columns["minus_best_single", name] = strategy.quality - single.quality
        columns["cost_minus_best_single", name] = strategy.cost - single.cost
        columns["router_minus_this", name] = router.quality - strategy.quality
        columns["accept_rate", name] = m.accepted(strategy.quality, judge)
        if strategy.picks is not None:
            columns["mean_rank", name] = m.ranks(quality, strategy.picks)
    means = Resampled.of(list(columns.values()))
    facts: dict[str, Facts] = {name: {} for name in names}
    for i, (what, name) in enumerate(columns):
        if not np.isnan(means.value[i]) and not _is_zero_by_definition(what, name):
            facts[name][what] = means.figure(i)
    place = {key: i for i, key in enumerate(columns)}
    for name in names:
        facts[name].setdefault("quality", figure(np.nan, np.zeros(0)))
        facts[name]["gap_closed"] = _gap_closed(means, place, name)
        facts[name] |= _grounds(strategies[name], outcomes.candidates)
    if len(datasets) > 1:
        over = Resampled.of([s.quality for s in strategies.values()], [part.rows for part in datasets])
        for i, name in enumerate(names):
            facts[name]["quality_over_datasets"] = over.figure(i)
    return facts


def _is_zero_by_definition(what: str, name: str) -> bool:
    return (what, name) == ("router_minus_this", ROUTER) or (what.endswith("minus_best_single") and name == BEST_SINGLE)


def _gap_closed(means: Resampled, place: Mapping[tuple[str, str], int], name: str) -> Figure:
    """The share of the gap between the best single candidate and the oracle that a strategy closes."""
    part, whole = place["minus_best_single", name], place["minus_best_single", ORACLE]
    nothing = np.zeros(1)
    value = m.gap_closed(means.value[[part]], nothing, means.value[[whole]])[0]
    return figure(value, m.gap_closed(means.draws[:, part], nothing, means.draws[:, whole]))


def _grounds(strategy: Strategy, candidates: Sequence[str]) -> Facts:
    """What a mean rests on: prompts with a known quality, choices never tried, and on what the choice was learnt."""
    facts: Facts = {"prompts": len(strategy.quality) - strategy.untried, "untried": strategy.untried}
    if np.isfinite(strategy.cost).any():
        facts["prompts_of_known_cost"] = int(np.isfinite(strategy.cost).sum())
    if strategy.chosen_in:
        facts["chosen_in"] = strategy.chosen_in
    choice = strategy.choice(candidates)
    return facts if choice is None else {**facts, "most_chosen": choice}


def _swept(strategies: Strategies, outcomes: Outcomes, routers: Mapping[str, Predictions]) -> Facts:
    """Quality for cost: frontiers over lambda, their areas, and what they reach at fixed costs and qualities.

    These are swept on the prompts that they are judged on; beside them stands what a lambda chosen in train gets.
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

    def row(front: m.Curve) -> Facts:
        return {
            "aiq": rounded(m.aiq(front, low, high)),
            "quality_at_half_of_best_single": rounded(m.quality_at(front, spent / 2)),
            "quality_at_half_of_dearest": rounded(m.quality_at(front, high / 2)),
            "cost_to_match_best_single": rounded(m.cost_to_match(front, wanted)),
            "frontier": _points(front),
        }

    points = {
        name: _operating_point(found.operating, outcomes, single)
        for name, found in routers.items()
        if found.operating is not None
    }
    stored = {"label": BY_POLICY, **_means(strategies[ROUTER])}
    return {
        "label": SWEPT,
        "cost_from": rounded(low),
        "cost_to": rounded(high),
        "half_of_best_single": rounded(spent / 2),
        "half_of_dearest": rounded(high / 2),
        "operating_point": points.get(ROUTER, stored),
        "operating_points": points,
        "candidates": [
            {"candidate": name, "cost_usd": rounded(singles.cost[c]), "quality": rounded(singles.quality[c])}
            for c, name in enumerate(outcomes.candidates)
        ],
        "rows": {name: row(front) for name, front in fronts.items()},
    }


def _operating_point(chosen: Binary, outcomes: Outcomes, single: Strategy) -> Facts:
    """What a choice by a lambda of train got, and how far above the best single candidate; rows of none left out."""
    some, picks = chosen.any(axis=1), chosen.argmax(axis=1)
    quality, cost = (np.where(some, m.taken(values, picks), np.nan) for values in (outcomes.quality, outcomes.cost))
    point = Strategy("", quality, cost, picks)
    above = Resampled.of([quality - single.quality, cost - single.cost])
    differences = {"minus_best_single": above.figure(0), "cost_minus_best_single": above.figure(1)}
    return {"label": BY_LAMBDA, **_means(point), **differences}


def _means(strategy: Strategy) -> Facts:
    quality, cost = float(known_mean(strategy.quality)), float(known_mean(strategy.cost))
    return {"cost_usd": rounded(cost), "quality": rounded(quality)}


def _points(front: m.Curve) -> list[Facts]:
    return [{"cost_usd": rounded(x), "quality": rounded(y)} for x, y in zip(front.cost, front.quality, strict=True)]


def _pair(strategies: Strategies, outcomes: Outcomes, strong: int) -> Facts | None:
    """APGR, CPT(50) and CPT(80) between the best single candidate and the other one, or the cheapest of several.

    `share_of_strong` is what the stored policy made of it: the share of prompts that went to the strong one.
    """
    if len(outcomes.candidates) == 2:
        weak = 1 - strong
    elif CHEAPEST in strategies:
        weak = int(np.bincount(_picks(strategies[CHEAPEST])).argmax())
    else:
        return None
    if weak == strong:
        return None
    quality = outcomes.quality.astype(np.float64)

    def row(strategy: Strategy, expected: Values) -> Facts | None:
        need = np.where(np.isfinite(expected[:, [strong, weak]]).all(axis=1), expected[:, strong], np.nan)
        curve = m.recovered(m.pair_curve(need - expected[:, weak], quality[:, weak], quality[:, strong]))
        if curve is None:
            return None
        return {
            "apgr": rounded(curve.area),
            "cpt_50": rounded(curve.share_for(0.5)),
            "cpt_80": rounded(curve.share_for(0.8)),
            "share_of_strong": rounded(float((_picks(strategy) == strong).mean())),
        }

    both = ~np.isnan(quality[:, [weak, strong]]).any(axis=1)
    rows = {name: row(s, s.expected.quality) for name, s in _routers(strategies).items() if s.expected is not None}
    return {
        "weak": outcomes.candidates[weak],
        "strong": outcomes.candidates[strong],
        "prompts": int(both.sum()),
        "quality_weak": rounded(float(known_mean(quality[both, weak]))),
        "quality_strong": rounded(float(known_mean(quality[both, strong]))),
        "label": SWEPT,
        "rows": {name: value for name, value in rows.items() if value is not None},
    }


def _routers(strategies: Strategies) -> Strategies:
    return {name: s for name, s in strategies.items() if s.expected is not None and name != ORACLE}


def _accept(strategies: Strategies, outcomes: Outcomes, reference: int) -> Facts:
    """The accept rate's area over the share of prompts that go to the reference candidate."""
    if len(outcomes.candidates) < 2:
        return {"reference": outcomes.candidates[reference], "tie": m.TIE, "label": SWEPT, "area": {}}
    quality = outcomes.quality.astype(np.float64)
    areas = {
        name: rounded(m.accept_curve(s.expected.quality, quality, reference).area)
        for name, s in _routers(strategies).items()
        if s.expected is not None
    }
    return {"reference": outcomes.candidates[reference], "tie": m.TIE, "label": SWEPT, "area": areas}


def _by_slice(strategies: Strategies, slices: Sequence[Slice], prompts: int) -> list[Facts]:
    """For each slice the strategies' means, and how far the router is from the best single candidate there."""
    if not slices:
        return []
    difference = strategies[ROUTER].quality - strategies[BEST_SINGLE].quality
    columns = []
    for part in slices:
        column = np.full(prompts, np.nan)
        column[part.rows] = difference[part.rows]
        columns.append(column)
    means = Resampled.of(columns)
    return [
        {
            "kind": part.kind,
            "name": part.name,
            "prompts": len(part.rows),
            "quality": {name: rounded(float(known_mean(s.quality[part.rows]))) for name, s in strategies.items()},
            "router_minus_best_single": means.figure(i),
        }
        for i, part in enumerate(slices)
    ]


def _calibration(router: Strategy, outcomes: Outcomes) -> Facts:
    """Expected against observed quality: of all cells that were tried, and of those that were chosen."""
    assert router.expected is not None
    quality, expected = outcomes.quality.astype(np.float64), router.expected.quality
    cells = {
        "all": Reliability.of(expected, quality),
        "chosen": Reliability.of(m.taken(expected, _picks(router)), router.quality),
    }
    return {
        name: {"error": rounded(found.error()), "error_interval": found.error_figure(), "bins": found.table()}
        for name, found in cells.items()
    }


def rounded(value: float) -> float | None:
    """A value as reports give it; None where it is not known."""
    return short(value) if np.isfinite(value) else None
