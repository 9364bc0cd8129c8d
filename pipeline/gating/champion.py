"""The champion as an input: a folder that the flow writes before the first stage, and only `gate` reads.

`champion.json` says either that there is none, explicitly, or who it is; `predictions.csv` holds its choices on
the holdout. "There is no champion" and "the champion could not be read" are different: the second never gets
this far.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from pipeline.data.names import SEPARATOR
from pipeline.data.outcomes import label_matrix, split_agents
from pipeline.runtime.arrays import Binary
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import read_table, write_json, write_table

CHAMPION = Path("champion")
DESCRIPTION, PREDICTIONS = "champion.json", "predictions.csv"
NONE = {"champion": None}


@dataclass(frozen=True)
class Champion:
    """The version in service: `router_sha256` names its bytes, `train_rows` counts the real rows it learnt from."""

    version: str
    run_key: str
    router_sha256: str
    train_rows: int


@dataclass(frozen=True)
class Choices:
    """What it chose on the holdout, by (prompt id, sha256 of the text)."""

    by_row: dict[tuple[str, str], tuple[str, ...]]


def write_champion(champion: Champion | None, choices: Choices | None, folder: Path = CHAMPION) -> None:
    """Write who the champion is and what it chose; with None, that there is none."""
    write_json({"champion": asdict(champion) if champion else None}, folder / DESCRIPTION)
    rows = [(*key, SEPARATOR.join(chosen)) for key, chosen in sorted((choices.by_row if choices else {}).items())]
    write_table(pd.DataFrame(rows, columns=["prompt_id", "text_sha256", "chosen"]), folder / PREDICTIONS)


def read_champion(folder: Path = CHAMPION) -> tuple[Champion, Choices] | None:
    """Who the champion is, or None where the folder says that there is none.

    Raises:
        InputError: the folder does not say either.
    """
    try:
        content = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))["champion"]
        if content is None:
            return None
        champion = Champion(**content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / DESCRIPTION} cannot be read ({error}); restore it, the gate needs it") from error
    rows = read_table(folder / PREDICTIONS, required=("prompt_id", "text_sha256", "chosen"))
    keys = zip(rows["prompt_id"], rows["text_sha256"], strict=True)
    return champion, Choices(dict(zip(keys, map(split_agents, rows["chosen"]), strict=True)))


def champion_choices(choices: Choices, rows: pd.DataFrame, names: tuple[str, ...]) -> Binary | None:
    """The champion's choices row by row, or None where it has not answered one of today's holdout prompts."""
    keys = list(zip(rows["prompt_id"], rows["text_sha256"], strict=True))
    if any(key not in choices.by_row for key in keys):
        return None
    known = [tuple(name for name in choices.by_row[key] if name in names) for key in keys]
    return label_matrix(known, names) > 0.5
