"""Stage `gate`: what a challenger must show before it is registered.

Each gate gives a value, a limit, a verdict and a reason. Anything but `passed` closes the door: a gate that
cannot decide does not pass. The stage itself succeeds and writes the verdict.

Against the champion the test is paired: both are scored on the same resamples of the same prompts, and the lower
one-sided bound of the difference must stay above minus the margin (a non-inferiority test).
"""

from __future__ import annotations

from pipeline.data.agents import read_agents
from pipeline.gating.agent_gates import GateInputs, GateParams, inputs_of, judge
from pipeline.gating.champion import read_champion
from pipeline.gating.results import GATE, write_verdict
from pipeline.metrics.holdout_figures import read_figures
from pipeline.runtime.params import read
from pipeline.runtime.reproducibility import RunParams
from pipeline.runtime.stage import STAGES, Summary, run_stage
from pipeline.runtime.tables import read_json, read_table


def gate(params: GateParams, seed: int) -> Summary:
    """Judge the challenger and write the verdict.

    Raises:
        InputError: champion/ says neither who the champion is nor that there is none.
    """
    results = judge(gather(), params, seed)
    return write_verdict(results, STAGES)


def gather() -> GateInputs:
    """Read the stages' outputs and the champion."""
    return inputs_of(
        names=tuple(agent.name for agent in read_agents()),
        train_agents=read_table(STAGES / "label_noise" / "train.parquet")["agents"],
        predictions=read_table(STAGES / "evaluate" / "predictions.parquet"),
        report=read_figures(read_json(STAGES / "evaluate" / "metrics.json")),
        champion=read_champion(),
    )


if __name__ == "__main__":
    run_stage(GATE, lambda: gate(read(GATE, GateParams), read("run", RunParams).seed))
