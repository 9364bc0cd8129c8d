"""The cost-quality curve of the page: against choices counted by hand, and where it lies in the drawing."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.runtime.errors import InputError
from pipeline.serving.page.actions import HoldoutAnswers
from pipeline.serving.page.chart import HEIGHT, LEFT, RIGHT, WIDTH, chart, cost_quality
from pipeline.serving.page.tabs.models import render

NAMES = ("cheap", "dear", "dearest")


def holdout(**changes: object) -> HoldoutAnswers:
    """Two prompts: `cheap` is right on the first, `dear` on the second, `dearest` never; the router knows it."""
    known = {
        "candidates": NAMES,
        "expected": np.array([[0.9, 0.2, 0.1], [0.1, 0.8, 0.2]], dtype=np.float32),
        "quality": np.array([[1, 0, 0], [0, 1, 0]], dtype=np.float32),
        "cost": np.array([[0.01, 0.05, 0.2]] * 2, dtype=np.float32),
        "chosen": np.array([[1, 0, 0], [1, 1, 0]], dtype=np.float32),
    }
    return HoldoutAnswers(**{**known, **changes})  # type: ignore[arg-type]


def test_curve_runs_from_the_cheapest_candidate_to_the_best_choice() -> None:
    found = cost_quality(holdout())
    assert (found.swept[0].cost, found.swept[0].quality) == pytest.approx((0.01, 0.5))
    assert (found.swept[-1].cost, found.swept[-1].quality) == pytest.approx((0.03, 1.0))
    assert len(found.swept) == 2, "two choices are all that any price can make"


def test_candidates_and_the_stored_policy_are_points() -> None:
    found = cost_quality(holdout())
    assert {point.name: (round(point.cost, 6), point.quality) for point in found.singles} == {
        "cheap": (0.01, 0.5),
        "dear": (0.05, 0.5),
        "dearest": (0.2, 0.0),
    }
    assert found.stored is not None
    assert (found.stored.cost, found.stored.quality) == pytest.approx((0.035, 1.0)), "costs add up, the best counts"


def test_a_candidate_of_unknown_cost_is_left_out_and_named() -> None:
    cost = np.array([[0.01, np.nan, 0.2]] * 2, dtype=np.float32)
    found = cost_quality(holdout(cost=cost))
    assert found.left_out == ("dear",)
    assert found.stored is None, "it chose that candidate once, so that what it costs is not known"
    with pytest.raises(InputError, match="no candidate of this version has a known cost"):
        cost_quality(holdout(cost=np.full((2, 3), np.nan, dtype=np.float32)))


def test_free_candidates_can_be_drawn() -> None:
    drawn = chart(cost_quality(holdout(cost=np.zeros((2, 3), dtype=np.float32))))
    assert all(LEFT <= mark.x <= WIDTH for mark in drawn.curve)


def test_everything_lies_inside_the_drawing_and_no_name_on_another() -> None:
    rng = np.random.default_rng(7)
    names = tuple(f"candidate_{i}" for i in range(40))
    cost = np.tile(rng.uniform(0.001, 0.02, 40).astype(np.float32), (50, 1))
    quality = (rng.random((50, 40)) < 0.1).astype(np.float32)
    drawn = chart(cost_quality(HoldoutAnswers(names, quality, quality, cost, quality)))
    for mark in (*drawn.curve, *drawn.singles):
        assert LEFT <= mark.x <= WIDTH - RIGHT
        assert 0 <= mark.y <= HEIGHT
    named = [mark for mark in drawn.singles if mark.text]
    assert named
    for one in named:
        assert not any(other is not one and abs(other.y - one.y) < 12 and abs(other.x - one.x) < 12 for other in named)


def test_the_drawing_is_told_to_be_optimistic() -> None:
    html = render(holdout(), "3")
    assert "hence optimistic" in html
    assert html.count("<circle") == len(NAMES)
