"""A table of predictions read beside the truth, and multi-label metrics of labels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.cells import figures, name_in, read_column, refuse, texts
from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.evaluation.label_report import headline_estimates
from pipeline.evaluation.reference_strategies import Part
from pipeline.metrics.bootstrap import Estimate, resamples, six_decimals
from pipeline.metrics.multilabel import CandidateScores, expected_calibration_error, per_candidate
from pipeline.routers.base.protocol import LEARNT, Predictions
from pipeline.runtime.arrays import Values
from pipeline.runtime.errors import InputError, TableError
from pipeline.runtime.tables import LINE, read_table
from pipeline.runtime.text import folded

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
    rows = _read_rows(predictions)
    candidates = tuple(dict.fromkeys(rows["candidate"]))
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
    evaluated = set(map(folded, outcomes.prompts))
    left = np.array([i for i, prompt in enumerate(train.prompts) if folded(prompt) not in evaluated], dtype=np.int64)
    if not len(left):
        raise InputError(f"every prompt of {path} is evaluated too; give a table of other prompts, or leave it out")
    return [(train.rows(left), np.arange(len(outcomes)))]


def _read_rows(path: Path) -> pd.DataFrame:
    """`prompt_id, candidate, score, cost, chosen, learnt`, and `line`; what is not there of the cost and of what was
    learnt is NaN.
    """
    rows = read_table(path, _COLUMNS, ("cost", LEARNT))
    return rows.assign(
        prompt_id=texts(rows, "prompt_id", path),
        candidate=read_column(rows, "candidate", path, name_in),
        score=_figures(rows, "score", path),
        cost=figures(rows, "cost", path, 0.0, np.inf) if "cost" in rows.columns else np.nan,
        chosen=_chosen(rows, path),
        learnt=figures(rows, LEARNT, path, 0.0, 1.0) if LEARNT in rows.columns else np.nan,
    )


def _figures(rows: pd.DataFrame, column: str, path: Path) -> Values:
    values = figures(rows, column, path, -np.inf, np.inf)
    refuse(rows, np.isnan(values), path, f"{column} is empty")
    return values


def _aligned(rows: pd.DataFrame, path: Path, outcomes: Outcomes, truth: Path) -> Predictions:
    twice = rows.duplicated(["prompt_id", "candidate"])
    if twice.any():
        raise TableError(f"{path}, line {rows.loc[twice, LINE].iloc[0]}: this prompt_id and candidate stand twice")
    wide = {
        name: rows.pivot(index="prompt_id", columns="candidate", values=name).reindex(columns=list(outcomes.candidates))
        for name in ("score", "cost", "chosen", LEARNT)
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
    cost, learnt = (wide[name].loc[order].to_numpy(np.float64) for name in ("cost", LEARNT))
    told = None if np.isnan(learnt).all() else np.asarray((learnt > 0.5).any(axis=1))
    return Predictions(outcomes.candidates, quality, cost, chosen.to_numpy(np.float32) > 0.5, learnt=told)


def _chosen(rows: pd.DataFrame, path: Path) -> Values:
    values = _figures(rows, "chosen", path)
    refuse(rows, ~np.isin(values, (0, 1)), path, "chosen is not 0 or 1")
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
