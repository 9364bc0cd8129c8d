"""The gates of the models' track: quality and cost beside the best single candidate and the champion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.data.holdout import candidates_in, named_matrix, truth_in
from pipeline.gating.champion import Champion, Choices, champion_choices
from pipeline.gating.results import (
    FAILED,
    PASSED,
    UNDECIDABLE,
    Against,
    GateResult,
    ceiling,
    floor,
    not_compared,
    row_count,
)
from pipeline.metrics.bootstrap import lower_bound, resamples
from pipeline.metrics.holdout_figures import HoldoutFigures
from pipeline.metrics.multilabel import chosen_quality, known_of_both
from pipeline.runtime.arrays import Binary, FloatMatrix
from pipeline.runtime.params import Section

_ROUNDING = 1e-9


_OFTEN = 0.05
"""Of the prompts: below this share choices of a candidate weigh little in any figure."""

_FEWEST = 20
"""Of fewer prompts every resample is much the same, and a bound that rests on them bounds nothing."""


class ModelGateParams(Section):
    """Floors, ceilings and margins; costs in USD a prompt, 0 for no ceiling."""

    quality: float = Field(ge=0, le=1)
    judged: float = Field(ge=0, le=1)
    calibration_error: float = Field(ge=0, le=1)
    cost_usd: float = Field(ge=0)
    cost_rise: float = Field(ge=0)
    row_drop: float = Field(ge=0, le=1)
    margin: float = Field(ge=0, le=1)
    confidence: float = Field(gt=0.5, lt=1)
    resamples: int = Field(ge=100)


@dataclass(frozen=True)
class ModelGateInputs:
    """All that the gates look at, on the holdout's n prompts and c candidates; NaN where a cell is not known.

    `single` is the column of the candidate that is best in train.
    """

    candidates: tuple[str, ...]
    quality: FloatMatrix
    cost: FloatMatrix
    chosen: Binary
    single: int
    calibration_error: float
    train_rows: int
    champion: Champion | None
    champion_chosen: Binary | None


def inputs_of(
    predictions: pd.DataFrame,
    graded: pd.DataFrame,
    report: HoldoutFigures,
    train_rows: int,
    champion: tuple[Champion, Choices] | None,
) -> ModelGateInputs:
    """One router as the gates see it: holdout predictions, what was graded there, metrics, the rows it learnt from, and
    the champion.
    """
    names = candidates_in(predictions)
    outcomes = truth_in(predictions, names, graded)
    return ModelGateInputs(
        candidates=tuple(names),
        quality=outcomes.quality,
        cost=outcomes.cost,
        chosen=named_matrix(predictions["chosen"], names),
        single=names.index(report.best_single),
        calibration_error=report.router["calibration_error"].value,
        train_rows=train_rows,
        champion=champion[0] if champion else None,
        champion_chosen=champion_choices(champion[1], predictions, names) if champion else None,
    )


def judge(inputs: ModelGateInputs, params: ModelGateParams, seed: int) -> list[GateResult]:
    """Every gate's result, in a fixed order."""
    return [
        floor("quality", chosen_quality(inputs.quality, inputs.chosen), params.quality),
        _tried(inputs, params),
        _over_best_single(inputs, params, seed),
        ceiling("calibration_error", inputs.calibration_error, params.calibration_error),
        _cost(inputs, params),
        *against_champion(inputs, params, seed),
    ]


def against_champion(inputs: ModelGateInputs, params: ModelGateParams, seed: int) -> list[GateResult]:
    """Rows to learn from; not inferior in quality, and not much dearer."""
    rows = row_count(inputs.train_rows, inputs.champion, params.row_drop)
    limits = {"champion_quality": -params.margin, "champion_cost": params.cost_rise}
    if inputs.champion_chosen is None:
        return [rows, *(not_compared(name, limit, inputs.champion) for name, limit in limits.items())]
    paired = _paired("champion_quality", "champion", inputs, inputs.champion_chosen, params, seed)
    return [rows, paired, _champion_cost(inputs, inputs.champion_chosen, params)]


