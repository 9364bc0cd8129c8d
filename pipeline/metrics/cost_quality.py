"""Statistics of graded outcomes: cost-quality curves, pairs, acceptance, ranks.

Everywhere NaN stands for what is not known (a candidate not tried, a cost not given): it is left out of a mean, and
never counts as zero.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.metrics.candidate_means import known_mean
from pipeline.metrics.preference import preferred
from pipeline.runtime.arrays import Binary, Indices, Values

TIE = 0.05
"""Two answers whose qualities differ by at most this are as good as each other."""

_STEPS = 121


def taken(matrix: npt.NDArray[np.floating], picks: Indices) -> Values:
    """The cell that each row picked: float64 [n] of a matrix [n, c] and columns int64 [n]."""
    return matrix[np.arange(len(matrix)), picks].astype(np.float64)


# --- the way to the oracle --------------------------------------------------------------------------------------


def gap_closed(chosen: Values, single: Values, oracle: Values) -> Values:
    """The share of the way from the best single candidate to the oracle; NaN where there is none to go."""
    way = oracle - single
    return np.where(way > 1e-9, (chosen - single) / np.where(way > 1e-9, way, 1.0), np.nan)


# --- quality for cost -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Curve:
    """Points of mean cost (USD a prompt) and mean quality, float64 [p] each."""

    cost: Values
    quality: Values


def sweep(expected_quality: Values, expected_cost: Values, quality: Values, cost: Values) -> Curve:
    """What quality - lambda x cost gets, from lambda 0 to the cheapest candidate; all arguments float64 [n, c].

    The choice sees what was expected, the points are what came of it. A candidate whose cost is not known is never
    chosen. Reading a point off this curve chooses a lambda on the rows that it is judged on: that flatters.
    """
    priced = np.isfinite(expected_cost)
    expected_cost = np.where(priced, expected_cost, 0.0)
    expected_quality = np.where(priced, expected_quality, -np.inf)
    points = []
    for rate in willingness(np.where(priced, expected_cost, np.nan)):
        picks = preferred(expected_quality - rate * expected_cost, expected_cost)
        spent, got = taken(cost, picks), taken(quality, picks)
        both = np.isfinite(spent) & np.isfinite(got)
        points.append((known_mean(spent[both]), known_mean(got[both])))
    found = np.array(points, dtype=np.float64)
    return Curve(found[:, 0], found[:, 1])


def willingness(expected_cost: Values) -> Values:
    """Lambdas in quality per USD: 0, then even steps of the logarithm over all that can change a choice."""
    level = np.unique(known_mean(expected_cost, axis=0))
    level = level[np.isfinite(level)]
    apart = np.diff(level)
    apart = apart[apart > 1e-6 * level.max(initial=0.0)]
    if not len(apart):
        return np.zeros(1)
    return np.append(0.0, np.geomspace(1e-3 / (level[-1] - level[0]), 10.0 / apart.min(), _STEPS))


def frontier(curve: Curve) -> Curve:
    """The non-decreasing convex hull of a curve's points: what mixtures of them reach, cheapest first.

    Sending a share of the prompts to one point's choices and the others to another's reaches every place on the line
    between them, so that a point below such a line is worth nothing.

    Hu et al., RouterBench (arXiv 2403.12031), section 3. Points of unknown cost or quality are left out.
    """
    known = np.isfinite(curve.cost) & np.isfinite(curve.quality)
    order = np.lexsort((-curve.quality[known], curve.cost[known]))
    hull: list[tuple[float, float]] = []
    for x, y in zip(curve.cost[known][order], curve.quality[known][order], strict=True):
        if hull and y <= hull[-1][1]:
            continue
        while len(hull) > 1 and _below(hull[-2], hull[-1], (x, y)):
            hull.pop()
        hull.append((float(x), float(y)))
    points = np.array(hull, dtype=np.float64).reshape(-1, 2)
    return Curve(points[:, 0], points[:, 1])


def _below(left: tuple[float, float], middle: tuple[float, float], right: tuple[float, float]) -> bool:
    """Whether the middle point lies on or under the line between the others."""
    rise, run = right[1] - left[1], right[0] - left[0]
    return (middle[1] - left[1]) * run <= rise * (middle[0] - left[0])


def quality_at(front: Curve, cost: float) -> float:
    """The quality of a frontier at a mean cost; NaN below its cheapest point."""
    return float(np.interp(cost, front.cost, front.quality, left=np.nan)) if len(front.cost) else float("nan")


def cost_to_match(front: Curve, quality: float) -> float:
    """The least mean cost at which a frontier reaches a quality; NaN where it does not."""
    if not len(front.cost) or not quality <= front.quality[-1]:
        return float("nan")
    return float(np.interp(quality, front.quality, front.cost))


def aiq(front: Curve, low: float, high: float) -> float:
    """Average improvement in quality: a frontier's mean height over the costs from `low` to `high` (USD).

    Hu et al., RouterBench (arXiv 2403.12031), section 3: 1 / (high - low) x the integral. Below its cheapest point a
    frontier is continued to the null router (cost 0, quality 0), above its dearest one it is level.
    """
    if not len(front.cost) or not high > low:
        return float("nan")
    x, y = front.cost, front.quality
    if x[0] > 0:
        x, y = np.append(0.0, x), np.append(0.0, y)
    inside = x[(x > low) & (x < high)]
    grid = np.concatenate([[low], inside, [high]])
    return float(np.trapezoid(np.interp(grid, x, y), grid) / (high - low))


# --- a weak and a strong candidate ------------------------------------------------------------------------------


@dataclass(frozen=True)
class PairCurve:
    """What is reached as prompts go to the strong candidate, those first that seem to need it most.

    `share` of prompts sent to it, rising from 0 to 1, and `value`, the mean over all prompts. Prompts that seem to
    need it equally cannot be told apart by a threshold: they make one step, straight between its ends.
    """

    share: Values
    value: Values

    @property
    def area(self) -> float:
        """The mean value over the share; NaN where there is no prompt."""
        return float(np.trapezoid(self.value, self.share)) if len(self.share) else float("nan")

    def share_for(self, value: float) -> float:
        """The least share at which a value is reached; NaN where it is not."""
        reached = np.flatnonzero(self.value >= value - 1e-12)
        if not len(reached):
            return float("nan")
        at = int(reached[0])
        if at == 0:
            return 0.0
        before, after = self.value[at - 1], self.value[at]
        part = min(1.0, (value - before) / (after - before))
        return float(self.share[at - 1] + part * (self.share[at] - self.share[at - 1]))


def pair_curve(need: Values, weak: Values, strong: Values) -> PairCurve:
    """From how much each prompt seems to need the strong candidate, and what either gets on it; float64 [n] each.

    Prompts on which either is not known are left out.
    """
    known = np.isfinite(need) & np.isfinite(weak) & np.isfinite(strong)
    order = np.argsort(-need[known], kind="stable")
    need, weak, strong = need[known][order], weak[known][order], strong[known][order]
    if not len(need):
        return PairCurve(np.zeros(0), np.zeros(0))
    ends = np.flatnonzero(np.append(np.diff(need) != 0, True))
    gained = np.cumsum(strong - weak)[ends] / len(need)
    return PairCurve(np.append(0.0, (ends + 1) / len(need)), weak.mean() + np.append(0.0, gained))


def recovered(curve: PairCurve) -> PairCurve | None:
    """A pair's curve as performance gap recovered: 0 at the weak candidate's quality, 1 at the strong one's.

    Ong et al., RouteLLM (arXiv 2406.18665), section 3: PGR. The `area` of what is returned is APGR (they average ten
    shares of calls, this is the whole integral), and `share_for(.5)` is CPT(50). None where the strong candidate is
    not better.
    """
    if not len(curve.value) or curve.value[-1] - curve.value[0] <= 1e-9:
        return None
    return PairCurve(curve.share, (curve.value - curve.value[0]) / (curve.value[-1] - curve.value[0]))


# --- acceptance, ranks ------------------------------------------------------------------------------------------


def accepted(quality: Values, reference: Values) -> Values:
    """1 where an answer wins against the reference or ties with it (at most TIE worse), else 0; float64 [n]."""
    return np.where(np.isnan(quality) | np.isnan(reference), np.nan, 1.0 - beats(reference, quality))


def beats(quality: Values, other: Values) -> Binary:
    """Where a quality is better than another by more than TIE; not where either is unknown."""
    return np.asarray(quality - other > TIE + 1e-6)


def accept_curve(expected: Values, quality: Values, reference: int) -> PairCurve:
    """The accept rate as prompts go to the reference candidate in place of the best of the others.

    `expected` and `quality` are float64 [n, c]. Its `area` is that of TagRouter's accept rate over the share of
    strong calls (arXiv 2506.12473); the reference is accepted against itself by definition.
    """
    others = np.where(np.arange(expected.shape[1]) == reference, -np.inf, expected)
    best_other = others.argmax(axis=1)
    verdict = accepted(taken(quality, best_other), quality[:, reference])
    return pair_curve(expected[:, reference] - others.max(axis=1), verdict, np.ones(len(quality)))


def ranks(quality: Values, picks: Indices) -> Values:
    """The rank of what was picked among what was tried, 1 the best, equals sharing theirs: float64 [n]."""
    own = taken(quality, picks)
    better = (quality > own[:, None] + 1e-9).sum(axis=1)
    equal = (np.abs(quality - own[:, None]) <= 1e-9).sum(axis=1)
    return np.where(np.isnan(own), np.nan, 1 + better + (equal - 1) / 2)
