"""What quality costs: one candidate a prompt by quality minus willingness-to-pay times cost, swept over that price.

The sweep is judged on the very holdout that it is swept on, so that the curve is optimistic; it is for looking at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.runtime.arrays import Values
from pipeline.runtime.errors import InputError
from pipeline.serving.page.actions import HoldoutAnswers

STEPS = 400


@dataclass(frozen=True)
class Point:
    """One way to choose: what a prompt costs on average (USD), and the mean quality (0..1)."""

    name: str
    cost: float
    quality: float


@dataclass(frozen=True)
class CostQuality:
    """`swept`: from the cheapest to the best, each named by its price of quality (USD for a quality of 1).

    `singles`: each candidate for every prompt, best first. `stored`: the version's own policy; where it chooses
    several, their cost is summed and the best one's quality counts. `left_out` have no known cost.
    """

    swept: tuple[Point, ...]
    singles: tuple[Point, ...]
    stored: Point | None
    left_out: tuple[str, ...]
    prompts: int


def cost_quality(holdout: HoldoutAnswers) -> CostQuality:
    """The curve and the points of one version.

    Raises:
        InputError: no candidate has a known cost, or there is no prompt.
    """
    known = np.atleast_1d(np.isfinite(holdout.cost).all(axis=0))
    if not known.any() or not len(holdout.cost):
        raise InputError("nothing to draw: no candidate of this version has a known cost")
    names = [name for name, has in zip(holdout.candidates, known, strict=True) if has]
    expected, quality, cost = (
        np.asarray(matrix[:, known], dtype=np.float64) for matrix in (holdout.expected, holdout.quality, holdout.cost)
    )
    singles = [Point(name, float(c), float(q)) for name, c, q in zip(names, cost.mean(0), quality.mean(0), strict=True)]
    return CostQuality(
        swept=tuple(_swept(expected, quality, cost)),
        singles=tuple(sorted(singles, key=lambda point: (-point.quality, point.cost, point.name))),
        stored=_stored(holdout),
        left_out=tuple(name for name, has in zip(holdout.candidates, known, strict=True) if not has),
        prompts=len(cost),
    )


def _swept(expected: Values, quality: Values, cost: Values) -> list[Point]:
    """Mean cost and quality at each price, dearest first; prices with the same outcome are one point."""
    highest = cost.max() or 1.0
    points: dict[tuple[float, float], Point] = {}
    for price in (*np.geomspace(1e-4, 1e3, STEPS) * highest, np.inf):
        chosen = (expected - cost / price if np.isfinite(price) else expected).argmax(axis=1)[:, None]
        mean = [float(np.take_along_axis(matrix, chosen, axis=1).mean()) for matrix in (cost, quality)]
        points.setdefault((round(mean[0], 12), round(mean[1], 12)), Point(f"{price:.4g}", *mean))
    return sorted(points.values(), key=lambda point: point.cost)


def _stored(holdout: HoldoutAnswers) -> Point | None:
    """What the version itself chose; None where a chosen one's cost is not known."""
    chosen = holdout.chosen > 0.5
    cost = np.where(chosen, holdout.cost, 0.0).sum(axis=1)
    if np.isnan(cost).any():
        return None
    best = np.where(chosen, holdout.quality, 0.0).max(axis=1)
    return Point("as trained", float(cost.mean()), float(best.mean()))
