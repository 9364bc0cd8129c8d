"""Predictions against the truth: multi-label metrics for labels, quality and cost for graded outcomes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import TableError
from pipeline.metrics import HEADLINE, bootstrap, expected_calibration_error, interval, per_candidate, resamples
from pipeline.outcomes import Outcomes, read_outcomes
from pipeline.routers.protocol import Predictions
from pipeline.tables import LINE, read_table

RESAMPLES = 1000
_COLUMNS = ("prompt_id", "candidate", "score", "chosen")


def score_files(predictions: Path, truth: Path) -> dict[str, Any]:
    """Metrics of a predictions table on the prompts of a truth table.

    Raises:
        TableError: a table is malformed, or a prompt or candidate of the truth was not predicted.
    """
    rows = read_table(predictions, required=_COLUMNS)
    candidates = tuple(dict.fromkeys(rows["candidate"].astype(str)))
    outcomes = read_outcomes(truth, candidates)
    return score(_aligned(rows, predictions, outcomes, truth), outcomes)


def _aligned(rows: pd.DataFrame, path: Path, outcomes: Outcomes, truth: Path) -> Predictions:
    twice = rows.duplicated(["prompt_id", "candidate"])
    if twice.any():
        raise TableError(f"{path}, line {rows.loc[twice, LINE].iloc[0]}: this prompt_id and candidate stand twice")
    rows = rows.assign(
        prompt_id=rows["prompt_id"].astype(str), score=_number(rows, "score", path), chosen=_chosen(rows, path)
    )
    wide = {
        name: rows.pivot(index="prompt_id", columns="candidate", values=name).reindex(columns=list(outcomes.candidates))
        for name in ("score", "chosen")
    }
    absent = [name for name in outcomes.prompt_ids if name not in wide["score"].index]
    if absent:
        raise TableError(f"{path} has no prediction for prompt_id '{absent[0]}' of {truth}; predict that table first")
    order = list(outcomes.prompt_ids)
    score, chosen = wide["score"].loc[order], wide["chosen"].loc[order]
    if score.isna().any(axis=None):
        prompt = score.index[score.isna().any(axis=1)][0]
        raise TableError(f"{path} lacks a candidate for prompt_id '{prompt}'; each prompt needs a row a candidate")
    quality = score.to_numpy(np.float32)
    return Predictions(outcomes.candidates, quality, np.full_like(quality, np.nan), chosen.to_numpy(np.float32) > 0.5)


def _number(rows: pd.DataFrame, column: str, path: Path) -> pd.Series:
    values = pd.to_numeric(rows[column], errors="coerce")
    if values.isna().any():
        raise TableError(f"{path}, line {rows.loc[values.isna(), LINE].iloc[0]}: {column} is not a number; mend it")
    return values


def _chosen(rows: pd.DataFrame, path: Path) -> pd.Series:
    values = _number(rows, "chosen", path)
    wrong = ~values.isin((0, 1))
    if wrong.any():
        raise TableError(f"{path}, line {rows.loc[wrong, LINE].iloc[0]}: chosen is not 0 or 1; mend it")
    return values


def score(predictions: Predictions, outcomes: Outcomes) -> dict[str, Any]:
    """All metrics, each with its 95 % bootstrap interval over prompts."""
    draws = resamples(len(outcomes), RESAMPLES, seed=0)
    return _labels(predictions, outcomes, draws) if outcomes.is_labels else _graded(predictions, outcomes, draws)


def _figure(value: Any, values: Any) -> dict[str, float]:
    low, high = interval(values)
    return {"value": round(float(value), 6), "low": round(low, 6), "high": round(high, 6)}


def _labels(predictions: Predictions, outcomes: Outcomes, draws: Any) -> dict[str, Any]:
    truth, chosen = outcomes.quality > 0.5, predictions.chosen
    metrics = {
        name: _figure(statistic(truth, chosen), bootstrap(statistic, truth, chosen, draws))
        for name, statistic in HEADLINE.items()
    }
    return {
        "kind": "labels",
        "prompts": len(outcomes),
        "candidates": len(outcomes.candidates),
        "metrics": metrics,
        "calibration_error": round(expected_calibration_error(truth, predictions.quality), 6),
        "per_candidate": per_candidate(truth, chosen, outcomes.candidates),
    }


def _graded(predictions: Predictions, outcomes: Outcomes, draws: Any) -> dict[str, Any]:
    """Mean quality (and cost) of what was chosen, beside random, the best single candidate and the oracle."""
    quality = np.where(np.isnan(outcomes.quality), np.nan, outcomes.quality.astype(np.float64))
    pick = np.where(predictions.chosen, predictions.quality, -np.inf).argmax(axis=1)
    rows = np.arange(len(outcomes))
    best_single = int(np.nanmean(quality, axis=0).argmax())
    strategies = {
        "router": quality[rows, pick],
        "random": np.nanmean(quality, axis=1),
        "best_single": quality[:, best_single],
        "oracle": np.nanmax(quality, axis=1),
    }
    report = {
        name: {"quality": _figure(np.nanmean(values), np.nanmean(values[draws], axis=1))}
        for name, values in strategies.items()
    }
    cost = outcomes.cost.astype(np.float64)
    if not np.isnan(cost).all():
        report["router"]["cost_usd"] = _figure(
            np.nanmean(cost[rows, pick]), np.nanmean(cost[rows, pick][draws], axis=1)
        )
        single = cost[:, best_single]
        report["best_single"]["cost_usd"] = _figure(np.nanmean(single), np.nanmean(single[draws], axis=1))
    return {
        "kind": "outcomes",
        "prompts": len(outcomes),
        "candidates": len(outcomes.candidates),
        "best_single": outcomes.candidates[best_single],
        "untried_choices": int(np.isnan(strategies["router"]).sum()),
        "metrics": report,
    }
