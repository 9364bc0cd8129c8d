"""Stage `evaluate` of the models' track: the router on the frozen holdout, beside every baseline.

Baselines are chosen and fitted on the rows that the router learnt from. Nothing is chosen here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from pipeline.data.fates import FATES, HOLDOUT, KEPT, fates_of_rows, write_fates
from pipeline.data.holdout import holdout_version, predictions_table
from pipeline.data.stage_rows import read_joining, read_rows
from pipeline.encoders.engine_files import ENGINE
from pipeline.evaluation.cost_quality_plots import draw_outcomes
from pipeline.evaluation.language_report import language_report
from pipeline.evaluation.outcome_facts import ModelReport, OutcomeReport, UnmatchedPrompts
from pipeline.evaluation.outcome_report import outcome_report
from pipeline.evaluation.reference_strategies import LEARNT, learnt_predictions
from pipeline.evaluation.task_map import TASK_MAP, draw_task_map
from pipeline.metrics.bootstrap import six_decimals
from pipeline.metrics.holdout_figures import ROUTER
from pipeline.routers.base.settings import FinetuningParams
from pipeline.routers.systems import open_router
from pipeline.routers.tasks.router import TasksScorer
from pipeline.runtime.arrays import Binary
from pipeline.runtime.errors import InputError
from pipeline.runtime.params import Section, read
from pipeline.runtime.reproducibility import RunParams, pin
from pipeline.runtime.stage import Summary, run_stage_of
from pipeline.runtime.tables import write_json, write_table
from pipeline.runtime.track import MODELS, Track

NAME = "evaluate"
MOST_NEW = 20
_SHOWN = ("quality", "cost_usd", "gap_closed", "accept_rate", "mean_rank")


class ModelEvaluationParams(Section):
    """What the learnt baselines read prompts by; see `FinetuningParams`."""

    encoder: str
    max_tokens: int = Field(default=128, gt=0)


def evaluate(params: ModelEvaluationParams, run: RunParams, track: Track = MODELS) -> Summary:
    """Score the holdout; write metrics, predictions, plot data and pictures.

    Raises:
        InputError: the router cannot be loaded.
    """
    holdout = read_rows(track, track.held_out)
    router = open_router(track.stages / track.router, engine=track.stages / "optimize" / ENGINE, threads=run.threads)
    truth = holdout.outcomes(router.candidates)
    part = read_rows(track, track.learnt).joined_by(read_joining("split")).outcomes(router.candidates)
    reading = router.read(truth.prompts)
    predictions = router.judge(truth.prompts, reading)
    parts = [(part, np.arange(len(truth)))]
    reading_params = FinetuningParams(encoder=params.encoder, max_tokens=params.max_tokens)
    learnt = learnt_predictions(tuple(LEARNT), truth, parts, reading_params, run.seed)
    outcomes = outcome_report(predictions, truth, learnt, parts)
    drift = drift_facts(truth.prompt_ids, router.is_new(truth.prompts, reading))
    report = models_report(outcomes, holdout_version(holdout.prompts, holdout.graded), drift)
    ids, texts = (*part.prompt_ids, *truth.prompt_ids), (*part.prompts, *truth.prompts)
    report = replace(report, unsupported_languages=language_report(router, ids, texts))
    write_json(report.to_json(), track.stages / NAME / "metrics.json")
    rows = holdout.labelled()
    table = predictions_table(rows, predictions.candidates, predictions.quality, predictions.chosen)
    write_table(table, track.stages / NAME / "predictions.parquet")
    plots = track.stages / NAME / "plots"
    draw_outcomes(outcomes, plots)
    if isinstance(router.scorer, TasksScorer):
        draw_task_map(router.scorer.tasks(), router.scorer.prompt_map(), plots / f"{TASK_MAP}.png")
    write_fates(NAME, fates_of_rows(rows, KEPT, HOLDOUT), track.stages / FATES.name)
    return _summary(report)


def drift_facts(prompt_ids: Sequence[str], new: Binary | None) -> UnmatchedPrompts | None:
    """How many of the prompts match no task, the share, and the first of them; None where the system cannot tell."""
    if new is None:
        return None
    ids = [prompt_ids[i] for i in np.flatnonzero(new).tolist()]
    return UnmatchedPrompts(len(new), len(ids), six_decimals(new.mean()), tuple(ids[:MOST_NEW]))


def models_report(outcomes: OutcomeReport, holdout_version: str, drift: UnmatchedPrompts | None) -> ModelReport:
    """The report with the headline figures as every track's metrics.json has them.

    A system whose quality is known on no prompt is left out: always the cheapest, where that is a candidate known by
    its aptitude test alone.

    Raises:
        InputError: that is so of the router itself.
    """
    systems = {
        name: {what: found for what in _SHOWN if (found := getattr(row, what)).is_known}
        for name, row in outcomes.metrics.items()
        if row.quality.is_known
    }
    if ROUTER not in systems:
        raise InputError(
            "on no holdout prompt is the quality of what the router chooses known; add outcomes of the candidates that "
            "joined on holdout prompts to data/candidates"
        )
    systems[ROUTER]["calibration_error"] = outcomes.calibration["all"].error_interval
    lead = {name: row.router_minus_this for name, row in outcomes.metrics.items() if row.router_minus_this.is_known}
    return ModelReport(outcomes, holdout_version, drift, systems, lead)


def _summary(report: ModelReport) -> Summary:
    return {
        "prompts": report.prompts,
        **{what: found.value for what, found in report.systems[ROUTER].items()},
        **{f"{name}_quality": row["quality"].value for name, row in report.systems.items() if name != ROUTER},
    }


def _run() -> Summary:
    run = read("run", RunParams)
    pin(run.seed, run.threads, run.device)
    return evaluate(read("models.evaluate", ModelEvaluationParams), run)


if __name__ == "__main__":
    run_stage_of(MODELS, NAME, lambda _: _run())
