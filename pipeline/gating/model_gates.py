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
from pipeline.metrics.multilabel import chosen_quality
from pipeline.runtime.arrays import Binary, FloatMatrix
from pipeline.runtime.params import Section

_ROUNDING = 1e-9


_OFTEN = 0.05
"""Of the prompts: below this share choices of a candidate weigh little in any figure."""


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
        row_count(inputs.train_rows, inputs.champion, params.row_drop),
        *against_champion(inputs, params, seed),
    ]


def against_champion(inputs: ModelGateInputs, params: ModelGateParams, seed: int) -> list[GateResult]:
    """Not inferior in quality, and not much dearer."""
    limits = {"champion_quality": -params.margin, "champion_cost": params.cost_rise}
    if inputs.champion_chosen is None:
        return [not_compared(name, limit, inputs.champion) for name, limit in limits.items()]
    paired = _paired("champion_quality", "champion", inputs, inputs.champion_chosen, params, seed)
    return [paired, _champion_cost(inputs, inputs.champion_chosen, params)]


def _tried(inputs: ModelGateInputs, params: ModelGateParams) -> GateResult:
    """Whoever is chosen often was tried on enough of those prompts; else the figures say nothing of these choices."""
    chosen = inputs.chosen.sum(axis=0)
    often = np.flatnonzero(chosen > _OFTEN * len(inputs.chosen))
    if not len(often):
        return GateResult("judged", None, params.judged, PASSED, "no candidate is chosen often")
    shares = (inputs.chosen & ~np.isnan(inputs.quality)).sum(axis=0)[often] / chosen[often]
    least = int(shares.argmin())
    name, share = inputs.candidates[often[least]], round(float(shares[least]), 6)
    reason = f"{name} was chosen on {chosen[often[least]]} holdout prompts and tried on {share:.0%} of them" + (
        "" if share >= params.judged else "; add its outcomes there"
    )
    return GateResult("judged", share, params.judged, PASSED if share >= params.judged else UNDECIDABLE, reason)


def _over_best_single(inputs: ModelGateInputs, params: ModelGateParams, seed: int) -> GateResult:
    """Whether it is not inferior to always choosing the candidate that is best in train."""
    single = np.zeros(inputs.chosen.shape, dtype=np.bool_)
    single[:, inputs.single] = True
    return _paired("over_best_single", "best_single", inputs, single, params, seed)


def _paired(
    name: str, against: Against, inputs: ModelGateInputs, theirs: Binary, params: ModelGateParams, seed: int
) -> GateResult:
    """The lower bound of the difference in quality, on the prompts where it is known of both choices."""
    known = [(choice & ~np.isnan(inputs.quality)).any(axis=1) for choice in (inputs.chosen, theirs)]
    both = known[0] & known[1]
    if not both.any():
        reason = "on no holdout prompt is the quality of both choices known"
        return GateResult(name, None, -params.margin, UNDECIDABLE, reason, against)
    quality, ours, other = inputs.quality[both], inputs.chosen[both], theirs[both]
    draws = resamples(len(quality), params.resamples, seed)
    bound = lower_bound(chosen_quality, quality, ours, other, params.confidence, draws)
    difference = chosen_quality(quality, ours) - chosen_quality(quality, other)
    reason = f"difference {difference:+.4f}, {params.confidence:.0%} one-sided lower bound {bound:+.4f}"
    verdict = PASSED if bound >= -params.margin else FAILED
    return GateResult(name, round(bound, 6), -params.margin, verdict, reason, against)


def _spent(inputs: ModelGateInputs, chosen: Binary) -> float | None:
    """USD a prompt; None where no cost of what was chosen is known."""
    known = chosen & ~np.isnan(inputs.cost)
    return chosen_quality(inputs.cost, chosen) if known.any() else None


def _cost(inputs: ModelGateInputs, params: ModelGateParams) -> GateResult:
    """Whether a prompt costs at most the ceiling."""
    spent = _spent(inputs, inputs.chosen)
    if params.cost_usd == 0:
        return GateResult("cost_usd", spent, None, PASSED, "no ceiling is set")
    if spent is None:
        return GateResult("cost_usd", None, params.cost_usd, UNDECIDABLE, "the table has no costs of what was chosen")
    return ceiling("cost_usd", round(spent, 9), params.cost_usd)


def _champion_cost(inputs: ModelGateInputs, theirs: Binary, params: ModelGateParams) -> GateResult:
    """Whether a prompt costs at most a share `cost_rise` more than by the champion's choices."""
    ours, before = _spent(inputs, inputs.chosen), _spent(inputs, theirs)
    if ours is None or before is None:
        return GateResult("champion_cost", None, params.cost_rise, PASSED, "no costs are known", "champion")
    rise = round((ours - before) / max(before, _ROUNDING), 6)
    reason = f"USD {ours:.3g} a prompt, the champion's choices cost {before:.3g}"
    verdict = PASSED if rise <= params.cost_rise else FAILED
    return GateResult("champion_cost", rise, params.cost_rise, verdict, reason, "champion")
