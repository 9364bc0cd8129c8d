"""The frozen holdout: a file of prompt ids under version control."""

from __future__ import annotations

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


def holdout_version(rows: pd.DataFrame) -> str:
    """Names a holdout by its content: sha256 over id, text and labels of each row, in id order."""
    lines = sorted(
        f"{row['prompt_id']}\0{sha256_text(str(row['prompt']))}\0{row['agents']}\n" for row in rows.to_dict("records")
    )
    return sha256_text("".join(lines))
