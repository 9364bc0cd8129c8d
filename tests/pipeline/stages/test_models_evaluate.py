"""What the models' track says of systems on its holdout."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.evaluation.outcome_facts import AcceptRates, CalibrationFigures, OutcomeReport, StrategyFigures
from pipeline.metrics.bootstrap import UNKNOWN, Estimate
from pipeline.runtime.errors import InputError
from pipeline.stages.models_evaluate import models_report


def report(**quality: float) -> OutcomeReport:
    metrics = {
        name: StrategyFigures(quality=Estimate(value, value, value), gap_closed=UNKNOWN, prompts=3, untried=0)
        for name, value in quality.items()
    }
    calibration = {"all": CalibrationFigures(0.1, Estimate(0.1, 0.0, 0.2), ())}
    accept = AcceptRates("big", 0.05, "swept", {})
    return OutcomeReport(
        "outcomes", 3, 2, 1.0, "big", "train", 0, metrics, None, None, accept, (), (), calibration
    )  # fmt: skip


def test_a_system_of_unknown_quality_is_left_out() -> None:
    found = models_report(report(router=0.8, cheapest=np.nan, best_single=0.0), "h", None)
    assert set(found.systems) == {"router", "best_single"}
    assert set(found.to_json()["systems"]["router"]) == {"quality", "calibration_error"}


def test_a_router_of_unknown_quality_stops_the_night() -> None:
    with pytest.raises(InputError, match="on no holdout prompt is the quality of what the router chooses known"):
        models_report(report(router=np.nan, best_single=0.5), "h", None)
