"""The tables that are measured on, each with its splits: fixed, and the same for every system and seed.

The shipped prompts without the holdout, which is never read here; of others, those that a folder has.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.serving.race import ROOT
from pipeline.data.agents import read_agents
from pipeline.data.dataset import DATASET
from pipeline.data.folds import make_folds
from pipeline.data.holdout import read_holdout
from pipeline.data.outcomes import Outcomes, from_labels, split_agents
from pipeline.runtime.arrays import Binary, Indices
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import read_table, sha256_text

SEED, FOLDS, RARE_BELOW = 7, 5, 20
NAMES = ("shipped", "clinc", "nlupp", "banking77", "clinc_domains")
_FILES = {"clinc": "route502_clinc", "nlupp": "route502_nlupp_train"}
_SUBSETS = (500, 2000)
FOLDER = "SWITCHTENDER_TABLES"


@dataclass(frozen=True)
class Table:
    """Train and test of each split; the agents are the same, in the same order."""

    name: str
    splits: tuple[tuple[Outcomes, Outcomes], ...]

    @property
    def agents(self) -> tuple[str, ...]:
        return self.splits[0][0].candidates

    @cached_property
    def truth(self) -> Binary:
        """Of all test prompts, split by split: bool [n, c]."""
        return np.concatenate([test.quality > 0.5 for _, test in self.splits])

    @property
    def learnt(self) -> Indices:
        """How many prompts of train each agent has, int64 [c]; cross-validated, how many of the table."""
        part = self.truth if len(self.splits) > 1 else self.splits[0][0].quality > 0.5
        return np.asarray(part.sum(axis=0), dtype=np.int64)

    @property
    def rare(self) -> Indices:
        """The columns of the agents with few prompts."""
        return np.flatnonzero(self.learnt < RARE_BELOW)

    @property
    def everything(self) -> Outcomes:
        """All that can be learnt from: of a cross-validated table every row."""
        train, test = self.splits[0]
        if len(self.splits) == 1:
            return train
        return replace(
            train,
            prompt_ids=train.prompt_ids + test.prompt_ids,
            prompts=train.prompts + test.prompts,
            quality=np.concatenate([train.quality, test.quality]),
            cost=np.concatenate([train.cost, test.cost]),
        )

    @property
    def described(self) -> str:
        train, test = self.splits[0]
        how = f"{len(self.splits)} folds" if len(self.splits) > 1 else f"{len(test):,} test prompts"
        prompts = len(self.truth) if len(self.splits) > 1 else len(train)
        return f"{prompts:,} prompts, {len(self.agents)} agents, {how}"


def add_folder_option(parser: argparse.ArgumentParser) -> None:
    """`--tables`, the folder of the tables that are no part of this project."""
    folder = os.environ.get(FOLDER)
    parser.add_argument("--tables", type=Path, default=folder and Path(folder), help=f"their folder; else ${FOLDER}")


def digest(split: tuple[Outcomes, Outcomes]) -> str:
    """Which rows a split holds."""
    parts = (*split[0].prompts, *split[1].prompts, *split[0].candidates)
    labels = (part.quality.tobytes().hex() for part in split)
    return sha256_text("\0".join((*parts, *labels)))[:16]


def tables(names: Sequence[str], folder: Path | None, rows: int | None = None) -> tuple[list[Table], list[str]]:
    """The tables of these names, and those that the folder has not. `rows` cuts train and test, to try things out.

    Raises:
        InputError: an unknown name, or no such folder.
    """
    if folder and not folder.is_dir():
        raise InputError(f"the folder of tables {folder} does not exist; check the path")
    unknown = set(names) - set(NAMES)
    if unknown:
        raise InputError(f"unknown table '{min(unknown)}'; known are {', '.join(NAMES)}")
    found, missing = [], []
    for name in names:
        path = folder / f"{_FILES.get(name, name)}.parquet" if folder else None
        if name == "shipped":
            found.append(_crossvalidated(name, _shipped(), rows))
        elif path is None or not path.is_file():
            missing.append(name)
        else:
            found.extend(_of_file(name, path, rows))
    return found, missing


def every_table(names: Sequence[str], folder: Path | None, rows: int | None = None) -> list[Table]:
    """As `tables`, where each is needed.

    Raises:
        InputError: also where one is missing.
    """
    found, missing = tables(names, folder, rows)
    if missing:
        raise InputError(f"no folder has {', '.join(missing)}; name theirs with --tables or ${FOLDER}")
    return found


def _shipped() -> Outcomes:
    frame = read_table(ROOT / DATASET)
    names = [agent.name for agent in read_agents(ROOT / "data" / "agents.yaml")]
    return from_labels(frame[~frame["prompt_id"].isin(read_holdout(ROOT / "data" / "holdout.txt"))], names)


def _of_file(name: str, path: Path, rows: int | None) -> Iterator[Table]:
    frame = read_table(path, ("prompt_id", "prompt", "agents", "split"))
    frame = frame[frame["agents"].str.strip() != ""]
    names = sorted({agent for cell in frame["agents"] for agent in split_agents(cell)})
    train, test = (from_labels(frame[frame["split"] == part], names) for part in ("train", "test"))
    if not len(test):
        yield _crossvalidated(name, train, rows)
    elif name in _FILES:
        yield _tried(name, train, test, rows)
    else:
        for size in _SUBSETS:
            yield _tried(f"{name}-{size}", train.rows(stratified(train, size)), test, rows)


def _crossvalidated(name: str, outcomes: Outcomes, rows: int | None) -> Table:
    outcomes = outcomes.rows(np.arange(len(outcomes))[:rows])
    folds = make_folds(outcomes, FOLDS if rows is None else 2, SEED)
    parts = ((np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)) for fold in np.unique(folds))
    return Table(name, tuple((outcomes.rows(train), outcomes.rows(held_out)) for train, held_out in parts))


def _tried(name: str, train: Outcomes, test: Outcomes, rows: int | None) -> Table:
    first, second = (part.rows(np.arange(len(part))[:rows]) for part in (train, test))
    return Table(name, ((first, second),))


def stratified(outcomes: Outcomes, size: int) -> Indices:
    """Rows of a part that keeps the classes' shares, at least one of each class, int64 [size] in the table's order.

    Rows of a class are drawn in a random order, and stand where their rank lies within their class.
    """
    order = np.random.default_rng(SEED).permutation(len(outcomes))
    classes = pd.Series([outcomes.quality[row].tobytes() for row in order])
    rank = classes.groupby(classes).cumcount().to_numpy()
    place = rank / classes.map(classes.value_counts()).to_numpy()
    return np.sort(order[np.argsort(place, kind="stable")[:size]])
