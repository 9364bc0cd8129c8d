"""The gates of the agents' track: what a challenger must show on the holdout, and against the champion."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.data.holdout import named_matrix
from pipeline.gating.champion import Champion, Choices, champion_choices
from pipeline.gating.results import FAILED, PASSED, UNDECIDABLE, GateResult, ceiling, floor, not_compared, row_count
from pipeline.metrics.bootstrap import lower_bound, resamples
from pipeline.metrics.holdout_figures import HoldoutFigures
from pipeline.metrics.multilabel import Statistic, micro_f1, recall
from pipeline.runtime.arrays import Binary
from pipeline.runtime.errors import listed
from pipeline.runtime.params import Section


class GateParams(Section):
    """Floors, ceilings and margins."""

    micro_f1: float = Field(ge=0, le=1)
    macro_f1: float = Field(ge=0, le=1)
    rare_recall: float = Field(ge=0, le=1)
    rare_below: int = Field(ge=1)
    rare_minimum: int = Field(ge=1)
    calibration_error: float = Field(ge=0, le=1)
    label_count_error: float = Field(ge=0)
    row_drop: float = Field(ge=0, le=1)
    margin: float = Field(ge=0, le=1)
    confidence: float = Field(gt=0.5, lt=1)
    agent_margin: float = Field(ge=0, le=1)
    agent_minimum: int = Field(ge=1)
    rare_margin: float = Field(ge=0, le=1)
    resamples: int = Field(ge=100)


@dataclass(frozen=True)
class GateInputs:
    """All that the gates look at, on the holdout's n prompts and c agents."""

    truth: Binary
    chosen: Binary
    names: tuple[str, ...]
    train_support: np.ndarray
    metrics: dict[str, float]
    train_rows: int
    champion: Champion | None
    champion_chosen: Binary | None


def inputs_of(
    names: tuple[str, ...],
    train_agents: pd.Series,
    predictions: pd.DataFrame,
    report: HoldoutFigures,
    champion: tuple[Champion, Choices] | None,
) -> GateInputs:
    """One router as the gates see it: the real rows it learnt from, holdout predictions, metrics, and the champion."""
    return GateInputs(
        truth=named_matrix(predictions["agents"], names),
        chosen=named_matrix(predictions["chosen"], names),
        names=names,
        train_support=named_matrix(train_agents, names).sum(axis=0),
        metrics={metric: found.value for metric, found in report.router.items()},
        train_rows=len(train_agents),
        champion=champion[0] if champion else None,
        champion_chosen=champion_choices(champion[1], predictions, names) if champion else None,
    )


def judge(inputs: GateInputs, params: GateParams, seed: int) -> list[GateResult]:
    """Every gate's result, in a fixed order."""
    metrics = inputs.metrics
    return [
        floor("micro_f1", metrics["micro_f1"], params.micro_f1),
        floor("macro_f1", metrics["macro_f1"], params.macro_f1),
        _rare_recall(inputs, params),
        ceiling("calibration_error", metrics["calibration_error"], params.calibration_error),
        ceiling("label_count_error", metrics["label_count_error"], params.label_count_error),
        *against_champion(inputs, params, seed),
    ]


def _rare(inputs: GateInputs, params: GateParams) -> np.ndarray:
    """Which agents few train rows ask for: bool [c]."""
    return inputs.train_support < params.rare_below


def _rare_recall(inputs: GateInputs, params: GateParams) -> GateResult:
    """Recall of the rare agents together; undecidable where the holdout asks for one of them too seldom."""
    rare = _rare(inputs, params)
    support = inputs.truth.sum(axis=0)
    thin = [inputs.names[c] for c in np.flatnonzero(rare & (support < params.rare_minimum))]
    if thin:
        reason = f"fewer than {params.rare_minimum} holdout prompts of {listed(thin)}"
        return GateResult("rare_recall", None, params.rare_recall, UNDECIDABLE, reason)
    if not rare.any():
        return GateResult("rare_recall", None, params.rare_recall, PASSED, "no agent is rare")
    return floor("rare_recall", recall(inputs.truth[:, rare], inputs.chosen[:, rare]), params.rare_recall)


def against_champion(inputs: GateInputs, params: GateParams, seed: int) -> list[GateResult]:
    """Rows to learn from; non-inferiority overall, for each agent with enough holdout prompts, and for the rare ones
    pooled.
    """
    rows = row_count(inputs.train_rows, inputs.champion, params.row_drop)
    if inputs.champion_chosen is None:
        return [rows, not_compared("champion_micro_f1", -params.margin, inputs.champion)]
    draws = resamples(len(inputs.truth), params.resamples, seed)
    support = inputs.truth.sum(axis=0)
    rare = _rare(inputs, params)
    every = np.ones(len(support), dtype=np.bool_)
    results = [rows, _paired("champion_micro_f1", micro_f1, every, params.margin, inputs, params, draws)]
    for column in np.flatnonzero((support >= params.agent_minimum) & ~rare):
        name = f"champion_f1_{inputs.names[column]}"
        one = np.arange(len(support)) == column
        results.append(_paired(name, micro_f1, one, params.agent_margin, inputs, params, draws))
    if rare.any():
        results.append(_paired("champion_rare_recall", recall, rare, params.rare_margin, inputs, params, draws))
    return results


def _paired(
    name: str,
    statistic: Statistic,
    columns: Binary,
    margin: float,
    inputs: GateInputs,
    params: GateParams,
    draws: np.ndarray,
) -> GateResult:
    """Whether the statistic on some agents' columns is at most `margin` below the champion's, with the confidence."""
    if inputs.champion_chosen is None:
        raise ValueError("a paired test needs the champion's choices")
    truth = inputs.truth[:, columns]
    ours, theirs = inputs.chosen[:, columns], inputs.champion_chosen[:, columns]
    bound = lower_bound(statistic, truth, ours, theirs, params.confidence, draws)
    difference = statistic(truth, ours) - statistic(truth, theirs)
    reason = f"difference {difference:+.3f}, {params.confidence:.0%} one-sided lower bound {bound:+.3f}"
    return GateResult(name, round(bound, 6), -margin, PASSED if bound >= -margin else FAILED, reason, "champion")
