"""A label router measured on labelled prompts: headline figures with intervals, slices, each agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.data.outcomes import Outcomes, from_labels
from pipeline.evaluation.language_report import UnsupportedLanguage
from pipeline.metrics.bootstrap import UNKNOWN, Estimate, bootstrap, paired_differences, resamples, six_decimals
from pipeline.metrics.holdout_figures import ROUTER
from pipeline.metrics.multilabel import (
    HEADLINE,
    CandidateScores,
    label_count_error,
    micro_f1,
    per_candidate,
    reliability,
)
from pipeline.routers.base.protocol import Predictions
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import new_router
from pipeline.runtime.arrays import Binary, Indices
from pipeline.runtime.params import Section
from pipeline.runtime.plain import OMITTED

BASELINES = ("tfidf", "linear")
BASELINE_FOLDS = 3


class EvaluationParams(Section):
    """How much is resampled, and where the slices are cut."""

    resamples: int = Field(ge=100)
    short_below_words: int = Field(ge=1)
    rare_below: int = Field(ge=1)
    encoder: str


@dataclass(frozen=True)
class LabelSlice(Estimate):
    """Micro-F1 on a part of the holdout, and how many prompts and labels that has."""

    slice: str
    prompts: int
    labels: int


@dataclass(frozen=True)
class EngineDifference:
    """What serves beside the same weights in torch at full precision; nothing is chosen by it."""

    torch_micro_f1: float
    routed_differently: int
    largest_difference: float


@dataclass(frozen=True)
class LabelReport:
    """metrics.json of the agents' track. `micro_f1_over` holds the router's paired gain over each baseline.

    `unsupported_languages` are of all rows, train and holdout; None where that was not looked at.
    """

    systems: dict[str, dict[str, Estimate]]
    micro_f1_over: dict[str, Estimate]
    per_agent: tuple[CandidateScores, ...]
    slices: tuple[LabelSlice, ...]
    prompts: int
    holdout_version: str
    engine: EngineDifference | None = field(default=None, metadata=OMITTED)
    unsupported_languages: tuple[UnsupportedLanguage, ...] | None = field(default=None, metadata=OMITTED)

    @property
    def gains(self) -> dict[str, Estimate]:
        """Over each other system, in the track's headline figure."""
        return self.micro_f1_over


def fit_baseline(
    name: str, train: pd.DataFrame, names: tuple[str, ...], params: EvaluationParams, seed: int
) -> CalibratedRouter:
    """A baseline on the real train rows, tuned on folds merged from those of `split`."""
    outcomes = from_labels(train, names)
    baseline = new_router(name, FinetuningParams(encoder=params.encoder), seed)
    baseline.fit(outcomes, train["fold"].to_numpy() % BASELINE_FOLDS)
    return baseline


def label_report(
    systems: Mapping[str, Predictions],
    exact: Predictions,
    truth: Outcomes,
    rare: Sequence[int],
    params: EvaluationParams,
    seed: int,
    holdout_version: str,
) -> LabelReport:
    """Everything that is said of the holdout; `exact` is what the router predicts in torch at full precision."""
    router, labels = systems[ROUTER], truth.quality > 0.5
    draws = resamples(len(truth), params.resamples, seed)
    return LabelReport(
        systems={name: _figures(found, labels, draws) for name, found in systems.items()},
        micro_f1_over={name: _gain(router, found, labels, draws) for name, found in systems.items() if name != ROUTER},
        per_agent=per_candidate(labels, router.chosen, truth.candidates),
        slices=slices(truth, router.chosen, rare, params),
        prompts=len(truth),
        holdout_version=holdout_version,
        engine=engine_difference(router, exact, truth),
    )


