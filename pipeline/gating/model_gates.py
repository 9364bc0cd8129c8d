"""The gates of the models' track: quality and cost beside the best single candidate and the champion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.data.holdout import candidates_in, named_matrix, truth_in
from pipeline.gating.champion import Champion, Choices, champion_choices
from pipeline.gating.results import FAILED, PASSED, UNDECIDABLE, GateResult, ceiling, floor, row_count
from pipeline.metrics.bootstrap import lower_bound, resamples
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
class ModelEvidence:
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


def evidence_of(
    predictions: pd.DataFrame,
    graded: pd.DataFrame,
    report: dict[str, Any],
    train_rows: int,
    champion: tuple[Champion, Choices] | None,
) -> ModelEvidence:
    """One router as the gates see it: holdout predictions, what was graded there, metrics, the rows it learnt from, and
    the champion.
    """
    names = candidates_in(predictions)
    outcomes = truth_in(predictions, names, graded)
    return ModelEvidence(
        candidates=tuple(names),
        quality=outcomes.quality,
        cost=outcomes.cost,
        chosen=named_matrix(predictions["chosen"], names),
        single=names.index(report["best_single"]),
        calibration_error=float(report["systems"]["router"]["calibration_error"]["value"]),
        train_rows=train_rows,
        champion=champion[0] if champion else None,
        champion_chosen=champion_choices(champion[1], predictions, names) if champion else None,
    )


def judge(evidence: ModelEvidence, params: ModelGateParams, seed: int) -> list[GateResult]:
    """Every gate's result, in a fixed order."""
    return [
        floor("quality", chosen_quality(evidence.quality, evidence.chosen), params.quality),
        _judged(evidence, params),
        _over_best_single(evidence, params, seed),
        ceiling("calibration_error", evidence.calibration_error, params.calibration_error),
        _cost(evidence, params),
        row_count(evidence.train_rows, evidence.champion, params.row_drop),
        *against_champion(evidence, params, seed),
    ]


def against_champion(evidence: ModelEvidence, params: ModelGateParams, seed: int) -> list[GateResult]:
    """Not inferior in quality, and not much dearer."""
    names = {"champion_quality": -params.margin, "champion_cost": params.cost_rise}
    if evidence.champion is None:
        reason = "there is no champion to compare with"
        return [GateResult(name, None, limit, PASSED, reason) for name, limit in names.items()]
    if evidence.champion_chosen is None:
        reason = f"champion version {evidence.champion.version} has not answered every prompt of this holdout"
        return [GateResult(name, None, limit, UNDECIDABLE, reason) for name, limit in names.items()]
    paired = _paired("champion_quality", evidence, evidence.champion_chosen, params, seed)
    return [paired, _champion_cost(evidence, evidence.champion_chosen, params)]


def _judged(evidence: ModelEvidence, params: ModelGateParams) -> GateResult:
    """Whoever is chosen often was tried on enough of those prompts; else the figures say nothing of these choices."""
    chosen = evidence.chosen.sum(axis=0)
    often = np.flatnonzero(chosen > _OFTEN * len(evidence.chosen))
    if not len(often):
        return GateResult("judged", None, params.judged, PASSED, "no candidate is chosen often")
    shares = (evidence.chosen & ~np.isnan(evidence.quality)).sum(axis=0)[often] / chosen[often]
    least = int(shares.argmin())
    name, share = evidence.candidates[often[least]], round(float(shares[least]), 6)
    reason = f"{name} was chosen on {chosen[often[least]]} holdout prompts and tried on {share:.0%} of them" + (
        "" if share >= params.judged else "; add its outcomes there"
    )
    return GateResult("judged", share, params.judged, PASSED if share >= params.judged else UNDECIDABLE, reason)


def _over_best_single(evidence: ModelEvidence, params: ModelGateParams, seed: int) -> GateResult:
    single = np.zeros(evidence.chosen.shape, dtype=np.bool_)
    single[:, evidence.single] = True
    return _paired("over_best_single", evidence, single, params, seed)


def _paired(name: str, evidence: ModelEvidence, theirs: Binary, params: ModelGateParams, seed: int) -> GateResult:
    """The lower bound of the difference in quality, on the prompts where it is known of both choices."""
    known = [(choice & ~np.isnan(evidence.quality)).any(axis=1) for choice in (evidence.chosen, theirs)]
    both = known[0] & known[1]
    if not both.any():
        reason = "on no holdout prompt is the quality of both choices known"
        return GateResult(name, None, -params.margin, UNDECIDABLE, reason)
    quality, ours, other = evidence.quality[both], evidence.chosen[both], theirs[both]
    draws = resamples(len(quality), params.resamples, seed)
    bound = lower_bound(chosen_quality, quality, ours, other, params.confidence, draws)
    difference = chosen_quality(quality, ours) - chosen_quality(quality, other)
    reason = f"difference {difference:+.4f}, {params.confidence:.0%} one-sided lower bound {bound:+.4f}"
    return GateResult(name, round(bound, 6), -params.margin, PASSED if bound >= -params.margin else FAILED, reason)


def _spent(evidence: ModelEvidence, chosen: Binary) -> float | None:
    """USD a prompt; None where no cost of what was chosen is known."""
    known = chosen & ~np.isnan(evidence.cost)
    return chosen_quality(evidence.cost, chosen) if known.any() else None


def _cost(evidence: ModelEvidence, params: ModelGateParams) -> GateResult:
    spent = _spent(evidence, evidence.chosen)
    if params.cost_usd == 0:
        return GateResult("cost_usd", spent, 0.0, PASSED, "no ceiling is set")
    if spent is None:
        return GateResult("cost_usd", None, params.cost_usd, UNDECIDABLE, "the table has no costs of what was chosen")
    return ceiling("cost_usd", round(spent, 9), params.cost_usd)


def _champion_cost(evidence: ModelEvidence, theirs: Binary, params: ModelGateParams) -> GateResult:
    ours, before = _spent(evidence, evidence.chosen), _spent(evidence, theirs)
    if ours is None or before is None:
        return GateResult("champion_cost", None, params.cost_rise, PASSED, "no costs are known")
    rise = round((ours - before) / max(before, _ROUNDING), 6)
    reason = f"USD {ours:.3g} a prompt, the champion's choices cost {before:.3g}"
    return GateResult("champion_cost", rise, params.cost_rise, PASSED if rise <= params.cost_rise else FAILED, reason)
