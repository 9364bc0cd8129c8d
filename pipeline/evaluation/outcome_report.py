"""One evaluation on graded outcomes: the router beside what every report shows.

All intervals are 95 % bootstrap intervals over prompts and come from one set of draws, so that differences are paired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.evaluation.outcome_facts import (
    CalibrationFigures,
    OutcomeReport,
    SliceFigures,
    StrategyFigures,
)
from pipeline.evaluation.reference_strategies import (
    BEST_SINGLE,
    CHEAPEST,
    EVALUATED,
    ORACLE,
    TRAIN,
    Part,
    Strategies,
    Strategy,
    baseline_rows,
    of_predictions,
)
from pipeline.evaluation.slices import Slice, dataset_slices, prompt_slices
from pipeline.evaluation.swept import accept_rates, pair_figures, swept_figures
from pipeline.metrics import cost_quality as m
from pipeline.metrics.bootstrap import Estimate, Resampled, six_decimals, six_digits
from pipeline.metrics.candidate_means import known_mean
from pipeline.metrics.holdout_figures import ROUTER
from pipeline.metrics.reliability import Reliability
from pipeline.routers.base.protocol import Predictions
from pipeline.runtime.arrays import Values


def outcome_report(
    predictions: Predictions,
    outcomes: Outcomes,
    learnt: Mapping[str, Predictions] | None = None,
    parts: Sequence[Part] | None = None,
) -> OutcomeReport:
    """Everything that is said of a router's predictions on the same outcomes.

    `learnt` are predictions of learnt baselines on the same prompts, by name. `parts` are the outcomes on which the
    best single candidate and its like are chosen; without them that is done on the evaluated prompts, and said.
    """
    chosen_in = EVALUATED if parts is None else TRAIN
    parts = parts or [(outcomes, np.arange(len(outcomes)))]
    strategies = strategies_of(predictions, outcomes, learnt or {}, parts, chosen_in)
    reference = int(np.bincount(strategies[BEST_SINGLE].picked).argmax())
    datasets = dataset_slices(outcomes)
    routers = {ROUTER: predictions, **(learnt or {})}
    return OutcomeReport(
        kind="outcomes",
        prompts=len(outcomes),
        candidates=len(outcomes.candidates),
        tried_cells=six_decimals((~np.isnan(outcomes.quality)).mean()),
        best_single=outcomes.candidates[reference],
        chosen_in=chosen_in,
        untried_choices=strategies[ROUTER].untried,
        metrics=_metrics(strategies, outcomes, reference, datasets),
        swept=swept_figures(strategies, outcomes, routers) if CHEAPEST in strategies else None,
        pair=pair_figures(strategies, outcomes, reference),
        accept=accept_rates(strategies, outcomes, reference),
        datasets=_by_slice(strategies, datasets, len(outcomes)),
        slices=_by_slice(strategies, prompt_slices(outcomes), len(outcomes)),
        calibration=_calibration(strategies[ROUTER], outcomes),
    )


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


def _metrics(
    strategies: Strategies, outcomes: Outcomes, reference: int, datasets: Sequence[Slice]
) -> dict[str, StrategyFigures]:
    """For each strategy: means with intervals, paired differences, and on how many prompts they rest."""
    columns = {
        (name, what): column
        for name, strategy in strategies.items()
        for what, column in _columns(strategy, strategies, outcomes, reference).items()
    }
    means, place = Resampled.of(list(columns.values())), {key: i for i, key in enumerate(columns)}
    known = {
        key: means.share(i) if key[1] in _SHARES else means.estimate(i)
        for key, i in place.items()
        if not _is_zero_by_definition(*key)
    }
    over: dict[str, Estimate] = {}
    if len(datasets) > 1:
        by_set = Resampled.of([s.quality for s in strategies.values()], [part.rows for part in datasets])
        over = {name: by_set.share(i) for i, name in enumerate(strategies)}
    return {
        name: StrategyFigures(
            **{what: found for (owner, what), found in known.items() if owner == name},
            gap_closed=_gap_closed(means, place[name, _ABOVE], place[ORACLE, _ABOVE]),
            prompts=len(strategy.quality) - strategy.untried,
            untried=strategy.untried,
            prompts_of_known_cost=int(np.isfinite(strategy.cost).sum()) or None,
            chosen_in=strategy.chosen_in or None,
            most_chosen=strategy.choice(outcomes.candidates),
            quality_over_datasets=over.get(name),
        )
        for name, strategy in strategies.items()
    }


_ABOVE, _SHARES = "minus_best_single", ("quality", "accept_rate")


def _columns(strategy: Strategy, others: Strategies, outcomes: Outcomes, reference: int) -> dict[str, Values]:
    """What is averaged of one strategy, float64 [n] each, by the name that its mean has in `StrategyFigures`."""
    single, quality = others[BEST_SINGLE], outcomes.quality.astype(np.float64)
    columns = {
        "quality": strategy.quality,
        "cost_usd": strategy.cost,
        _ABOVE: strategy.quality - single.quality,
        "cost_minus_best_single": strategy.cost - single.cost,
        "router_minus_this": others[ROUTER].quality - strategy.quality,
    }
    if strategy.picks is None:
        return columns
    accepted = m.accepted(strategy.quality, quality[:, reference])
    return {**columns, "accept_rate": accepted, "mean_rank": m.ranks(quality, strategy.picks)}


def _is_zero_by_definition(name: str, what: str) -> bool:
    """Whether a difference is one of a strategy from itself."""
    return (name, what) == (ROUTER, "router_minus_this") or (name == BEST_SINGLE and what.endswith(_ABOVE))


def _gap_closed(means: Resampled, part: int, whole: int) -> Estimate:
    """The share of the gap between the best single candidate and the oracle that a strategy closes.

    From the columns of what both are above the best single candidate by. A ratio of means: each resample has its own
    gap, so that the interval says how sure the gap is, too.
    """
    nothing = np.zeros(1)
    value = m.gap_closed(means.value[[part]], nothing, means.value[[whole]])[0]
    return Estimate.of(value, m.gap_closed(means.draws[:, part], nothing, means.draws[:, whole]))


def _by_slice(strategies: Strategies, slices: Sequence[Slice], prompts: int) -> tuple[SliceFigures, ...]:
    """For each slice the strategies' means, and how far the router is from the best single candidate there.

    On the prompts on which both were tried: means over different prompts would not compare.
    """
    if not slices:
        return ()
    difference = strategies[ROUTER].quality - strategies[BEST_SINGLE].quality
    slices = [replace(part, rows=part.rows[np.isfinite(difference[part.rows])]) for part in slices]
    columns = []
    for part in slices:
        column = np.full(prompts, np.nan)
        column[part.rows] = difference[part.rows]
        columns.append(column)
    means = Resampled.of(columns)
    return tuple(
        SliceFigures(
            kind=part.kind,
            name=part.name,
            prompts=len(part.rows),
            quality={name: six_digits(float(known_mean(s.quality[part.rows]))) for name, s in strategies.items()},
            router_minus_best_single=means.estimate(i),
        )
        for i, part in enumerate(slices)
    )


def _calibration(router: Strategy, outcomes: Outcomes) -> dict[str, CalibrationFigures]:
    """Expected against observed quality: of all cells that were tried, and of those that were chosen."""
    assert router.expected is not None
    quality, expected = outcomes.quality.astype(np.float64), router.expected.quality
    cells = {
        "all": Reliability.of(expected, quality),
        "chosen": Reliability.of(m.taken(expected, router.picked), router.quality),
    }
    return {
        name: CalibrationFigures(six_digits(found.error()), found.error_estimate(), found.table())
        for name, found in cells.items()
    }
