"""The tables that the suites judge, derived from data/prompts.csv: what they hold decides nothing.

A column `<name>_of` tells, for a person, which row a value of `<name>` comes from.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from pipeline.data.outcomes import split_agents
from pipeline.encoders.similarity import nearest
from pipeline.runtime.arrays import Binary, FloatMatrix
from pipeline.runtime.tables import LINE, sha256_text
from pipeline.runtime.text import folded

(PROMPTS_FILE, PROMPT_ROWS, LABELS, DUPLICATES, KEPT_PROMPTS, HOLDOUT, AGENTS) = TABLES = (
    "prompts_file", "prompt_rows", "labels", "duplicates", "kept_prompts", "holdout", "agents"
)  # fmt: skip
TABLES_WITH_LINES = (PROMPT_ROWS, LABELS, DUPLICATES)
"""Tables in which each row comes from one row of prompts.csv, so that a rule may put that row aside."""

ABSENT, QUARANTINED, KEPT = "absent", "quarantined", "kept"


def prompt_rows(rows: pd.DataFrame, forgotten: Collection[str]) -> pd.DataFrame:
    """Each row as it stands, a blank field as null, how many earlier rows have its id, and whether it was forgotten.

    `forgotten` holds the sha256 of every text that was taken out on request.
    """
    table = rows.copy()
    for column in rows.columns.drop(LINE):
        table[column] = [text if text.strip() else None for text in rows[column]]
    table["times_forgotten"] = [int(sha256_text(text) in forgotten) for text in rows["prompt"]]
    same = rows.groupby("prompt_id")
    table["earlier_rows_with_id"] = same.cumcount().where(table["prompt_id"].notna())
    table["earlier_rows_with_id_of"] = [f"line {line}" for line in same[LINE].transform("first")]
    return table


def labels(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each agent that a prompt names: `line, prompt_id, agent`."""
    named = [
        (line, prompt_id, agent)
        for line, prompt_id, agents in zip(rows[LINE], rows["prompt_id"], rows["agents"], strict=True)
        for agent in split_agents(agents)
    ]
    return pd.DataFrame(named, columns=[LINE, "prompt_id", "agent"])


def duplicates(rows: pd.DataFrame, vectors: FloatMatrix, holdout: Sequence[str]) -> pd.DataFrame:
    """How near each row is to the rows before it, in train and in the holdout apart; `vectors` are unit vectors.

    Of two rows that say the same the earlier stays, except that a holdout row always stays: train rows are
    compared with earlier train rows and with the whole holdout, holdout rows with earlier holdout rows. A row
    whose folded text stood before gets no `nearest_earlier_cosine`: it is found already.
    """
    table = rows[[LINE, "prompt_id"]].reset_index(drop=True)
    held_out = table["prompt_id"].isin(holdout).to_numpy()
    same = table.groupby([held_out, np.array([folded(prompt) for prompt in rows["prompt"]], dtype=object)])
    table["earlier_rows_with_text"] = same.cumcount()
    table["earlier_rows_with_text_of"] = [f"line {line}" for line in same[LINE].transform("first")]
    fresh = (table["earlier_rows_with_text"] == 0).to_numpy()
    table = _with_nearest(table, "holdout_cosine", vectors, ~held_out, held_out)
    table = _with_nearest(table, "nearest_earlier_cosine", vectors, held_out & fresh)
    return _with_nearest(table, "nearest_earlier_cosine", vectors, ~held_out & fresh)


def _with_nearest(
    table: pd.DataFrame, name: str, vectors: FloatMatrix, rows: Binary, others: Binary | None = None
) -> pd.DataFrame:
    """Fill `name` for `rows` with the cosine to the nearest of `others`, by default the nearest earlier of `rows`."""
    own = np.flatnonzero(rows)
    among = own if others is None else np.flatnonzero(others)
    found, cosines = nearest(vectors[own], vectors[among], earlier_only=others is None)
    column = table[name].to_numpy(copy=True) if name in table else np.full(len(table), np.nan)
    partner = table[f"{name}_of"].tolist() if name in table else [""] * len(table)
    column[own] = cosines
    for row, other, cosine in zip(own, found, cosines, strict=True):
        partner[row] = f"line {table[LINE].iloc[among[other]]}, cosine {cosine:.3f}" if other >= 0 else ""
    return table.assign(**{name: column, f"{name}_of": partner})


def kept_prompts(kept: pd.DataFrame) -> pd.DataFrame:
    """The kept rows, and whether each names several agents (0 or 1)."""
    return kept.assign(names_several_agents=[int(len(split_agents(agents)) > 1) for agents in kept["agents"]])


def holdout_ids(holdout: Sequence[str], rows: pd.DataFrame, kept: pd.DataFrame) -> pd.DataFrame:
    """One row for each id of the holdout: `prompt_id, state`."""
    here, sound = set(rows["prompt_id"]), set(kept["prompt_id"])
    states = [KEPT if name in sound else QUARANTINED if name in here else ABSENT for name in holdout]
    return pd.DataFrame({"prompt_id": list(holdout), "state": states}, dtype=object)


def agents(taxonomy: Sequence[str], kept: pd.DataFrame) -> pd.DataFrame:
    """One row for each agent of the taxonomy: `agent, prompts`, how many kept prompts name it."""
    named = [agent for cell in kept["agents"] for agent in split_agents(cell)]
    return pd.DataFrame({"agent": list(taxonomy), "prompts": [named.count(agent) for agent in taxonomy]})
