"""What is known of one contender on one table: its fits put together, split by split and seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.quality.contenders import Contender
from benchmarks.quality.job import Answer
from benchmarks.quality.measurements import Fit, Measurements
from benchmarks.quality.scores import Drawn, drawn, figures, matrix
from benchmarks.quality.tables import Table
from pipeline.runtime.arrays import Binary, Indices, Values


@dataclass(frozen=True)
class Result:
    """Choices [n, c] of each seed over all test prompts, and what goes with them.

    `expected` is the mean probability of each agent [c] of each seed, empty where the system gives none; `cpu_seconds`
    are those of one fit on a CPU, the mean of all; NaN where every fit was on a GPU.
    """

    chosen: tuple[Binary, ...]
    expected: tuple[Values, ...]
    cpu_seconds: float
    moved: dict[str, list[Indices]]

    def figures(self, table: Table) -> dict[str, Drawn]:
        return drawn(table.truth, self.chosen, figures(table.rare))

    def expected_over_true(self, table: Table) -> float:
        """The sum of probabilities as a multiple of the number of labels; NaN without probabilities."""
        if not self.expected:
            return float("nan")
        return float(np.mean([each.sum() for each in self.expected]) / table.truth.sum(axis=1).mean())


def result(known: Measurements, table: Table, contender: Contender, seeds: int) -> Result | None:
    """Only seeds of which every split was measured count, and without any nothing is known."""
    fits = [fits_of(table, contender, seed) for seed in range(seeds)]
    whole = [[known.answer(fit) for fit in row] for row in fits if all(fit in known for fit in row)]
    return _together(table, whole) if whole else None


def fits_of(table: Table, contender: Contender, seed: int) -> list[Fit]:
    """One a split."""
    return [Fit(table, split, contender, seed) for split in range(len(table.splits))]


def _together(table: Table, seeds: Sequence[Sequence[Answer]]) -> Result:
    sizes = [len(test) for _, test in table.splits]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    answers = [answer for row in seeds for answer in row]
    chosen = tuple(np.concatenate([matrix(answer.chosen, table) for answer in row]) for row in seeds)
    expected = [
        np.average([answer.expected for answer in row], axis=0, weights=sizes)
        for row in seeds
        if all(answer.expected is not None for answer in row)
    ]
    moved: dict[str, list[Indices]] = {}
    for row in seeds:
        for kind in row[0].moved:
            parts = [start + np.array(answer.moved[kind], int) for start, answer in zip(starts, row, strict=True)]
            moved.setdefault(kind, []).append(np.concatenate(parts))
    timed = [answer.cpu_seconds for answer in answers if answer.cpu_seconds is not None]
    return Result(chosen, tuple(expected), float(np.mean(timed)) if timed else float("nan"), moved)
