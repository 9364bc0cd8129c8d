"""A label router measured on labelled prompts: headline figures with intervals, slices, each agent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.data.outcomes import Outcomes, from_labels
from pipeline.metrics.bootstrap import bootstrap, interval, resamples
from pipeline.metrics.multilabel import HEADLINE, expected_calibration_error, micro_f1, per_candidate
from pipeline.routers.base.protocol import Predictions
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.systems import new_router
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices
from pipeline.runtime.params import Section

BASELINES = ("tfidf", "linear")


BASELINE_FOLDS = 3


class EvaluationParams(Section):
    """How much is resampled, and where the slices are cut."""

    resamples: int = Field(ge=100)
    short_below_words: int = Field(ge=1)
    rare_below: int = Field(ge=1)
    encoder: str


@dataclass(frozen=True)
class Judged:
    """One system's answers on the holdout: probabilities float32 [n, c] and choices bool [n, c]."""

    probability: FloatMatrix
    chosen: Binary


def fit_baseline(name: str, train: pd.DataFrame, names: tuple[str, ...], params: EvaluationParams, seed: int) -> Any:
    """A baseline on the real train rows, tuned on folds merged from those of `split`."""
    outcomes = from_labels(train, names)
    baseline = new_router(name, FinetuningParams(encoder=params.encoder), seed)
    baseline.fit(outcomes, train["fold"].to_numpy() % BASELINE_FOLDS)
    return baseline


def engine_facts(served: Judged, exact: Judged, truth: Outcomes) -> dict[str, Any]:
    """What serves beside the same weights in torch at full precision; nothing is chosen by it."""
    return {
        "torch_micro_f1": round(micro_f1(truth.quality > 0.5, exact.chosen), 6),
        "routed_differently": int((served.chosen != exact.chosen).any(axis=1).sum()),
        "largest_difference": round(float(np.abs(served.probability - exact.probability).max()), 6),
    }


def _judge(predictions: Predictions) -> Judged:
    return Judged(predictions.quality, predictions.chosen)


def measure(systems: dict[str, Judged], truth: Outcomes, draws: Indices) -> dict[str, Any]:
    """Headline metrics with intervals for each system, and the paired difference of each baseline."""
    labels = truth.quality > 0.5
    boots = {name: bootstrap(micro_f1, labels, judged.chosen, draws) for name, judged in systems.items()}
    report: dict[str, Any] = {"systems": {}, "micro_f1_over": {}}
    for name, judged in systems.items():
        figures = {
            metric: _with_interval(statistic(labels, judged.chosen), bootstrap(statistic, labels, judged.chosen, draws))
            for metric, statistic in HEADLINE.items()
        }
        ece = np.array([expected_calibration_error(labels[rows], judged.probability[rows]) for rows in draws])
        figures["calibration_error"] = _with_interval(expected_calibration_error(labels, judged.probability), ece)
        report["systems"][name] = figures
        if name != "router":
            gain = micro_f1(labels, systems["router"].chosen) - micro_f1(labels, judged.chosen)
            report["micro_f1_over"][name] = _with_interval(gain, boots["router"] - boots[name])
    report["per_agent"] = per_candidate(labels, systems["router"].chosen, truth.candidates)
    return report


def _with_interval(value: float, values: Any) -> dict[str, float]:
    low, high = interval(values)
    return {"value": round(float(value), 6), "low": round(low, 6), "high": round(high, 6)}


def rare_agents(train: pd.DataFrame, names: tuple[str, ...], params: EvaluationParams) -> list[int]:
    """Columns of the agents with fewer train prompts than `rare_below`."""
    support = from_labels(train, names).quality.sum(axis=0)
    return [column for column in range(len(names)) if support[column] < params.rare_below]


def slices(
    truth: Outcomes, chosen: Binary, rare: list[int], params: EvaluationParams, draws: Indices
) -> list[dict[str, Any]]:
    """Micro-F1 with intervals on parts of the holdout; rare and common compare columns, the others rows."""
    labels = truth.quality > 0.5
    words = np.array([len(prompt.split()) for prompt in truth.prompts])
    asked = labels.sum(axis=1)
    every = np.ones(len(truth), dtype=np.bool_)
    columns = np.isin(np.arange(labels.shape[1]), rare)
    parts = {
        "one agent": (asked == 1, ~columns | columns),
        "several agents": (asked > 1, ~columns | columns),
        "short prompts": (words < params.short_below_words, ~columns | columns),
        "longer prompts": (words >= params.short_below_words, ~columns | columns),
        "rare agents": (every, columns),
        "common agents": (every, ~columns),
    }
    return [
        _slice(name, rows, cols, labels, chosen, len(draws))
        for name, (rows, cols) in parts.items()
        if rows.any() and cols.any()
    ]


def _slice(name: str, rows: Binary, columns: Binary, labels: Binary, chosen: Binary, count: int) -> dict[str, Any]:
    t, p = labels[rows][:, columns], chosen[rows][:, columns]
    values = bootstrap(micro_f1, t, p, resamples(len(t), count, seed=0))
    return {"slice": name, "prompts": int(rows.sum()), "labels": int(t.sum()), **_with_interval(micro_f1(t, p), values)}
