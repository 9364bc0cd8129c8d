"""Outcomes: how well each candidate answered each prompt, and at what cost.

Two table shapes are read into the one form that routers fit:

- labels: `prompt_id, prompt, agents`; quality is 1 for the agents named (`|`-separated), else 0;
- outcomes: `prompt_id, prompt, candidate, quality[, cost]`, a row a prompt and candidate; a missing pair stays missing.

A column `fold` serves cross-validation, a column `dataset` reports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.runtime.arrays import Binary, FloatMatrix, Indices
from pipeline.runtime.errors import TableError, listed
from pipeline.runtime.tables import LINE, read_table

if TYPE_CHECKING:
    import pandas as pd

SEPARATOR = "|"


@dataclass(frozen=True)
class Outcomes:
    """What is known of n prompts and c candidates. Invariant: rows and columns line up in every field.

    `quality` is float32 [n, c] in 0..1, NaN where a candidate was not tried. `cost` is float32 [n, c] in USD,
    NaN where unknown. `is_labels` tells a subset of agents (quality 0 or 1, several may be right) from
    graded answers (one candidate is chosen). `augmented` rows are learnt from and never judged. `datasets` says
    where each prompt came from, "" where unknown: for reports alone, no router may read it.
    """

    prompt_ids: tuple[str, ...]
    prompts: tuple[str, ...]
    candidates: tuple[str, ...]
    quality: FloatMatrix
    cost: FloatMatrix
    is_labels: bool
    folds: Indices | None = None
    augmented: Binary | None = None
    datasets: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.prompts)

    def rows(self, index: Indices) -> Outcomes:
        """The outcomes of some rows, in the order of `index`."""
        return replace(
            self,
            prompt_ids=tuple(self.prompt_ids[i] for i in index),
            prompts=tuple(self.prompts[i] for i in index),
            quality=self.quality[index],
            cost=self.cost[index],
            folds=None if self.folds is None else self.folds[index],
            augmented=None if self.augmented is None else self.augmented[index],
            datasets=None if self.datasets is None else tuple(self.datasets[i] for i in index),
        )


def split_agents(text: str) -> tuple[str, ...]:
    """The agents of one cell, `a|b`, in the order written; an empty cell names none."""
    return tuple(part.strip() for part in text.split(SEPARATOR)) if text.strip() else ()


def label_matrix(rows: Sequence[Sequence[str]], candidates: Sequence[str]) -> FloatMatrix:
    """One row a prompt, 1.0 for each candidate that it names; float32 [n, c]."""
    position = {name: i for i, name in enumerate(candidates)}
    matrix = np.zeros((len(rows), len(candidates)), dtype=np.float32)
    for i, names in enumerate(rows):
        for name in names:
            matrix[i, position[name]] = 1.0
    return matrix


def from_labels(frame: pd.DataFrame, candidates: Sequence[str], costs: dict[str, float] | None = None) -> Outcomes:
    """Turn a checked label table into outcomes; `costs` in USD per call, where known."""
    labels = [split_agents(str(text)) for text in frame["agents"]]
    price = np.array([(costs or {}).get(name, np.nan) for name in candidates], dtype=np.float32)
    return Outcomes(
        prompt_ids=tuple(map(str, frame["prompt_id"])),
        prompts=tuple(map(str, frame["prompt"])),
        candidates=tuple(candidates),
        quality=label_matrix(labels, candidates),
        cost=np.tile(price, (len(frame), 1)),
        is_labels=True,
        folds=_folds(frame),
        datasets=datasets_in(frame),
    )


def read_outcomes(
    path: Path, candidates: Sequence[str] | None = None, costs: dict[str, float] | None = None
) -> Outcomes:
    """Read a label table or an outcome table.

    `candidates` fixes the names that may occur and their order; by default those found, sorted.

    Raises:
        TableError: see `read_table`; also a duplicate id, an empty prompt, an unknown or repeated candidate,
            a quality outside 0..1 or a negative cost, each with its line.
    """
    frame = _with_whole_folds(read_table(path, required=("prompt_id", "prompt")), path)
    if "agents" in frame.columns:
        return _read_labels(frame, path, candidates, costs)
    if "candidate" in frame.columns and "quality" in frame.columns:
        return _read_graded(frame, path, candidates)
    raise TableError(f"{path} has neither 'agents' nor 'candidate' and 'quality'; add the column(s) of one shape")


def read_prompts(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Read the ids and texts of a table, each id once, in the order of the table.

    Raises:
        TableError: see `read_table`; also an empty prompt, or one id with two texts.
    """
    frame = read_table(path, required=("prompt_id", "prompt"))
    _check_prompts(frame, path)
    distinct = frame.drop_duplicates(["prompt_id", "prompt"])
    _check_ids(distinct, path)
    return tuple(map(str, distinct["prompt_id"])), tuple(map(str, distinct["prompt"]))


