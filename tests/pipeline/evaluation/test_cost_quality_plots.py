"""The pictures of an evaluation: their rows come from the report alone, and the same report gives the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest

from pipeline.data.outcomes import Outcomes
from pipeline.evaluation.cost_quality_plots import (
    COST_QUALITY,
    SLICES,
    cost_quality_rows,
    draw_cost_quality,
    draw_outcomes,
)
from pipeline.evaluation.outcome_facts import OutcomeReport
from pipeline.evaluation.outcome_report import outcome_report
from pipeline.routers.base.protocol import Predictions

NAMES = ("vendor/big", "vendor/mid", "small")


def report(cost: Any = (0.01, 0.003, 0.0001), rows: int = 60, gaps: bool = False) -> OutcomeReport:
    random = np.random.default_rng(0)
    quality = np.clip(random.normal([0.7, 0.5, 0.4], 0.3, (rows, 3)), 0, 1).astype(np.float32)
    if gaps:
        quality[random.random(quality.shape) < 0.5] = np.nan
        quality[:, 0] = 0.7
    price = np.where(np.isnan(quality), np.nan, np.asarray(cost, np.float32)).astype(np.float32)
    expected = np.clip(np.nan_to_num(quality) + random.normal(0, 0.3, quality.shape), 0, 1).astype(np.float32)
    chosen = np.arange(3)[None, :] == expected.argmax(axis=1)[:, None]
    prompts = tuple(f"prompt {i}" for i in range(rows))
    datasets = tuple("ab"[i % 2] for i in range(rows))
    table = Outcomes(prompts, prompts, NAMES, quality, price, False, datasets=datasets)
    found = Predictions(NAMES, expected, np.full_like(expected, np.nan), chosen)
    return outcome_report(found, table, {"knn": found})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_each_picture_has_its_rows(tmp_path: Path) -> None:
    drawn = draw_outcomes(report(), tmp_path)
    assert [path.name for path in drawn] == [f"{COST_QUALITY}.png", f"{SLICES}.png"]
    assert set(contents(tmp_path)) == {
        f"{name}.{ending}" for name in (COST_QUALITY, SLICES) for ending in ("csv", "png")
    }
    for path in drawn:
        assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
        assert 900 <= int.from_bytes(path.read_bytes()[16:20], "big") <= 1200


@pytest.mark.parametrize("cost", [(0.003, 0.001, 0.0001), (0.9, 0.003, 0.00001), (0.00009, 0.00001, 0.000002)])
def test_costs_that_differ_widely_stand_as_plain_dollars(cost: tuple[float, ...]) -> None:
    facts = report(cost)
    assert facts.swept is not None
    (axes,) = draw_cost_quality(cost_quality_rows(facts.swept, facts.metrics)).axes
    low, high = axes.get_xlim()
    shown = [label.get_text() for label in axes.get_xticklabels() if low <= label.get_position()[0] <= high]
    assert axes.get_xscale() == "log"
    assert 3 <= len(shown) <= 8
    assert all(text == f"{float(text):.6f}".rstrip("0").rstrip(".") for text in shown)


def test_the_rows_are_those_of_the_report(tmp_path: Path) -> None:
    facts = report()
    assert facts.swept is not None
    draw_outcomes(facts, tmp_path)
    points = pd.read_csv(tmp_path / f"{COST_QUALITY}.csv")
    stored = points[(points["series"] == "router") & (points["kind"] == "point")].iloc[0]
    assert stored["quality"] == facts.swept.operating_point.quality
    front = points[(points["series"] == "knn") & (points["kind"] == "front")]
    assert front["quality"].tolist() == [point.quality for point in facts.swept.rows["knn"].frontier]
    assert set(points.loc[points["series"] == "candidate", "name"]) == set(NAMES)
    slices = pd.read_csv(tmp_path / f"{SLICES}.csv")
    assert slices["name"].tolist() == [part.name for part in [*facts.datasets, *facts.slices]]
    assert slices["difference"][0] == facts.datasets[0].router_minus_best_single.value


def test_the_same_report_gives_the_same_bytes_whatever_the_readers_own_settings(tmp_path: Path) -> None:
    draw_outcomes(report(), tmp_path / "one")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.dpi": 40}):
        draw_outcomes(report(), tmp_path / "two")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "facts",
    [{"cost": (0.0, 0.0, 0.5)}, {"cost": (1.0, 1.0, 1.0)}, {"rows": 1}, {"gaps": True}, {"cost": (1.0, np.nan, 2.0)}],
)
def test_odd_tables_are_drawn_too(facts: dict[str, Any], tmp_path: Path) -> None:
    assert draw_outcomes(report(**facts), tmp_path)


def test_without_costs_there_is_no_picture_of_them(tmp_path: Path) -> None:
    assert [path.name for path in draw_outcomes(report(cost=np.nan), tmp_path)] == [f"{SLICES}.png"]