def engine_difference(served: Predictions, exact: Predictions, truth: Outcomes) -> EngineDifference:
    """What serves beside what torch says at full precision, on the same prompts."""
    return EngineDifference(
        torch_micro_f1=six_decimals(micro_f1(truth.quality > 0.5, exact.chosen)),
        routed_differently=int((served.chosen != exact.chosen).any(axis=1).sum()),
        largest_difference=six_decimals(np.abs(served.quality - exact.quality).max()),
    )


def headline_estimates(predictions: Predictions, labels: Binary, draws: Indices) -> dict[str, Estimate]:
    """Each headline metric with its interval."""
    chosen = predictions.chosen
    return {
        metric: Estimate.of_share(
            statistic(labels, chosen), bootstrap(statistic, labels, chosen, draws), len(labels), six_decimals
        )
        for metric, statistic in HEADLINE.items()
    }


def _figures(predictions: Predictions, labels: Binary, draws: Indices) -> dict[str, Estimate]:
    """Headline metrics and what the probabilities are worth, each with its interval."""
    off = np.array([label_count_error(labels[rows], predictions.quality[rows]) for rows in draws])
    count_error = Estimate.of(label_count_error(labels, predictions.quality), off, six_decimals)
    return {
        **headline_estimates(predictions, labels, draws),
        "calibration_error": reliability(labels, predictions.quality).error_estimate(),
        # Of an absolute value every draw may lie above it.
        "label_count_error": replace(count_error, low=min(count_error.low, count_error.value)),
    }


def _gain(router: Predictions, other: Predictions, labels: Binary, draws: Indices) -> Estimate:
    """By how much the router's micro-F1 is above another's, on the same resamples."""
    gain = micro_f1(labels, router.chosen) - micro_f1(labels, other.chosen)
    return Estimate.of(gain, paired_differences(micro_f1, labels, router.chosen, other.chosen, draws), six_decimals)


def rare_agents(train: pd.DataFrame, names: tuple[str, ...], params: EvaluationParams) -> list[int]:
    """Columns of the agents with fewer train prompts than `rare_below`."""
    support = from_labels(train, names).quality.sum(axis=0)
    return [column for column in range(len(names)) if support[column] < params.rare_below]


def slices(truth: Outcomes, chosen: Binary, rare: Sequence[int], params: EvaluationParams) -> tuple[LabelSlice, ...]:
    """Micro-F1 with intervals on parts of the holdout; rare and common compare columns, the others rows."""
    labels = truth.quality > 0.5
    words = np.array([len(prompt.split()) for prompt in truth.prompts])
    asked = labels.sum(axis=1)
    every_row, every_column = np.ones(len(truth), dtype=np.bool_), np.ones(labels.shape[1], dtype=np.bool_)
    is_rare = np.isin(np.arange(labels.shape[1]), rare)
    parts = {
        "one agent": (asked == 1, every_column),
        "several agents": (asked > 1, every_column),
        "short prompts": (words < params.short_below_words, every_column),
        "longer prompts": (words >= params.short_below_words, every_column),
        "rare agents": (every_row, is_rare),
        "common agents": (every_row, ~is_rare),
    }
    return tuple(
        _slice(name, labels[rows][:, columns], chosen[rows][:, columns], params.resamples)
        for name, (rows, columns) in parts.items()
        if rows.any() and columns.any()
    )


def _slice(name: str, labels: Binary, chosen: Binary, count: int) -> LabelSlice:
    """Micro-F1 of a part that was cut out, with its interval over the part's own prompts.

    Those that neither ask for one of its agents nor get one say nothing of it, and are not drawn: where agents are rare
    a resample would often hold no other, and its F1 would be 0 for want of anything.
    """
    told = labels.any(axis=1) | chosen.any(axis=1)
    found = UNKNOWN
    if tells := int(told.sum()):
        drawn = bootstrap(micro_f1, labels[told], chosen[told], resamples(tells, count, seed=0))
        found = Estimate.of_share(micro_f1(labels, chosen), drawn, tells, six_decimals)
    return LabelSlice(found.value, found.low, found.high, name, len(labels), int(labels.sum()))
