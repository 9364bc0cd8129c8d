"""Outcomes: how well each candidate answered each prompt, and at what cost.

Two table shapes are read into the one form that routers fit:

- labels: `prompt_id, prompt, agents`; quality is 1 for the agents named (`a|b`, or a list), else 0;
- outcomes: `prompt_id, prompt, candidate, quality[, cost]`, a row a prompt and candidate; a missing pair stays missing.

A column `fold` serves cross-validation, a column `dataset` reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.cells import figures, known_costs, name_in, names_in, prompt_in, read_column, refuse, texts
from pipeline.data.names import SEPARATOR
from pipeline.runtime.arrays import Binary, FloatMatrix, Indices, Values
from pipeline.runtime.errors import TableError, listed, suggestion
from pipeline.runtime.tables import LINE, read_table

if TYPE_CHECKING:
    import pandas as pd

_OPTIONAL = ("agents", "candidate", "quality", "cost", "fold", "dataset")


@dataclass(frozen=True)
class Outcomes:
    """What is known of n prompts and c candidates. Invariant: rows and columns line up in every field.

    `quality` is float32 [n, c] in 0..1, NaN where a candidate was not tried. `cost` is float32 [n, c] in USD,
    NaN where unknown. `is_labels` tells a subset of agents (quality 0 or 1, several may be right) from
    graded answers (one candidate is chosen). `augmented` rows are learnt from and never judged. `datasets` says
    where each prompt came from, "" where unknown: for reports alone, no router may read it. `exclusive` is what the
    table had to say of `is_exclusive` that these rows are of; None of a whole one.
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
    exclusive: bool | None = None

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def is_exclusive(self) -> bool:
        """Whether each prompt has exactly one label, in the whole table: some rows of another might by chance."""
        if self.exclusive is not None:
            return self.exclusive
        return self.is_labels and bool((self.quality.sum(axis=1) == 1).all())

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
            exclusive=self.is_exclusive,
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
    frame = _read_prompts(path)
    if "fold" in frame.columns:
        frame = frame.assign(fold=_whole_folds(frame, path))
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
    distinct = _read_prompts(path).drop_duplicates(["prompt_id", "prompt"])
    _check_ids(distinct, path)
    return tuple(distinct["prompt_id"]), tuple(distinct["prompt"])


def _read_prompts(path: Path) -> pd.DataFrame:
    """The table at `path`, with ids, prompts and data sets as texts."""
    frame = read_table(path, ("prompt_id", "prompt"), _OPTIONAL)
    prompts = read_column(frame, "prompt", path, prompt_in)
    frame = frame.assign(prompt_id=texts(frame, "prompt_id", path), prompt=prompts)
    return frame.assign(dataset=texts(frame, "dataset", path, filled=False)) if "dataset" in frame.columns else frame


def _read_labels(
    frame: pd.DataFrame, path: Path, candidates: Sequence[str] | None, costs: dict[str, float] | None
) -> Outcomes:
    _check_ids(frame, path)
    labels = read_column(frame, "agents", path, names_in)
    names = tuple(candidates) if candidates else tuple(sorted({name for row in labels for name in row}))
    for line, row in zip(frame[LINE], labels, strict=True):
        _require_known("agent", row, names, f"{path}, line {line}")
        if len(set(row)) < len(row):
            raise TableError(f"{path}, line {line}: an agent is named twice in '{SEPARATOR.join(row)}'; name it once")
    if not names:
        raise TableError(f"{path} names no agent in any row; fill the column 'agents'")
    return from_labels(frame.assign(agents=labels.map(SEPARATOR.join)), names, costs)


def _require_known(what: str, found: Iterable[str], known: Sequence[str], where: str) -> None:
    for name in found:
        if name not in known:
            hint = suggestion(name, known, f"known are {listed(known)}", 0.8)
            raise TableError(f"{where}: unknown {what} '{name}'; {hint}")


def _read_graded(frame: pd.DataFrame, path: Path, candidates: Sequence[str] | None) -> Outcomes:
    import pandas as pd

    frame = frame.assign(
        candidate=read_column(frame, "candidate", path, name_in),
        quality=_quality(frame, path),
        cost=known_costs(figures(frame, "cost", path, 0.0, np.inf)) if "cost" in frame.columns else np.nan,
    )
    refuse(frame, frame.duplicated(["prompt_id", "candidate"]), path, "this prompt_id and candidate stand twice")
    names = tuple(candidates) if candidates else tuple(sorted(frame["candidate"].unique()))
    unknown = frame[~frame["candidate"].isin(names)]
    for line, name in zip(unknown[LINE], unknown["candidate"], strict=True):
        _require_known("candidate", [name], names, f"{path}, line {line}")
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
        prompts=tuple(prompts["prompt"]),
        candidates=names,
        quality=quality,
        cost=cost,
        is_labels=False,
        folds=_folds(prompts),
        datasets=datasets_in(prompts),
    )


def _quality(frame: pd.DataFrame, path: Path) -> Values:
    values = figures(frame, "quality", path, 0.0, 1.0)
    refuse(frame, np.isnan(values), path, "quality is empty (leave the row out where a candidate was not tried)")
    return values


def _folds(frame: pd.DataFrame) -> Indices | None:
    return np.asarray(frame["fold"].astype(int), dtype=np.int64) if "fold" in frame.columns else None


def datasets_in(frame: pd.DataFrame) -> tuple[str, ...] | None:
    """Where each row of a table says that its prompt comes from, "" where it does not; None without the column."""
    if "dataset" not in frame.columns:
        return None
    return tuple(frame["dataset"].astype(object).fillna("").astype(str))


def _whole_folds(frame: pd.DataFrame, path: Path) -> Indices:
    folds = figures(frame, "fold", path, 0, np.iinfo(np.int32).max)
    refuse(frame, np.isnan(folds) | (folds % 1 != 0), path, "fold is not a whole number")
    return folds.astype(np.int64)


def _check_ids(frame: pd.DataFrame, path: Path) -> None:
    """Raises TableError for an id that stands twice, with another text or the same."""
    twice = frame["prompt_id"].duplicated()
    if not twice.any():
        return
    again = frame[twice].iloc[0]
    first = frame[frame["prompt_id"] == again["prompt_id"]].iloc[0]
    where, name = f"{path}, line {again[LINE]}", again["prompt_id"]
    if again["prompt"] == first["prompt"]:
        raise TableError(f"{where}: prompt_id '{name}' stands twice, first in line {first[LINE]}; give each row an id")
    alike = " but for white space" if again["prompt"].split() == first["prompt"].split() else ""
    raise TableError(
        f"{where}: prompt_id '{name}' has another text in line {first[LINE]}"
        f"{', the same' + alike if alike else ''}; give each text an id of its own, or make them equal"
    )
