"""The frozen holdout: a file of prompt ids under version control."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import sha256_text

HOLDOUT_FILE = Path("data/holdout.txt")


def read_holdout(path: Path = HOLDOUT_FILE) -> tuple[str, ...]:
    """The ids of the holdout, in file order; lines that begin with # are comments.

    Raises:
        InputError: the file is missing or names an id twice.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is missing or unreadable; restore it with git checkout") from error
    ids = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if len(set(ids)) < len(ids):
        twice = next(name for name in ids if ids.count(name) > 1)
        raise InputError(f"{path} names {twice} twice; remove one line")
    return ids


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
