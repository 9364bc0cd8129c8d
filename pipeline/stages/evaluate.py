"""Stage `evaluate`: the router on the frozen holdout, beside baselines fitted on the same train rows.

Nothing is chosen here. Intervals are 95 % percentile bootstrap over prompts; one set of resamples serves every
system, so that differences are paired.
"""

from __future__ import annotations

from typing import Any

from pipeline.data.agents import read_agents
from pipeline.data.fates import HOLDOUT, KEPT, fates_of_rows, write_fates
from pipeline.data.holdout import holdout_version, predictions_table
from pipeline.data.outcomes import from_labels
from pipeline.encoders.engine_files import ENGINE
from pipeline.evaluation.label_report import (
    BASELINES,
    EvaluationParams,
    _judge,
    engine_facts,
    fit_baseline,
    measure,
    rare_agents,
    slices,
)
from pipeline.evaluation.plots import draw_all
from pipeline.metrics.bootstrap import resamples
from pipeline.routers.systems import open_router
from pipeline.runtime.params import read
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
    systems = {"router": _judge(router.predict(truth.prompts))}
    exact = _judge(open_router(trained).predict(truth.prompts))
    for name in BASELINES:
        systems[name] = _judge(fit_baseline(name, train, names, params, run.seed).predict(truth.prompts))
    draws = resamples(len(truth), params.resamples, run.seed)
    report = measure(systems, truth, draws)
    report["slices"] = slices(truth, systems["router"].chosen, rare_agents(train, names, params), params, draws)
    report["engine"] = engine_facts(systems["router"], exact, truth)
    report["holdout_version"] = holdout_version(holdout)
    report["prompts"] = len(truth)
    write_json(report, STAGES / NAME / "metrics.json")
    judged = systems["router"]
    table = predictions_table(holdout, names, judged.probability, judged.chosen)
    write_table(table, STAGES / NAME / "predictions.parquet")
    draw_all(
        truth.quality > 0.5, systems["router"].probability, systems["router"].chosen, names, STAGES / NAME / "plots"
    )
    write_fates(NAME, fates_of_rows(holdout, KEPT, HOLDOUT))
    return _summary(report)


def _summary(report: dict[str, Any]) -> Summary:
    router = report["systems"]["router"]
    return {
        "prompts": report["prompts"],
        **{metric: figure["value"] for metric, figure in router.items()},
        **{f"{name}_micro_f1": report["systems"][name]["micro_f1"]["value"] for name in BASELINES},
    }


def _run() -> Summary:
    run = read("run", RunParams)
    pin(run.seed, run.threads)
    return evaluate(read("evaluate", EvaluationParams), run)


if __name__ == "__main__":
    run_stage(NAME, _run)
