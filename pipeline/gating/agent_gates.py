"""The gates of the agents' track: what a challenger must show on the holdout, and against the champion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.data.holdout import named_matrix
from pipeline.gating.champion import Champion, Choices, champion_choices
from pipeline.gating.results import FAILED, PASSED, UNDECIDABLE, GateResult, ceiling, floor, row_count
from pipeline.metrics.bootstrap import lower_bound, resamples
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
    row_drop: float = Field(ge=0, le=1)
    margin: float = Field(ge=0, le=1)
    confidence: float = Field(gt=0.5, lt=1)
    agent_margin: float = Field(ge=0, le=1)
    agent_minimum: int = Field(ge=1)
    rare_margin: float = Field(ge=0, le=1)
    resamples: int = Field(ge=100)


@dataclass(frozen=True)
class Evidence:
    """All that the gates look at, on the holdout's n prompts and c agents."""

    truth: Binary
    chosen: Binary
    names: tuple[str, ...]
    train_support: np.ndarray
    metrics: dict[str, float]
    train_rows: int
    champion: Champion | None
    champion_chosen: Binary | None


def evidence_of(
    names: tuple[str, ...],
    train_agents: pd.Series,
    predictions: pd.DataFrame,
    report: dict[str, Any],
    champion: tuple[Champion, Choices] | None,
) -> Evidence:
    """One router as the gates see it: the real rows it learnt from, holdout predictions, metrics, and the champion."""
    return Evidence(
        truth=named_matrix(predictions["agents"], names),
        chosen=named_matrix(predictions["chosen"], names),
        names=names,
        train_support=named_matrix(train_agents, names).sum(axis=0),
        metrics={metric: figure["value"] for metric, figure in report["systems"]["router"].items()},
        train_rows=len(train_agents),
        champion=champion[0] if champion else None,
        champion_chosen=champion_choices(champion[1], predictions, names) if champion else None,
    )


def judge(evidence: Evidence, params: GateParams, seed: int) -> list[GateResult]:
    """Every gate's result, in a fixed order."""
    metrics = evidence.metrics
    return [
        floor("micro_f1", metrics["micro_f1"], params.micro_f1),
        floor("macro_f1", metrics["macro_f1"], params.macro_f1),
        _rare_recall(evidence, params),
        ceiling("calibration_error", metrics["calibration_error"], params.calibration_error),
        row_count(evidence.train_rows, evidence.champion, params.row_drop),
        *against_champion(evidence, params, seed),
    ]


def _rare(evidence: Evidence, params: GateParams) -> np.ndarray:
    return evidence.train_support < params.rare_below


def _rare_recall(evidence: Evidence, params: GateParams) -> GateResult:
    rare = _rare(evidence, params)
    support = evidence.truth.sum(axis=0)
    thin = [evidence.names[c] for c in np.flatnonzero(rare & (support < params.rare_minimum))]
    if thin:
        reason = f"fewer than {params.rare_minimum} holdout prompts of {listed(thin)}"
        return GateResult("rare_recall", None, params.rare_recall, UNDECIDABLE, reason)
    if not rare.any():
        return GateResult("rare_recall", None, params.rare_recall, PASSED, "no agent is rare")
    return floor("rare_recall", recall(evidence.truth[:, rare], evidence.chosen[:, rare]), params.rare_recall)


def against_champion(evidence: Evidence, params: GateParams, seed: int) -> list[GateResult]:
    """Non-inferiority overall, for each agent with enough holdout prompts, and for the rare ones pooled."""
    if evidence.champion is None:
        return [GateResult("champion_micro_f1", None, -params.margin, PASSED, "there is no champion to compare with")]
    if evidence.champion_chosen is None:
        reason = f"champion version {evidence.champion.version} has not answered every prompt of this holdout"
        return [GateResult("champion_micro_f1", None, -params.margin, UNDECIDABLE, reason)]
    draws = resamples(len(evidence.truth), params.resamples, seed)
    support = evidence.truth.sum(axis=0)
    rare = _rare(evidence, params)
    every = np.ones(len(support), dtype=np.bool_)
    results = [_paired("champion_micro_f1", micro_f1, every, params.margin, evidence, params, draws)]
    for column in np.flatnonzero((support >= params.agent_minimum) & ~rare):
        name = f"champion_f1_{evidence.names[column]}"
        one = np.arange(len(support)) == column
        results.append(_paired(name, micro_f1, one, params.agent_margin, evidence, params, draws))
    if rare.any():
        results.append(_paired("champion_rare_recall", recall, rare, params.rare_margin, evidence, params, draws))
    return results


def _paired(
    name: str,
    statistic: Statistic,
    columns: Binary,
    margin: float,
    evidence: Evidence,
    params: GateParams,
    draws: np.ndarray,
) -> GateResult:
    if evidence.champion_chosen is None:
        raise ValueError("a paired test needs the champion's choices")
    truth = evidence.truth[:, columns]
    ours, theirs = evidence.chosen[:, columns], evidence.champion_chosen[:, columns]
    bound = lower_bound(statistic, truth, ours, theirs, params.confidence, draws)
    difference = statistic(truth, ours) - statistic(truth, theirs)
    reason = f"difference {difference:+.3f}, {params.confidence:.0%} one-sided lower bound {bound:+.3f}"
    return GateResult(name, round(bound, 6), -margin, PASSED if bound >= -margin else FAILED, reason)
