"""Reports of an evaluation as they are told on a terminal."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.data.outcomes import Outcomes
from pipeline.evaluation.outcome_report import outcome_report
from pipeline.routers.base.protocol import Predictions
from switchtender.report_tables import show_outcomes

QUALITY = np.float32([[1, 0], [1, 1], [1, 0], [0, 0]])


@pytest.mark.parametrize(("price", "told"), [
    (2.0, "against big: 0 wins, 3 ties, 1 loss, at .812 times its cost"),
    (np.nan, "against big: 0 wins, 3 ties, 1 loss\n"),
])  # fmt: skip
def test_what_the_reference_costs_is_told_where_it_is_known(
    price: float, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = ("1", "2", "3", "4")
    cost = np.tile(np.float32([price, price / 4]), (4, 1))
    chosen = np.bool_([[1, 0], [1, 0], [0, 1], [1, 0]])
    found = Predictions(("big", "small"), QUALITY, np.full((4, 2), np.nan), chosen)
    show_outcomes(outcome_report(found, Outcomes(ids, ids, found.candidates, QUALITY, cost, False)), (), None, False)
    assert told in capsys.readouterr().out