def _tried(inputs: ModelGateInputs, params: ModelGateParams) -> GateResult:
    """Choices were tried on enough prompts, all together and of whoever is chosen often; else the figures say nothing
    of them.
    """
    chosen, tried = inputs.chosen.sum(axis=0), (inputs.chosen & ~np.isnan(inputs.quality)).sum(axis=0)
    often = np.flatnonzero(chosen > _OFTEN * len(inputs.chosen))
    counts = [(inputs.candidates[column], chosen[column], tried[column]) for column in often]
    name, times, judged = min([*counts, ("any candidate", chosen.sum(), tried.sum())], key=lambda one: one[2] / one[1])
    share = round(float(judged / times), 6)
    reason = f"{name} was chosen on {times} holdout prompts and tried on {share:.0%} of them"
    if share >= params.judged:
        return GateResult("judged", share, params.judged, PASSED, reason)
    told = f"{reason}; add {'its ' if name in inputs.candidates else ''}outcomes there"
    return GateResult("judged", share, params.judged, UNDECIDABLE, told)


def _over_best_single(inputs: ModelGateInputs, params: ModelGateParams, seed: int) -> GateResult:
    """Whether it is not inferior to always choosing the candidate that is best in train."""
    single = np.zeros(inputs.chosen.shape, dtype=np.bool_)
    single[:, inputs.single] = True
    return _paired("over_best_single", "best_single", inputs, single, params, seed)


def _paired(
    name: str, against: Against, inputs: ModelGateInputs, theirs: Binary, params: ModelGateParams, seed: int
) -> GateResult:
    """The lower bound of the difference in quality, on the prompts where it is known of both choices."""
    both = known_of_both(inputs.quality, inputs.chosen, theirs)
    if both.sum() < _FEWEST:
        reason = f"the quality of both choices is known on {both.sum()} holdout prompts; it takes {_FEWEST}"
        return GateResult(name, None, -params.margin, UNDECIDABLE, reason, against)
    quality, ours, other = inputs.quality[both], inputs.chosen[both], theirs[both]
    draws = resamples(len(quality), params.resamples, seed)
    bound = lower_bound(chosen_quality, quality, ours, other, params.confidence, draws)
    difference = chosen_quality(quality, ours) - chosen_quality(quality, other)
    reason = f"difference {difference:+.4f}, {params.confidence:.0%} one-sided lower bound {bound:+.4f}"
    verdict = PASSED if bound >= -params.margin else FAILED
    return GateResult(name, round(bound, 6), -params.margin, verdict, reason, against)


def _cost(inputs: ModelGateInputs, params: ModelGateParams) -> GateResult:
    """Whether a prompt costs at most the ceiling."""
    is_known = (inputs.chosen & ~np.isnan(inputs.cost)).any()
    spent = chosen_quality(inputs.cost, inputs.chosen) if is_known else None
    if params.cost_usd == 0:
        return GateResult("cost_usd", spent, None, PASSED, "no ceiling is set")
    if spent is None:
        return GateResult("cost_usd", None, params.cost_usd, UNDECIDABLE, "the table has no costs of what was chosen")
    return ceiling("cost_usd", round(spent, 9), params.cost_usd)


def _champion_cost(inputs: ModelGateInputs, theirs: Binary, params: ModelGateParams) -> GateResult:
    """Whether a prompt costs at most a share `cost_rise` more than by the champion's choices, where both are known."""
    if np.isnan(inputs.cost).all():
        return GateResult("champion_cost", None, params.cost_rise, PASSED, "no costs are known", "champion")
    both = known_of_both(inputs.cost, inputs.chosen, theirs)
    if both.sum() < _FEWEST:
        reason = f"the cost of both choices is known on {both.sum()} holdout prompts; it takes {_FEWEST}"
        return GateResult("champion_cost", None, params.cost_rise, UNDECIDABLE, reason, "champion")
    ours, before = (chosen_quality(inputs.cost[both], choice[both]) for choice in (inputs.chosen, theirs))
    rise = round((ours - before) / max(before, _ROUNDING), 6)
    reason = f"USD {ours:.3g} a prompt, the champion's choices cost {before:.3g}"
    verdict = PASSED if rise <= params.cost_rise else FAILED
    return GateResult("champion_cost", rise, params.cost_rise, verdict, reason, "champion")
