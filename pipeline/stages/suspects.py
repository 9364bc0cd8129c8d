"""Stage `suspects`: the labels that look wrong, ranked by what a review of each is expected to mend.

The networks that `train` fitted without a row's fold and the linear heads of `label_noise` each say how likely an agent
is; the mean of both knows more than either (docs/results/label-noise.md). A row that `label_noise` put aside is judged
by the heads alone. A suspect stays in training; people decide.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.data.agents import read_agents
from pipeline.data.fates import FLAGGED, KEPT, TRAIN, Fate, fate_of, write_fates
from pipeline.data.holdout import named_matrix
from pipeline.learning.label_errors import pooled, rank_suspects, reason_of
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.params import Section, read
from pipeline.runtime.reproducibility import RunParams, pin
from pipeline.runtime.stage import STAGES, Summary, run_stage
from pipeline.runtime.tables import read_table, write_table

NAME = "suspects"


class SuspectsParams(Section):
    """How many suspects people are shown."""

    listed: int = Field(ge=1)


def suspects(params: SuspectsParams) -> Summary:
    """Write the ranked suspects as CSV and Parquet, and flag those that no person has decided on."""
    names = tuple(agent.name for agent in read_agents())
    rows = read_table(STAGES / "label_noise" / "examined.parquet")
    sources = [_held_out(stage, rows["prompt_id"], names) for stage in ("label_noise", "train")]
    probabilities = pooled(sources, named_matrix(rows["agents"], names), rows["fold"].to_numpy())
    ranked = rank_suspects(rows, probabilities, names, params.listed)
    write_table(ranked, STAGES / NAME / "suspects.csv")
    write_table(ranked, STAGES / NAME / "suspects.parquet")
    told = {row["prompt_id"]: reason_of(row) for _, row in ranked[ranked["review"] == ""].iterrows()}
    learnt = rows[~rows["put_aside"]]
    fates = [_fate(row, told) for _, row in learnt.iterrows()]
    write_fates(NAME, fates)
    return {
        "suspects": len(ranked),
        "reviewed": int((ranked["review"] != "").sum()),
        FLAGGED: sum(fate.fate == FLAGGED for fate in fates),
    }


def _held_out(stage: str, prompt_ids: pd.Series, names: tuple[str, ...]) -> FloatMatrix:
    """A stage's held-out probabilities float32 [n, c] of the rows, NaN where it has none."""
    table = read_table(STAGES / stage / "held_out.parquet").set_index("prompt_id")
    return table.reindex(prompt_ids)[list(names)].to_numpy(dtype=np.float32)


def _fate(row: pd.Series, told: dict[str, str]) -> Fate:
    reason = told.get(row["prompt_id"], "")
    fate = FLAGGED if reason else KEPT
    return fate_of(row["prompt_id"], row["prompt"], fate, reason=reason, split=TRAIN, agents=row["agents"])


def _run() -> Summary:
    run = read("run", RunParams)
    pin(run.seed, run.threads, run.device)
    return suspects(read("suspects", SuspectsParams))


if __name__ == "__main__":
    run_stage(NAME, _run)
