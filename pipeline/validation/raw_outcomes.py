"""Outcome tables as they stand, before any rule is run: one frame of rows from the table and from later candidates.

Nothing is refused here. What cannot be read as a figure or a text becomes a column that a rule can fail on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.agents import Agent
from pipeline.data.cells import known_costs, names_in, prompt_in, readable_figures, text_of, values_of
from pipeline.data.names import SEPARATOR, name_of
from pipeline.runtime.arrays import Binary
from pipeline.runtime.errors import TableError
from pipeline.runtime.tables import LINE, read_table
from pipeline.runtime.text import is_blank

ROW, FILE = "row", "file"
"""`row` numbers the rows of all files from 1; a label row is several outcomes of one number."""

JOINING_COLUMNS = ("prompt_id", "candidate", "quality")
ENDINGS = (".csv", ".parquet", ".jsonl", ".ndjson")
_SHOWN = 60


def candidate_files(folder: Path) -> list[Path]:
    """The tables of candidates that joined later, by name; none where there is no such folder.

    Raises:
        TableError: a file there is no table, so that whoever put it there would wait for its candidate in vain.
    """
    files = sorted(path for path in folder.glob("[!.]*") if path.is_file() and path.suffix != ".md")
    for path in files:
        if path.suffix.lower() not in ENDINGS:
            raise TableError(f"{path}: unknown ending '{path.suffix}'; use {', '.join(ENDINGS)}, or move it elsewhere")
    return files


def is_label_table(frame: pd.DataFrame) -> bool:
    """Whether a table has labels in place of candidates and qualities."""
    return "agents" in frame.columns


def outcome_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of a table once it is read as outcomes."""
    return [*frame.columns, "candidate", "quality"] if is_label_table(frame) else list(frame.columns)


def gathered(table: Path, frame: pd.DataFrame, files: Sequence[Path], agents: Sequence[Agent]) -> pd.DataFrame:
    """The table's rows, then those of each file.

    Columns: `row, file, line, prompt_id, prompt, candidate, quality, cost`, and what could not be read. A text that is
    blank, or not text, is None; a candidate that is no name has `candidate_malformed`; a figure that is empty or cannot
    be read is NaN, told apart by `quality_missing`, `quality_unreadable` and `cost_unreadable`. Rows of `files` have
    `joined` 1, and the table's text where they have none; rows of a label table have `label`, the cell as it stands.

    Raises:
        TableError: a file is missing or malformed, or lacks a column.
    """
    first = _labelled(frame, agents) if is_label_table(frame) else _graded(frame)
    parts = [_of_file(first, table, joined=0)]
    text = first.dropna(subset=["prompt_id"]).drop_duplicates("prompt_id").set_index("prompt_id")["prompt"]
    for path in files:
        part = _graded(read_table(path, required=JOINING_COLUMNS))
        part["prompt"] = part["prompt"].where(part["prompt"].notna(), part["prompt_id"].map(text)).astype(object)
        part[ROW] += int(parts[-1][ROW].max())
        parts.append(_of_file(part, path, joined=1))
    rows = pd.concat(parts, ignore_index=True)
    rows[FILE] = rows[FILE].astype("category")
    return rows


def _of_file(rows: pd.DataFrame, path: Path, joined: int) -> pd.DataFrame:
    rows[FILE], rows["joined"] = path.as_posix(), joined
    return rows


def _graded(frame: pd.DataFrame) -> pd.DataFrame:
    quality, cost = _column(frame, "quality"), _column(frame, "cost")
    (level, no_level), (usd, no_usd) = readable_figures(quality), readable_figures(cost)
    candidates = _texts(_column(frame, "candidate"), _bare)
    rows = {
        ROW: np.arange(1, len(frame) + 1),
        LINE: frame[LINE].to_numpy(),
        "prompt_id": _texts(_column(frame, "prompt_id")),
        "prompt": _texts(_column(frame, "prompt"), prompt_in),
        "candidate": candidates,
        "candidate_malformed": _malformed(candidates).astype(int),
        "known": 1,
        "quality": level,
        "quality_missing": (np.isnan(level) & ~no_level).astype(int),
        "quality_unreadable": no_level.astype(int),
        "quality_unreadable_of": _unread(quality, no_level),
        "cost": known_costs(usd),
        "cost_unreadable": no_usd.astype(int),
        "cost_unreadable_of": _unread(cost, no_usd),
    }
    if "dataset" in frame.columns:
        rows["dataset"] = _texts(frame["dataset"])
    return pd.DataFrame(rows)


