"""The tables that the suites judge, derived from data/prompts.csv: what they hold decides nothing.

A column `<name>_of` tells, for a person, which row a value of `<name>` comes from.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.data.outcomes import split_agents
from pipeline.encoders.similarity import nearest
from pipeline.runtime.arrays import Binary, FloatMatrix
from pipeline.runtime.tables import LINE, sha256_text
from pipeline.runtime.text import folded, is_blank
from pipeline.validation.text_overlap import holdout_overlap

(PROMPTS_FILE, PROMPT_ROWS, LABELS, DUPLICATES, KEPT_PROMPTS, HOLDOUT, AGENTS, SOURCES) = TABLES = (
    "prompts_file", "prompt_rows", "labels", "duplicates", "kept_prompts", "holdout", "agents", "sources"
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
        table[column] = [None if is_blank(text) else text for text in rows[column]]
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
    whose folded text stood before gets no `nearest_earlier_cosine`: it is found already. `holdout_overlap` is how much
    of a holdout row a train row holds, which no cosine tells of a longer one.
    """
    table = rows[[LINE, "prompt_id"]].reset_index(drop=True)
    held_out = table["prompt_id"].isin(holdout).to_numpy()
    same = table.groupby([held_out, np.array([folded(prompt) for prompt in rows["prompt"]], dtype=object)])
    table["earlier_rows_with_text"] = same.cumcount()
    table["earlier_rows_with_text_of"] = [f"line {line}" for line in same[LINE].transform("first")]
    fresh = (table["earlier_rows_with_text"] == 0).to_numpy()
    table = _with_nearest(table, "holdout_cosine", vectors, ~held_out, held_out)
    table = _with_overlap(table, rows["prompt"].to_numpy(), held_out)
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


def _with_overlap(table: pd.DataFrame, prompts: npt.NDArray[np.object_], held_out: Binary) -> pd.DataFrame:
    """Fill `holdout_overlap` for train rows with the largest share of a holdout row that each holds."""
    found, shares = holdout_overlap(list(prompts[~held_out]), list(prompts[held_out]))
    lines = table[LINE].to_numpy()[held_out]
    column, partner = np.full(len(table), np.nan), np.full(len(table), "", dtype=object)
    column[~held_out] = shares
    partner[~held_out] = [
        f"{share:.0%} of line {lines[other]}" if other >= 0 else "" for other, share in zip(found, shares, strict=True)
    ]
    return table.assign(holdout_overlap=column, holdout_overlap_of=partner)


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


def sources(kept: pd.DataFrame) -> pd.DataFrame:
    """One row for each source: `source, growth`, its rows of one day as a share of all rows of the days before.

    The day is that on which it added most by that measure. The first day of a table is its beginning, and no growth.
    """
    by_day = kept.groupby("added_on").size()
    before = by_day.cumsum() - by_day
    added = kept.groupby(["source", "added_on"]).size()
    days = added.index.get_level_values("added_on")
    growth: pd.Series = added / np.maximum(before.loc[days].to_numpy(), 1)
    growth[days == by_day.index[0]] = 0.0
    return growth.groupby(level="source").max().rename("growth").reset_index()
