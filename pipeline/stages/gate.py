"""Stage `gate`: what a challenger must show before it is registered.

Each gate gives a value, a limit, a verdict and a reason. Anything but `passed` closes the door: a gate that
cannot decide does not pass. The stage itself succeeds and writes the verdict.

Against the champion the test is paired: both are scored on the same resamples of the same prompts, and the lower
one-sided bound of the difference must stay above minus the margin (a non-inferiority test).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.data.agents import read_agents
from pipeline.data.holdout_predictions import named_matrix
from pipeline.data.outcomes import label_matrix
from pipeline.gating.champion import Champion, Choices, read_champion
from pipeline.metrics.multilabel import Binary, Statistic, bootstrap, micro_f1, recall, resamples
from pipeline.runtime.errors import listed
from pipeline.runtime.params import Section, read
from pipeline.runtime.reproducibility import RunParams
from pipeline.runtime.stage import STAGES, Summary, run_stage
from pipeline.runtime.tables import read_table, write_json

NAME = "gate"
PASSED, FAILED, UNDECIDABLE = "passed", "failed", "undecidable"


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
class GateResult:
    """One gate's finding. `value` is None where nothing could be measured."""

    gate: str
    value: float | None
    limit: float
    verdict: str
    reason: str


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


def gate(params: GateParams, seed: int) -> Summary:
    """Judge the challenger and write the verdict.

    Raises:
        InputError: champion/ says neither who the champion is nor that there is none.
    """
    results = judge(gather(), params, seed)
    return write_verdict(results, STAGES)


def write_verdict(results: list[GateResult], stages: Path) -> Summary:
    """Write what the gates found, and whether all of them let it pass."""
    verdict = PASSED if all(result.verdict == PASSED for result in results) else FAILED
    write_json({"verdict": verdict, "gates": [asdict(result) for result in results]}, stages / NAME / "verdict.json")
    counts = {name: sum(result.verdict == name for result in results) for name in (PASSED, FAILED, UNDECIDABLE)}
    return {"verdict": verdict, "gates": len(results), **{f"gates_{name}": count for name, count in counts.items()}}


def gather() -> Evidence:
    """Read the stages' outputs and the champion."""
    return evidence_of(
        names=tuple(agent.name for agent in read_agents()),
        train_agents=read_table(STAGES / "label_noise" / "train.parquet")["agents"],
        predictions=read_table(STAGES / "evaluate" / "predictions.parquet"),
        report=json.loads((STAGES / "evaluate" / "metrics.json").read_text(encoding="utf-8")),
        champion=read_champion(),
    )


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


def champion_choices(choices: Choices, rows: pd.DataFrame, names: tuple[str, ...]) -> Binary | None:
    """The champion's choices row by row, or None where it has not answered one of today's holdout prompts."""
    keys = list(zip(rows["prompt_id"], rows["text_sha256"], strict=True))
    if any(key not in choices.by_row for key in keys):
        return None
    known = [tuple(name for name in choices.by_row[key] if name in names) for key in keys]
    return label_matrix(known, names) > 0.5


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


def floor(name: str, value: float, limit: float) -> GateResult:
    """Passes from the limit upwards."""
    enough = value >= limit
    return GateResult(
        name, value, limit, PASSED if enough else FAILED, f"{'at least' if enough else 'below'} the floor"
    )


def ceiling(name: str, value: float, limit: float) -> GateResult:
    """Passes up to the limit."""
    low = value <= limit
    return GateResult(name, value, limit, PASSED if low else FAILED, f"{'at most' if low else 'above'} the ceiling")


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


def row_count(train_rows: int, champion: Champion | None, drop: float) -> GateResult:
    """Whether the router learnt from at most `drop` (a share) fewer rows than the champion."""
    if champion is None:
        return GateResult("row_count", float(train_rows), 0.0, PASSED, "there is no champion to compare with")
    limit = (1 - drop) * champion.train_rows
    reason = f"champion version {champion.version} learnt from {champion.train_rows} rows"
    return GateResult("row_count", float(train_rows), limit, PASSED if train_rows >= limit else FAILED, reason)


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


def lower_bound(
    statistic: Callable[[Any, Binary], float],
    truth: Any,
    ours: Binary,
    theirs: Binary,
    confidence: float,
    draws: np.ndarray,
) -> float:
    """The one-sided lower bound of the paired difference, by percentile bootstrap over prompts."""
    difference = bootstrap(statistic, truth, ours, draws) - bootstrap(statistic, truth, theirs, draws)
    return float(np.quantile(difference, 1 - confidence))


if __name__ == "__main__":
    run_stage(NAME, lambda: gate(read(NAME, GateParams), read("run", RunParams).seed))
