"""The rows that stages hand to each other: with labels on the agents' track, with graded outcomes on the models'.

A stage of the models' track writes two tables. `train.parquet` has a row a prompt, and `train_outcomes.parquet` beside
it a row an outcome, `prompt_id, candidate, quality, cost`, in float32. The cost is null where it is not known. A
candidate that was not tried on a prompt has no row, since a quality of 0 would say that it failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.agents import read_agents
from pipeline.data.names import SEPARATOR
from pipeline.data.outcomes import Outcomes, datasets_in, from_labels
from pipeline.runtime.arrays import Binary
from pipeline.runtime.tables import LINE, read_table, write_table
from pipeline.runtime.track import AGENTS, MODELS, Track

JOINING = "joining.parquet"
"""What candidates that joined later did, as a table of outcomes."""


@dataclass(frozen=True)
class StageRows:
    """One row a prompt, and on the models' track its outcomes, one row an outcome; None on the agents' track.

    Law: on the agents' track `prompts` has the label in its column `agents`, on the models' track it has none.
    """

    prompts: pd.DataFrame
    graded: pd.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.prompts)

    def where(self, wanted: Binary) -> StageRows:
        """Some prompts, with what was graded of them."""
        prompts = self.prompts[wanted].reset_index(drop=True)
        return StageRows(prompts, None if self.graded is None else of_prompts(self.graded, prompts))

    def joined_by(self, more: pd.DataFrame) -> StageRows:
        """The same prompts with further outcomes; those of other prompts are left out."""
        return replace(self, graded=pd.concat([self.graded, of_prompts(more, self.prompts)], ignore_index=True))

    def labelled(self) -> pd.DataFrame:
        """The prompts with what is shown of each: its label, or the candidates that did best, `a|b`."""
        return self.prompts if self.graded is None else with_best(self.prompts, self.graded)

    def outcomes(self, candidates: Sequence[str] | None = None) -> Outcomes:
        """What routers fit. The columns are the agents of data/agents.yaml with what they cost; or `candidates`, by
        default those that were tried here, sorted.

        Raises:
            InputError: data/agents.yaml, or a label, is malformed.
        """
        if self.graded is not None:
            return outcomes_of(self.prompts, self.graded, candidates)
        agents = read_agents()
        return from_labels(self.prompts, [agent.name for agent in agents], {a.name: a.usd_per_call for a in agents})

    def write(self, path: Path) -> None:
        """Write the table of prompts, and on the models' track that of outcomes beside it."""
        write_table(self.prompts, path)
        if self.graded is not None:
            write_table(self.graded, outcomes_beside(path))


def read_rows(track: Track, name: str) -> StageRows:
    """The rows that a stage wrote to `name`, one of the track's paths under its stages.

    Raises:
        TableError: a table is missing or malformed.
    """
    prompts = read_table(track.stages / name).drop(columns=LINE)
    return StageRows(prompts, read_graded(track, name))


def read_graded(track: Track, name: str) -> pd.DataFrame | None:
    """The outcomes beside the prompts that a stage wrote to `name`; None on the agents' track.

    Raises:
        TableError: the table is missing or malformed.
    """
    return None if track is AGENTS else read_table(outcomes_beside(track.stages / name)).drop(columns=LINE)


def read_joining(stage: str) -> pd.DataFrame:
    """What candidates that joined later did, as a stage of the models' track wrote it; mostly there are no rows."""
    return pd.read_parquet(MODELS.stages / stage / JOINING)


def outcomes_beside(path: Path) -> Path:
    """Where the outcomes of a stage's prompts stand."""
    return path.with_name(f"{path.stem}_outcomes{path.suffix}")


def graded_table(outcomes: Outcomes) -> pd.DataFrame:
    """Outcomes as a table with a row each, by prompt and then by candidate."""
    row, column = np.nonzero(~np.isnan(outcomes.quality))
    table = pd.DataFrame(
        {
            "prompt_id": np.array(outcomes.prompt_ids, dtype=object)[row],
            "candidate": np.array(outcomes.candidates, dtype=object)[column],
            "quality": outcomes.quality[row, column],
            "cost": outcomes.cost[row, column],
        }
    )
    return table.astype({"prompt_id": "string", "candidate": "string"})


def outcomes_of(prompts: pd.DataFrame, graded: pd.DataFrame, candidates: Sequence[str] | None = None) -> Outcomes:
    """The inverse: one row a prompt, NaN where a candidate was not tried; outcomes of other prompts are left out.

    `candidates` fixes the columns and their order, by default those found, sorted; others are left out.
    """
    row = pd.Index(prompts["prompt_id"].astype(str)).get_indexer(pd.Index(graded["prompt_id"].astype(str)))
    names = tuple(candidates) if candidates is not None else tuple(sorted(set(graded["candidate"][row >= 0])))
    column = pd.Index(names, dtype=object).get_indexer(pd.Index(graded["candidate"].astype(str)))
    known = (row >= 0) & (column >= 0)
    quality = np.full((len(prompts), len(names)), np.nan, dtype=np.float32)
    cost = quality.copy()
    quality[row[known], column[known]] = graded["quality"].to_numpy(np.float32, na_value=np.nan)[known]
    cost[row[known], column[known]] = graded["cost"].to_numpy(np.float32, na_value=np.nan)[known]
    return Outcomes(
        prompt_ids=tuple(map(str, prompts["prompt_id"])),
        prompts=tuple(map(str, prompts["prompt"])),
        candidates=names,
        quality=quality,
        cost=cost,
        is_labels=False,
        datasets=datasets_in(prompts),
    )


def of_prompts(graded: pd.DataFrame, prompts: pd.DataFrame) -> pd.DataFrame:
    """The outcomes of some prompts."""
    return graded[graded["prompt_id"].isin(prompts["prompt_id"])].reset_index(drop=True)


def with_best(prompts: pd.DataFrame, graded: pd.DataFrame) -> pd.DataFrame:
    """Prompts with a column `agents`: the candidates of the highest quality on each, `a|b`; "" where none was tried."""
    best = graded[graded["quality"] == graded.groupby("prompt_id")["quality"].transform("max")]
    names = best.groupby("prompt_id")["candidate"].agg(SEPARATOR.join)
    return prompts.assign(agents=prompts["prompt_id"].map(names).fillna("").astype("string"))
