"""Stage `evaluate`: the router on the frozen holdout, beside baselines fitted on the same train rows.

Nothing is chosen here. Intervals are 95 % percentile bootstrap over prompts; one set of resamples serves every
system, so that differences are paired.
"""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from pipeline.data.agents import read_agents
from pipeline.data.fates import HOLDOUT, KEPT, fates_of_rows, write_fates
from pipeline.data.holdout import holdout_version, predictions_table
from pipeline.data.outcomes import from_labels
from pipeline.encoders.engine_files import ENGINE
from pipeline.evaluation.label_report import (
    BASELINES,
    EvaluationParams,
    LabelReport,
    fit_baseline,
    label_report,
    rare_agents,
)
from pipeline.evaluation.language_report import language_report
from pipeline.evaluation.plots import draw_all
from pipeline.metrics.holdout_figures import ROUTER
from pipeline.routers.systems import open_router
from pipeline.runtime.params import read
from pipeline.runtime.plain import plain
from pipeline.runtime.reproducibility import RunParams, pin
from pipeline.runtime.stage import STAGES, Summary, run_stage
from pipeline.runtime.tables import read_table, write_json, write_table

NAME = "evaluate"


def evaluate(params: EvaluationParams, run: RunParams) -> Summary:
    """Score the holdout; write metrics, predictions, plot data and pictures.

    Raises:
        InputError: the router cannot be loaded.
    """
    agents = read_agents()
    names = tuple(agent.name for agent in agents)
    train = read_table(STAGES / "label_noise" / "train.parquet").drop(columns="line")
    holdout = read_table(STAGES / "label_noise" / "holdout.parquet").drop(columns="line")
    truth = from_labels(holdout, names)
    trained = STAGES / "train" / "router"
    router = open_router(trained, engine=STAGES / "optimize" / ENGINE, threads=run.threads)
    predicted, exact = router.predict(truth.prompts), open_router(trained).predict(truth.prompts)
    baselines = {name: fit_baseline(name, train, names, params, run.seed).predict(truth.prompts) for name in BASELINES}
    rare = rare_agents(train, names, params)
    systems = {ROUTER: predicted, **baselines}
    report = label_report(systems, exact, truth, rare, params, run.seed, holdout_version(holdout))
    texts = pd.concat([train, holdout])
    languages = language_report(router, texts["prompt_id"].tolist(), texts["prompt"].tolist())
    report = replace(report, unsupported_languages=languages)
    write_json(plain(report), STAGES / NAME / "metrics.json")
    table = predictions_table(holdout, names, predicted.quality, predicted.chosen)
    write_table(table, STAGES / NAME / "predictions.parquet")
    draw_all(truth.quality > 0.5, predicted.quality, predicted.chosen, names, STAGES / NAME / "plots")
    write_fates(NAME, fates_of_rows(holdout, KEPT, HOLDOUT))
    return _summary(report)


def _summary(report: LabelReport) -> Summary:
    return {
        "prompts": report.prompts,
        **{metric: found.value for metric, found in report.systems[ROUTER].items()},
        **{f"{name}_micro_f1": report.systems[name]["micro_f1"].value for name in BASELINES},
    }


def _run() -> Summary:
    run = read("run", RunParams)
    pin(run.seed, run.threads, run.device)
    return evaluate(read("evaluate", EvaluationParams), run)


if __name__ == "__main__":
    run_stage(NAME, _run)
