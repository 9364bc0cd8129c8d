"""Bootstrap over prompts: resamples, percentile intervals, one-sided bounds. One draw serves paired comparisons."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.metrics.candidate_means import known_mean
from pipeline.runtime.arrays import Binary, Indices, Values


def resamples(rows: int, count: int, seed: int) -> Indices:
    """Row numbers of `count` bootstrap resamples: int64 [count, rows]. One draw serves paired comparisons."""
    return np.random.default_rng(seed).integers(0, rows, size=(count, rows))


def bootstrap(statistic: Callable[[Any, Binary], float], truth: Any, chosen: Binary, draws: Indices) -> Values:
    """The statistic on each resample of prompts: float64 [count]."""
    return np.array([statistic(truth[rows], chosen[rows]) for rows in draws])


def interval(values: Values, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap values."""
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(values, [tail, 1.0 - tail])
    return float(low), float(high)


Figure = dict[str, float | None]


RESAMPLES = 2000


_CELLS = 2_000_000


def resampling_weights(rows: int, count: int = RESAMPLES, seed: int = 0) -> Iterator[Values]:
    """How often each row stands in each bootstrap resample, in blocks float64 [some, rows], `count` in all.

    The draws depend on the arguments alone, so that whatever is computed from them is paired.
    """
    random = np.random.default_rng(seed)
    block = max(1, _CELLS // rows)
    for start in range(0, count, block):
        size = min(block, count - start)
        drawn = random.integers(0, rows, size=(size, rows)) + np.arange(size)[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=size * rows).reshape(size, rows).astype(np.float64)


@dataclass(frozen=True)
class Resampled:
    """k means: of all rows (`value`, float64 [k]) and of each bootstrap resample of them (`draws` [count, k])."""

    value: Values
    draws: Values

    @classmethod
    def of(
        cls, columns: Sequence[Values], groups: Sequence[Indices] | None = None, count: int = RESAMPLES
    ) -> Resampled:
        """Means of columns [n] over the rows where each is known; with `groups` the mean of the groups' means.

        Rows are resampled together for all columns: the difference of two columns' draws is a paired one.
        """
        values = np.stack(columns, axis=1)
        known = (~np.isnan(values)).astype(np.float64)
        filled = np.nan_to_num(values, nan=0.0)
        parts = [np.arange(len(values))] if groups is None else groups

        def means(weight: Values) -> Values:
            return known_mean(
                np.stack([_ratio(weight[:, rows] @ filled[rows], weight[:, rows] @ known[rows]) for rows in parts]),
                axis=0,
            )

        drawn = [means(weight) for weight in resampling_weights(len(values), count)]
        return cls(means(np.ones((1, len(values))))[0], np.concatenate(drawn))

    def figure(self, column: int) -> Figure:
        """A column's mean with its 95 % interval."""
        return figure(self.value[column], self.draws[:, column])


def figure(value: float, draws: Values) -> Figure:
    """A value with the 95 % percentile interval of its draws; None for each where it is not known."""
    known = draws[np.isfinite(draws)]
    if not np.isfinite(value) or not len(known):
        return {"value": None, "low": None, "high": None}
    low, high = interval(known)
    return {"value": short(value), "low": short(low), "high": short(high)}


def short(value: float) -> float:
    """Six decimals, or six significant digits of what is below a tenth: costs are that small."""
    return round(float(value), 6) if abs(value) >= 0.1 else float(f"{value:.6g}")


def _ratio(above: Values, below: Values) -> Values:
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)


def lower_bound(
    statistic: Callable[[Any, Binary], float],
    truth: Any,
    ours: Binary,
    theirs: Binary,
    confidence: float,
    draws: np.ndarray,
) -> float:
    """The one-sided lower bound of the paired difference, by percentile bootstrap over prompts."""
    difference = bootstrap(statistic, truth, ours, draws) - bootstrap(statistic, truth, theirs, draws)
    return float(np.quantile(difference, 1 - confidence))
