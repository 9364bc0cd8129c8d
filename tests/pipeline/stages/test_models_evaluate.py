"""What the models' track says of systems on its holdout."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.runtime.errors import InputError
from pipeline.stages.models_evaluate import as_systems


def report(**quality: float | None) -> dict[str, Any]:
    return {
        "metrics": {name: {"quality": {"value": value}} for name, value in quality.items()},
        "calibration": {"all": {"error_interval": {"value": 0.1}}},
    }


def test_a_system_of_unknown_quality_is_left_out() -> None:
    assert set(as_systems(report(router=0.8, cheapest=None, best_single=0.0))["systems"]) == {"router", "best_single"}


def test_a_router_of_unknown_quality_stops_the_night() -> None:
    with pytest.raises(InputError, match="on no holdout prompt is the quality of what the router chooses known"):
        as_systems(report(router=None, best_single=0.5))