def _labelled(frame: pd.DataFrame, agents: Sequence[Agent]) -> pd.DataFrame:
    """Each label as an outcome of every agent, 1 where it is named, and of what is unknown or named twice."""
    names, usd = [agent.name for agent in agents], {agent.name: agent.usd_per_call for agent in agents}
    cells = [_label(cell) for cell in values_of(frame["agents"])]
    found: list[tuple[int, str, float]] = []
    for number, (named, _) in enumerate(cells):
        found += [(number, name, float(name in named)) for name in names]
        found += [(number, name, 1.0) for i, name in enumerate(named) if name not in names or name in named[:i]]
    origin = np.array([number for number, _, _ in found], dtype=np.int64)
    texts = {
        "prompt_id": _texts(_column(frame, "prompt_id")),
        "prompt": _texts(_column(frame, "prompt"), prompt_in),
    }
    if "dataset" in frame.columns:
        texts["dataset"] = _texts(frame["dataset"])
    return pd.DataFrame(
        {
            ROW: origin + 1,
            LINE: frame[LINE].to_numpy()[origin],
            "candidate": _objects([name or None for _, name, _ in found]),
            "known": np.array([int(name in usd) for _, name, _ in found]),
            "quality": np.array([level for _, _, level in found]),
            **dict.fromkeys(("candidate_malformed", "quality_missing", "quality_unreadable", "cost_unreadable"), 0),
            **dict.fromkeys(("quality_unreadable_of", "cost_unreadable_of"), ""),
            "cost": np.array([usd.get(name, np.nan) for _, name, _ in found]),
            "label": _objects(np.array([written for _, written in cells], dtype=object)[origin]),
            **{name: _objects(values.to_numpy()[origin]) for name, values in texts.items()},
        }
    )


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    return frame[name] if name in frame.columns else pd.Series(None, frame.index, dtype=object)


def _label(cell: Any) -> tuple[tuple[str, ...], str]:
    """The agents of a cell, and the cell as it is written; where it cannot be read, one agent without a name."""
    try:
        named = names_in(cell)
    except ValueError:
        return ("",), _cut(cell)
    return named, SEPARATOR.join(named)


def _texts(column: pd.Series, read: Callable[[Any], str] = text_of) -> pd.Series:
    """Each value as text, equal ones as one object; None where it is blank, or `read` refuses it."""
    codes, texts = pd.factorize(np.array([_text(value, read) for value in values_of(column)], dtype=object))
    return _objects(np.array([*texts, None], dtype=object)[codes])


def _text(value: Any, read: Callable[[Any], str]) -> str | None:
    try:
        text = read(value)
    except ValueError:
        return None
    return None if is_blank(text) else text


def _bare(value: Any) -> str:
    return text_of(value).strip()


def _malformed(candidates: pd.Series) -> Binary:
    """Which texts are no names."""
    return np.array([name is not None and _text(name, name_of) is None for name in candidates], dtype=np.bool_)


def _objects(values: Any) -> pd.Series:
    """A column that keeps equal texts as one object: a prompt stands once for all candidates."""
    return pd.Series(values, dtype=object)


def _unread(column: pd.Series, unreadable: Binary) -> pd.Series:
    """What stands in the cells that gave no number, "" for the others."""
    found = np.full(len(column), "", dtype=object)
    rows = np.flatnonzero(unreadable)
    found[rows] = [_cut(value) for value in column.iloc[rows]]
    return _objects(found)


def _cut(value: Any) -> str:
    return " ".join(str(value).split())[:_SHOWN]
