"""Where a cost-quality chart puts its lines and points, in the units of its drawing (SVG, y downwards)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from pipeline.metrics.preference import preferred
from pipeline.runtime.arrays import Values
from pipeline.runtime.errors import InputError
from pipeline.serving.page.actions import HoldoutAnswers
from pipeline.serving.page.axis import digits, steps, values

WIDTH, HEIGHT = 760, 400
LEFT, RIGHT, TOP, BOTTOM = 56, 32, 34, 48


@dataclass(frozen=True)
class Mark:
    """A point at its place, with the text beside it, if any, and to which side that goes."""

    point: ChartPoint
    x: float
    y: float
    text: str = ""
    anchor: str = "start"


@dataclass(frozen=True)
class Chart:
    """Everything that the template draws; ticks are (place, text)."""

    line: str
    curve: tuple[Mark, ...]
    singles: tuple[Mark, ...]
    stored: Mark | None
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]


def chart(found: CostQuality) -> Chart:
    """Lay a curve out. Both axes start at 0."""
    points = [*found.swept, *found.singles, *([found.stored] if found.stored else [])]
    x_step, x_top = steps(max(point.cost for point in points))
    y_step, y_top = steps(max(point.quality for point in points), most=1.0)

    def x(cost: float) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * cost / x_top, 1)

    def y(quality: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * quality / y_top, 1)

    def mark(point: ChartPoint, text: str = "") -> Mark:
        place = x(point.cost)
        return Mark(point, place, y(point.quality), text, "end" if place > WIDTH - 150 else "start")

    curve = tuple(mark(point) for point in found.swept)
    stored = mark(found.stored, "as trained") if found.stored else None
    return Chart(
        line=" ".join(f"{one.x},{one.y}" for one in curve),
        curve=curve,
        singles=_named([mark(point, point.name) for point in found.singles], [*curve, *([stored] if stored else [])]),
        stored=stored,
        x_ticks=tuple((x(value), f"${value:.{digits(x_step)}f}") for value in values(x_step, x_top)),
        y_ticks=tuple((y(value), f"{value:.0%}") for value in values(y_step, y_top)),
    )


def _named(marks: list[Mark], others: list[Mark]) -> tuple[Mark, ...]:
    """The marks, best first; a name that would run into a point, or a name that is there already, is left out."""
    points = {one: _box(replace(one, text="")) for one in marks}
    taken, kept = [_box(one) for one in others], []
    for one in marks:
        near = [*taken, *(box for other, box in points.items() if other != one)]
        free = not any(_overlap(_box(one), box) for box in near)
        kept.append(one if free else replace(one, text=""))
        taken += [_box(one)] if free else []
    return tuple(kept)


Box = tuple[float, float, float, float]


def _box(mark: Mark) -> Box:
    """Left, right, top and bottom of a mark with its name."""
    wide = 12 + 7.2 * len(mark.text)
    left = mark.x - 6 if mark.anchor == "start" else mark.x - wide
    return left, left + wide, mark.y - 6, mark.y + 6


def _overlap(a: Box, b: Box) -> bool:
    """Whether two boxes have a point in common."""
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


STEPS = 400


@dataclass(frozen=True)
class ChartPoint:
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

    swept: tuple[ChartPoint, ...]
    singles: tuple[ChartPoint, ...]
    stored: ChartPoint | None
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
    singles = [
        ChartPoint(name, float(c), float(q)) for name, c, q in zip(names, cost.mean(0), quality.mean(0), strict=True)
    ]
    return CostQuality(
        swept=tuple(_swept(expected, quality, cost)),
        singles=tuple(sorted(singles, key=lambda point: (-point.quality, point.cost, point.name))),
        stored=_stored(holdout),
        left_out=tuple(name for name, has in zip(holdout.candidates, known, strict=True) if not has),
        prompts=len(cost),
    )


def _swept(expected: Values, quality: Values, cost: Values) -> list[ChartPoint]:
    """Mean cost and quality at each price, dearest first; prices with the same outcome are one point."""
    highest = cost.max() or 1.0
    points: dict[tuple[float, float], ChartPoint] = {}
    for price in (*np.geomspace(1e-4, 1e3, STEPS) * highest, np.inf):
        chosen = preferred(expected - cost / price if np.isfinite(price) else expected, cost)[:, None]
        mean = [float(np.take_along_axis(matrix, chosen, axis=1).mean()) for matrix in (cost, quality)]
        points.setdefault((round(mean[0], 12), round(mean[1], 12)), ChartPoint(f"{price:.4g}", *mean))
    return sorted(points.values(), key=lambda point: point.cost)


def _stored(holdout: HoldoutAnswers) -> ChartPoint | None:
    """What the version itself chose; None where a chosen one's cost is not known."""
    chosen = holdout.chosen > 0.5
    cost = np.where(chosen, holdout.cost, 0.0).sum(axis=1)
    if np.isnan(cost).any():
        return None
    best = np.where(chosen, holdout.quality, 0.0).max(axis=1)
    return ChartPoint("as trained", float(cost.mean()), float(best.mean()))
