"""The harness on real tables, against figures that were worked out for them elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from reference_tables import reference_table

from pipeline.data.outcomes import Outcomes, read_outcomes
from pipeline.evaluation.recommendation import parts_of
from pipeline.evaluation.reference_strategies import TRAIN, baseline_rows
from pipeline.metrics.candidate_means import known_mean
from pipeline.metrics.cost_quality import Curve, frontier, quality_at, sweep

REFERENCE = {
    "routerdc_train": {"best_single": (0.567, 0.539), "best_per_dataset": (0.612, 0.609), "oracle": (0.822, 0.799)},
    "routerbench_train": {"best_single": (0.879, 0.833), "best_per_dataset": (0.879, 0.833), "oracle": (0.976, 0.951)},
}
RANDOM = {"routerdc_train": (0.526, 0.510), "routerbench_train": (0.669, 0.626)}
"""Of one draw a prompt; ours is the mean over all draws, so it agrees within the noise of one."""


def read(name: str) -> Outcomes:
    return read_outcomes(reference_table(name))


def means(outcomes: Outcomes, values: np.ndarray) -> tuple[float, float]:
    """Over prompts, and over data sets."""
    names = np.array(outcomes.datasets)
    return float(values.mean()), float(np.mean([values[names == name].mean() for name in np.unique(names)]))


@pytest.mark.parametrize("name", REFERENCE)
def test_the_baselines_are_those_of_the_reference(name: str) -> None:
    outcomes = read(name)
    assert outcomes.folds is not None
    rows = baseline_rows(outcomes, parts_of(outcomes, outcomes.folds), TRAIN)
    for row, expected in REFERENCE[name].items():
        assert means(outcomes, rows[row].quality) == pytest.approx(expected, abs=0.0006), row
    assert means(outcomes, rows["random"].quality) == pytest.approx(RANDOM[name], abs=0.015)


def test_quality_at_half_of_the_dearest_models_cost_is_that_of_the_reference() -> None:
    outcomes = read("routerbench_train")
    assert outcomes.folds is not None
    rows = baseline_rows(outcomes, parts_of(outcomes, outcomes.folds), TRAIN)
    quality, cost = outcomes.quality.astype(np.float64), outcomes.cost.astype(np.float64)
    half = float(known_mean(rows["dearest"].cost)) / 2
    singles = frontier(Curve(known_mean(cost, axis=0), known_mean(quality, axis=0)))
    assert quality_at(singles, half) == pytest.approx(0.821, abs=0.0006)
    for name, expected in (("best_per_dataset", 0.855), ("oracle", 0.976)):
        known = rows[name].expected
        assert known is not None
        front = frontier(sweep(known.quality, known.cost, quality, cost))
        assert quality_at(front, half) == pytest.approx(expected, abs=0.001), name


def test_a_table_that_is_not_here_is_named_with_where_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SWITCHTENDER_TABLES", str(tmp_path))
    with pytest.raises(pytest.skip.Exception) as skipped:
        read("routerdc_train")
    told = f"routerdc_train.parquet is not in {tmp_path}; name the folder that holds it in SWITCHTENDER_TABLES"
    assert str(skipped.value) == told
