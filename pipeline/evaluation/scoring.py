"""A table of predictions read beside the truth, and multi-label metrics of labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.evaluation.label_report import headline_estimates
from pipeline.evaluation.reference_strategies import Part
from pipeline.metrics.bootstrap import Estimate, resamples, six_decimals
from pipeline.metrics.multilabel import CandidateScores, expected_calibration_error, per_candidate
from pipeline.routers.base.protocol import Predictions
from pipeline.runtime.errors import InputError, TableError
from pipeline.runtime.tables import LINE, read_table

RESAMPLES = 1000
_COLUMNS = ("prompt_id", "candidate", "score", "chosen")


@dataclass(frozen=True)
class LabelScores:
    """Multi-label metrics with their intervals, and each candidate's own."""

    kind: str
    prompts: int
    candidates: int
    metrics: dict[str, Estimate]
    calibration_error: float
    per_candidate: tuple[CandidateScores, ...]


def read_predictions(predictions: Path, truth: Path) -> tuple[Predictions, Outcomes]:
    """A predictions table, in the order of the truth that it is held against.

    Raises:
        TableError: a table is malformed, or a prompt or candidate of the truth was not predicted.
    """
    rows = read_table(predictions, required=_COLUMNS)
    candidates = tuple(dict.fromkeys(rows["candidate"].astype(str)))
    outcomes = read_outcomes(truth, candidates)
    return _aligned(rows, predictions, outcomes, truth), outcomes


def read_train(path: Path, outcomes: Outcomes) -> list[Part]:
    """The outcomes on which baselines are chosen; a prompt that is evaluated too is left out of them.

    Raises:
        TableError: the table is malformed, or not of the shape of the evaluated one.
        InputError: nothing is left.
    """
    train = read_outcomes(path, outcomes.candidates)
    if train.is_labels != outcomes.is_labels:
        raise TableError(f"{path} is not of the shape of the evaluated table; give a table with candidate and quality")
    evaluated = set(outcomes.prompts)
    left = np.array([i for i, prompt in enumerate(train.prompts) if prompt not in evaluated], dtype=np.int64)
    if not len(left):
        raise InputError(f"every prompt of {path} is evaluated too; give a table of other prompts, or leave it out")
    return [(train.rows(left), np.arange(len(outcomes)))]


def _aligned(rows: pd.DataFrame, path: Path, outcomes: Outcomes, truth: Path) -> Predictions:
    twice = rows.duplicated(["prompt_id", "candidate"])
    if twice.any():
        raise TableError(f"{path}, line {rows.loc[twice, LINE].iloc[0]}: this prompt_id and candidate stand twice")
    rows = rows.assign(
        prompt_id=rows["prompt_id"].astype(str),
        score=_number(rows, "score", path),
        cost=_cost(rows, path),
        chosen=_chosen(rows, path),
    )
    wide = {
        name: rows.pivot(index="prompt_id", columns="candidate", values=name).reindex(columns=list(outcomes.candidates))
        for name in ("score", "cost", "chosen")
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
    none = np.flatnonzero(~chosen.to_numpy(np.float32).any(axis=1))
    if len(none) and not outcomes.is_labels:
        raise TableError(
            f"{path} chooses no candidate for prompt_id '{score.index[none][0]}'; choose one for each prompt"
        )
    cost = wide["cost"].loc[order].to_numpy(np.float64)
    return Predictions(outcomes.candidates, quality, cost, chosen.to_numpy(np.float32) > 0.5)


def _number(rows: pd.DataFrame, column: str, path: Path) -> pd.Series:
    values = pd.to_numeric(rows[column], errors="coerce")
    if values.isna().any():
        raise TableError(f"{path}, line {rows.loc[values.isna(), LINE].iloc[0]}: {column} is not a number; mend it")
    return values


def _cost(rows: pd.DataFrame, path: Path) -> pd.Series:
    """Expected costs, NaN where the column or a cell is empty."""
    if "cost" not in rows.columns:
        return pd.Series(np.nan, index=rows.index)
    text = rows["cost"].replace("", np.nan)
    values = pd.to_numeric(text, errors="coerce")
    wrong = (values.isna() & text.notna()) | (values < 0)
    if wrong.any():
        raise TableError(f"{path}, line {rows.loc[wrong, LINE].iloc[0]}: cost is not a number from 0; mend it")
    return values


def _chosen(rows: pd.DataFrame, path: Path) -> pd.Series:
    values = _number(rows, "chosen", path)
    wrong = ~values.isin((0, 1))
    if wrong.any():
        raise TableError(f"{path}, line {rows.loc[wrong, LINE].iloc[0]}: chosen is not 0 or 1; mend it")
    return values


def label_scores(predictions: Predictions, outcomes: Outcomes) -> LabelScores:
    """Multi-label metrics of predictions of labels."""
    labels = outcomes.quality > 0.5
    return LabelScores(
        kind="labels",
        prompts=len(outcomes),
        candidates=len(outcomes.candidates),
        metrics=headline_estimates(predictions, labels, resamples(len(outcomes), RESAMPLES, seed=0)),
        calibration_error=six_decimals(expected_calibration_error(labels, predictions.quality)),
        per_candidate=per_candidate(labels, predictions.chosen, outcomes.candidates),
    )
