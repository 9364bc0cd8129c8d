"""The benchmark of wrong labels: its figures of a ranking, and their intervals."""

from __future__ import annotations

import numpy as np

from benchmarks.label_noise import ADD, SWAP, Ranked, told
from pipeline.learning.label_errors import LabelErrors
from pipeline.runtime.arrays import Values

SLIPS = np.array([SWAP, ADD, *[""] * 38], dtype=object)
TRUTH = np.eye(4, dtype=bool)[np.arange(40) % 4]


def ranked(log_odds: Values) -> Ranked:
    suggested = TRUTH.copy()
    suggested[1] = ~TRUTH[1]
    return Ranked(LabelErrors(log_odds, suggested), TRUTH, SLIPS)


def test_wrong_rows_that_stand_first_are_all_found() -> None:
    best = ranked(-np.arange(40.0))
    assert best.headline() == (1.0, 1.0)
    assert (best.of_kind(SWAP), best.of_kind(ADD), best.mended()) == (1.0, 1.0, 0.5)
    assert told([best])[:2] == ["1.000 (1.000 to 1.000)", "1.00"]


def test_wrong_rows_that_stand_last_are_not() -> None:
    precision, recall = ranked(np.arange(40.0)).headline()
    assert (precision < 0.1, recall) == (True, 0.0)


def test_a_kind_that_was_not_planted_has_no_figure_and_seeds_are_averaged() -> None:
    middling = ranked(np.where(np.arange(40) == 1, -50.0, -np.arange(40.0)))
    figures = told([ranked(-np.arange(40.0)), middling])
    assert figures[3] == ""
    low, value = figures[0].split(" (")[1].split(" to ")[0], figures[0].split(" (")[0]
    assert float(low) < float(value) == round((1.0 + (1.0 + 2 / 40) / 2) / 2, 3)
