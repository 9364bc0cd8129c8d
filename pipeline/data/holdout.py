"""The frozen holdout: a file of prompt ids under version control."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.names import COLUMNS, SEPARATOR
from pipeline.data.outcomes import Outcomes, from_labels, label_matrix, split_agents
from pipeline.data.stage_rows import outcomes_of
from pipeline.runtime.arrays import Binary, FloatMatrix
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import sha256_text
from pipeline.runtime.text import read_text

HOLDOUT_FILE = Path("data/holdout.txt")


def read_holdout(path: Path = HOLDOUT_FILE) -> tuple[str, ...]:
    """The ids of the holdout, in file order; lines that begin with # are comments.

    Raises:
        InputError: the file is missing or names an id twice.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is missing or unreadable; restore it with git checkout") from error
    ids = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise InputError(f"{path} names {twice} twice; remove one line")
    return ids


def holdout_text(ids: Sequence[str]) -> str:
    """What the file of a holdout holds."""
    return "".join(
        f"{line}\n" for line in ("# Ids of the frozen holdout: never trained on, tuned on or chosen by.", *ids)
    )


def holdout_version(rows: pd.DataFrame, graded: pd.DataFrame | None = None) -> str:
    """Names a holdout by its content, in any order: sha256 over id, text and labels of each row, or its outcomes."""
    truth = rows["agents"] if graded is None else rows["prompt_id"].map(_outcomes_by_prompt(graded))
    lines = sorted(
        f"{prompt_id}\0{sha256_text(str(prompt))}\0{told}\n"
        for prompt_id, prompt, told in zip(rows["prompt_id"], rows["prompt"], truth, strict=True)
    )
    return sha256_text("".join(lines))


def _outcomes_by_prompt(graded: pd.DataFrame) -> dict[str, str]:
    """What each prompt's outcomes are, as one text in the order of the candidates."""
    told: dict[str, str] = {}
    columns = ["prompt_id", "candidate", "quality", "cost"]
    for prompt_id, *outcome in graded[columns].sort_values("candidate").itertuples(index=False, name=None):
        told[prompt_id] = told.get(prompt_id, "") + json.dumps(outcome)
    return told


def predictions_table(
    holdout: pd.DataFrame, names: Sequence[str], expected: FloatMatrix, chosen: Binary
) -> pd.DataFrame:
    """One row a holdout prompt; `expected` and `chosen` are [n, c], their columns named by `names`.

    `holdout` has `prompt_id, prompt, agents`.
    """
    facts = {
        "prompt_id": holdout["prompt_id"].to_numpy(),
        "text_sha256": [sha256_text(text) for text in holdout["prompt"]],
        "agents": holdout["agents"].to_numpy(),
        "chosen": [SEPARATOR.join(n for n, hit in zip(names, row, strict=True) if hit) for row in chosen],
    }
    return pd.DataFrame({**facts, **{name: expected[:, c] for c, name in enumerate(names)}})


def candidates_in(predictions: pd.DataFrame) -> tuple[str, ...]:
    """The candidates of a table, in its order."""
    return tuple(name for name in predictions.columns if name not in COLUMNS)


def named_matrix(cells: pd.Series, names: Sequence[str]) -> Binary:
    """Cells such as `a|b` as bool [n, c]."""
    return np.asarray(label_matrix([split_agents(str(cell)) for cell in cells], names) > 0.5)


def truth_in(
    rows: pd.DataFrame, names: Sequence[str], graded: pd.DataFrame | None, costs: dict[str, float] | None = None
) -> Outcomes:
    """What was right for rows without texts: what was `graded` of them, or where that is None the labels in `agents`.

    `costs` are in USD a call, where labels have them.
    """
    rows = rows.assign(prompt="")
    return from_labels(rows, names, costs) if graded is None else outcomes_of(rows, graded, names)