def _read_labels(
    frame: pd.DataFrame, path: Path, candidates: Sequence[str] | None, costs: dict[str, float] | None
) -> Outcomes:
    _check_prompts(frame, path)
    _check_ids(frame, path)
    frame = frame.assign(agents=frame["agents"].astype(object).fillna("").astype(str))
    labels = [split_agents(text) for text in frame["agents"]]
    names = tuple(candidates) if candidates else tuple(sorted({name for row in labels for name in row}))
    for line, row in zip(frame[LINE], labels, strict=True):
        for name in row:
            if name not in names or not name:
                raise TableError(f"{path}, line {line}: unknown agent '{name}'; known are {listed(names)}")
        if len(set(row)) < len(row):
            raise TableError(f"{path}, line {line}: an agent is named twice in '{SEPARATOR.join(row)}'; name it once")
    if not names:
        raise TableError(f"{path} names no agent in any row; fill the column 'agents'")
    return from_labels(frame, names, costs)


def _read_graded(frame: pd.DataFrame, path: Path, candidates: Sequence[str] | None) -> Outcomes:
    import pandas as pd

    _check_prompts(frame, path)
    no_candidate = frame["candidate"].isna() | (frame["candidate"].astype(str).str.strip() == "")
    _refuse(frame, no_candidate, path, "the candidate is empty")
    frame = frame.assign(
        prompt_id=frame["prompt_id"].astype(str),
        candidate=frame["candidate"].astype(str),
        quality=_numbers(frame, "quality", path, low=0.0, high=1.0),
        cost=_numbers(frame, "cost", path, low=0.0, high=np.inf) if "cost" in frame.columns else np.nan,
    )
    _refuse(frame, frame.duplicated(["prompt_id", "candidate"]), path, "this prompt_id and candidate stand twice")
    names = tuple(candidates) if candidates else tuple(sorted(frame["candidate"].unique()))
    _refuse(frame, ~frame["candidate"].isin(names), path, f"unknown candidate; known are {listed(names)}")
    prompts = frame.drop_duplicates(["prompt_id", "prompt"])
    _check_ids(prompts, path)
    row = pd.Series(range(len(prompts)), index=prompts["prompt_id"])[frame["prompt_id"]].to_numpy()
    column = pd.Series(range(len(names)), index=list(names))[frame["candidate"]].to_numpy()
    quality = np.full((len(prompts), len(names)), np.nan, dtype=np.float32)
    cost = quality.copy()
    quality[row, column] = frame["quality"].to_numpy()
    cost[row, column] = frame["cost"].to_numpy()
    return Outcomes(
        prompt_ids=tuple(prompts["prompt_id"]),
        prompts=tuple(map(str, prompts["prompt"])),
        candidates=names,
        quality=quality,
        cost=cost,
        is_labels=False,
        folds=_folds(prompts),
        datasets=datasets_in(prompts),
    )


def _folds(frame: pd.DataFrame) -> Indices | None:
    return np.asarray(frame["fold"].astype(int), dtype=np.int64) if "fold" in frame.columns else None


def datasets_in(frame: pd.DataFrame) -> tuple[str, ...] | None:
    """Where each row of a table says that its prompt comes from, "" where it does not; None without the column."""
    if "dataset" not in frame.columns:
        return None
    return tuple(frame["dataset"].astype(object).fillna("").astype(str))


def _with_whole_folds(frame: pd.DataFrame, path: Path) -> pd.DataFrame:
    if "fold" not in frame.columns:
        return frame
    folds = _numbers(frame, "fold", path, low=-1, high=np.iinfo(np.int32).max)
    _refuse(frame, folds.isna() | (folds % 1 != 0), path, "fold is not a whole number")
    return frame.assign(fold=folds.astype(int))


def _check_prompts(frame: pd.DataFrame, path: Path) -> None:
    import pandas as pd

    empty = frame["prompt"].isna() | (frame["prompt"].astype(str).str.strip() == "")
    _refuse(frame, empty, path, "the prompt is empty")
    is_text = np.array([isinstance(value, str) for value in frame["prompt"]], dtype=np.bool_)
    _refuse(frame, pd.Series(~is_text, frame.index), path, "the prompt is not text")
    no_id = frame["prompt_id"].isna() | (frame["prompt_id"].astype(str).str.strip() == "")
    _refuse(frame, no_id, path, "the prompt_id is empty")


def _check_ids(frame: pd.DataFrame, path: Path) -> None:
    twice = frame["prompt_id"].astype(str).duplicated()
    if twice.any():
        first = frame.loc[twice].iloc[0]
        raise TableError(f"{path}, line {first[LINE]}: prompt_id '{first['prompt_id']}' stands twice; give each an id")


def _refuse(frame: pd.DataFrame, bad: pd.Series, path: Path, what: str) -> None:
    if bad.any():
        raise TableError(f"{path}, line {frame.loc[bad, LINE].iloc[0]}: {what}; mend or remove that row")


def _numbers(frame: pd.DataFrame, column: str, path: Path, low: float, high: float) -> pd.Series:
    import pandas as pd

    text = frame[column].replace("", np.nan)
    values = pd.to_numeric(text, errors="coerce")
    _refuse(frame, values.isna() & text.notna(), path, f"{column} is not a number")
    _refuse(frame, (values < low) | (values > high), path, f"{column} is outside {low:g}..{high:g}")
    if column == "quality":
        _refuse(frame, values.isna(), path, "quality is empty (leave the row out where a candidate was not tried)")
    return values
