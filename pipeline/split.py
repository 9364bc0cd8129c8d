"""Stage `split`: the frozen holdout apart from train, and folds inside train.

The holdout was drawn once (`python -m pipeline.split draw`) and is a file of ids under version control. A new
row joins train; it joins the holdout only when a person adds its id to that file.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import Field

from pipeline.agents import read_agents
from pipeline.determinism import RunParams
from pipeline.errors import InputError, SwitchtenderError
from pipeline.fates import HOLDOUT, KEPT, TRAIN, fates_of_rows, write_fates
from pipeline.folds import make_folds
from pipeline.holdout import HOLDOUT_FILE, holdout_version, read_holdout
from pipeline.outcomes import label_matrix, split_agents
from pipeline.params import Section, read
from pipeline.stage import STAGES, Summary, run_stage
from pipeline.tables import read_table, write_table, write_text

NAME = "split"


class SplitParams(Section):
    """How train is cut into folds, and how the holdout was drawn."""

    folds: int = Field(ge=2)
    holdout_share: float = Field(gt=0, lt=1)
    holdout_minimum: int = Field(ge=1)


def split(params: SplitParams, seed: int) -> Summary:
    """Write train (with its folds) and holdout; record each row's split.

    Raises:
        InputError: no train row or no holdout row is left.
    """
    rows = read_table(STAGES / "validate" / "prompts.parquet").drop(columns="line")
    held_out = rows["prompt_id"].isin(read_holdout())
    train, holdout = rows[~held_out].reset_index(drop=True), rows[held_out].reset_index(drop=True)
    if train.empty or holdout.empty:
        raise InputError(f"{HOLDOUT_FILE} leaves {len(train)} rows to train on and {len(holdout)} to hold out; mend it")
    names = [agent.name for agent in read_agents()]
    labels = label_matrix([split_agents(text) for text in train["agents"]], names)
    train = train.assign(fold=make_folds(labels, params.folds, seed))
    write_table(train, STAGES / NAME / "train.parquet")
    write_table(holdout, STAGES / NAME / "holdout.parquet")
    write_fates(NAME, fates_of_rows(train, KEPT, TRAIN) + fates_of_rows(holdout, KEPT, HOLDOUT))
    return {"train": len(train), "holdout": len(holdout), "holdout_version": holdout_version(holdout)}


def draw_holdout(rows: pd.DataFrame, names: list[str], params: SplitParams, seed: int) -> tuple[str, ...]:
    """Draw a stratified holdout in which every agent has at least `holdout_minimum` prompts.

    Raises:
        InputError: an agent has too few prompts for that.
    """
    from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit

    labels = label_matrix([split_agents(text) for text in rows["agents"]], names)
    for attempt in range(200):
        splitter = MultilabelStratifiedShuffleSplit(1, test_size=params.holdout_share, random_state=seed + attempt)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, chosen = next(splitter.split(np.zeros(len(rows)), labels.astype(int)))
        if (labels[chosen].sum(axis=0) >= params.holdout_minimum).all():
            return tuple(sorted(rows["prompt_id"].iloc[chosen]))
    raise InputError("no draw gives every agent enough holdout prompts; add prompts or lower split.holdout_minimum")


def _draw() -> None:
    """Draw the holdout once.

    Raises:
        InputError: there is one already, or no draw gives every agent enough prompts.
    """
    if HOLDOUT_FILE.exists():
        raise InputError(f"{HOLDOUT_FILE} exists and is frozen; a new holdout is a decision: remove the file first")
    params, run = read("split", SplitParams), read("run", RunParams)
    rows = read_table(Path("data/prompts.csv"), required=("prompt_id", "agents"))
    ids = draw_holdout(rows, [agent.name for agent in read_agents()], params, run.seed)
    write_text(
        "# Ids of the frozen holdout: never trained on, tuned on or chosen by.\n" + "\n".join(ids) + "\n", HOLDOUT_FILE
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["draw"]:
        try:
            _draw()
        except SwitchtenderError as error:
            print(f"{NAME}: {error}", file=sys.stderr)
            sys.exit(error.exit_code)
    else:
        run_stage(NAME, lambda: split(read("split", SplitParams), read("run", RunParams).seed))
