"""A stream of releases: a router is trained on the first candidates, and every later one joins by its test alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.figures import difference
from benchmarks.left_out import Shop, columns, rows_of_items
from pipeline.data.outcomes import Outcomes
from pipeline.metrics import cost_quality as m
from pipeline.metrics.candidate_means import known_mean
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.runtime.arrays import Indices, Values

FIRST = 3


def stream(shop: Shop, train: Outcomes, test: Outcomes) -> Iterator[str]:
    """A row an arrival, in the order of price, or by name where there are no prices."""
    order = arrivals(train)
    train, test = columns(train, order), columns(test, order)
    router = shop.fitted(columns(train, range(FIRST)))
    items = rows_of_items(router, train)
    reading = router.read(test.prompts)
    yield "| arrived | quality | cost, USD | best single so far | its quality | its cost | routed - best single |"
    yield "|---|---|---|---|---|---|---|"
    for count in range(FIRST, len(order) + 1):
        if count > FIRST:
            router.join(columns(train, range(count)).rows(items))
        picks = router.judge(test.prompts, reading).chosen.argmax(axis=1)
        single = int(np.nanmean(train.quality[:, :count], axis=0).argmax())
        yield _row(train.candidates[:count], test, picks, single)
    yield ""
    yield from _swept(router, test)


def arrivals(outcomes: Outcomes) -> list[int]:
    """Candidates by their mean cost, cheapest first; by name where costs are not known."""
    price = known_mean(outcomes.cost.astype(np.float64), axis=0)
    return [int(c) for c in np.argsort(np.where(np.isnan(price), np.inf, price), kind="stable")]


def _row(arrived: tuple[str, ...], test: Outcomes, picks: Indices, single: int) -> str:
    routed, best = m.taken(test.quality, picks), test.quality[:, single].astype(np.float64)
    who = ", ".join(arrived) if len(arrived) == FIRST else arrived[-1]
    cells = (
        who, f"{np.nanmean(routed):.4f}", _usd(m.taken(test.cost, picks)), arrived[single], f"{np.nanmean(best):.4f}",
        _usd(test.cost[:, single].astype(np.float64)),
        difference(routed - best),
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _usd(cost: Values) -> str:
    return f"{np.nanmean(cost):.6f}" if np.isfinite(cost).any() else ""


def _swept(router: CalibratedRouter, test: Outcomes) -> Iterator[str]:
    """At half of the dearest candidate's cost, once all have arrived."""
    cost = test.cost.astype(np.float64)
    if not np.isfinite(cost).any():
        return
    made = router.predict(test.prompts)
    front = m.frontier(m.sweep(made.quality.astype(np.float64), made.cost, test.quality.astype(np.float64), cost))
    half = float(np.nanmax(known_mean(cost, axis=0))) / 2
    yield f"At half of the dearest candidate's cost, after all arrived: {m.quality_at(front, half):.4f}."
