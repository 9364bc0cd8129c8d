"""Stage `gate` of the models' track: what a model router must show before it is registered.

The same verdicts as for agents, on quality and cost: not inferior to the best single candidate
nor to the champion, calibrated, and no dearer than allowed.
"""

from __future__ import annotations

from pipeline.data.stage_rows import outcomes_beside
from pipeline.gating.champion import read_champion
from pipeline.gating.model_gates import ModelGateParams, inputs_of, judge
from pipeline.gating.results import GATE, write_verdict
from pipeline.metrics.holdout_figures import read_figures
from pipeline.runtime.params import read
from pipeline.runtime.reproducibility import RunParams
from pipeline.runtime.stage import Summary, run_stage_of
from pipeline.runtime.tables import read_json, read_table
from pipeline.runtime.track import MODELS


def gate(params: ModelGateParams, seed: int) -> Summary:
    """Judge the challenger and write the verdict.

    Raises:
        InputError: the champion's folder says neither who it is nor that there is none.
    """
    predictions = read_table(MODELS.stages / "evaluate" / "predictions.parquet")
    report = read_figures(read_json(MODELS.stages / "evaluate" / "metrics.json"))
    graded = read_table(outcomes_beside(MODELS.stages / MODELS.held_out))
    train_rows = len(read_table(MODELS.stages / MODELS.learnt))
    inputs = inputs_of(predictions, graded, report, train_rows, read_champion(MODELS.champion))
    return write_verdict(judge(inputs, params, seed), MODELS.stages)


if __name__ == "__main__":
    run_stage_of(MODELS, GATE, lambda _: gate(read("models.gate", ModelGateParams), read("run", RunParams).seed))
