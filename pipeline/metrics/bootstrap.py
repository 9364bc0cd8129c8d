"""Bootstrap over prompts, the only one there is: resamples, percentile intervals, one-sided bounds.

Draws depend on the number of rows, their count and the seed alone, so that two systems on the same prompts are scored
on the same resamples. Their difference is then a paired one: what makes a resample hard makes it hard for both, and
cancels. Unpaired, the same interval would be several times as wide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipeline.metrics.candidate_means import known_mean
from pipeline.runtime.arrays import Binary, Indices, Values
from pipeline.runtime.plain import Figure

RESAMPLES = 2000
_TAIL = (1.0 - 0.95) / 2.0
_CELLS = 2_000_000
"""So many row numbers are drawn at once, which bounds the memory."""


def six_decimals(value: float) -> float:
    return round(float(value), 6)


def six_digits(value: float) -> float:
    """Six decimals, or six significant digits of what is below a tenth: costs are that small."""
    return six_decimals(value) if abs(value) >= 0.1 else float(f"{value:.6g}")


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval. Law: all three are NaN where it is not known."""

    value: Figure
    low: Figure
    high: Figure

    @classmethod
    def of(cls, value: float, draws: Values, rounded: Callable[[float], float] = six_digits) -> Estimate:
        """A value with the percentile interval of its bootstrap draws [count]; those not known are left out."""
        known = draws[np.isfinite(draws)]
        if not np.isfinite(value) or not len(known):
            return UNKNOWN
        return Estimate(*(rounded(float(figure)) for figure in (value, *np.quantile(known, [_TAIL, 1.0 - _TAIL]))))

    @classmethod
    def of_share(
        cls, value: float, draws: Values, prompts: int, rounded: Callable[[float], float] = six_digits
    ) -> Estimate:
        """As `of`, for a figure from 0 to 1 on so many prompts.

        Where none of them is wrong, or none right, every resample says so too, as if nothing could be otherwise. The
        interval then ends where that many prompts alike had a chance of 5 %, some 3 / prompts away (the rule of three,
        Hanley and Lippman-Hand, 1983): where one is wrong, it ends there too.
        """
        found = cls.of(value, draws, rounded)
        if found.low != found.high or found.value not in (0.0, 1.0) or not prompts:
            return found
        alike = rounded((2.0 * _TAIL) ** (1.0 / prompts))
        return replace(found, low=alike) if found.value else replace(found, high=rounded(1.0 - alike))

    @property
    def is_known(self) -> bool:
        return bool(np.isfinite(self.value))


UNKNOWN = Estimate(np.nan, np.nan, np.nan)


def resamples(rows: int, count: int, seed: int) -> Indices:
    """Row numbers of `count` bootstrap resamples: int64 [count, rows]."""
    return np.concatenate(list(_drawn(rows, count, seed)))


def resampling_weights(rows: int, count: int = RESAMPLES, seed: int = 0) -> Iterator[Values]:
    """How often each row stands in each of the same resamples, in blocks float64 [some, rows], `count` in all.

    A mean of a resample is a weighted mean of all rows. With weights the means of many columns in all resamples are one
    matrix product, and no row is copied; F1 and its like are no means of rows, and take the row numbers.
    """
    for drawn in _drawn(rows, count, seed):
        drawn += np.arange(len(drawn))[:, None] * rows
        yield np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)


def _drawn(rows: int, count: int, seed: int) -> Iterator[Indices]:
    """Resamples in blocks int64 [some, rows]; where the blocks are cut changes no draw."""
    random = np.random.default_rng(seed)
    block = max(1, _CELLS // rows)
    for start in range(0, count, block):
        yield random.integers(0, rows, size=(min(block, count - start), rows))


def bootstrap(statistic: Callable[[Any, Binary], float], truth: Any, chosen: Binary, draws: Indices) -> Values:
    """The statistic on each resample of prompts: float64 [count]."""
    return np.array([statistic(truth[rows], chosen[rows]) for rows in draws])


def paired_differences(
    statistic: Callable[[Any, Binary], float], truth: Any, ours: Binary, theirs: Binary, draws: Indices
) -> Values:
    """By how much ours exceeds theirs on each resample: float64 [count]."""
    return bootstrap(statistic, truth, ours, draws) - bootstrap(statistic, truth, theirs, draws)


def lower_bound(
    statistic: Callable[[Any, Binary], float],
    truth: Any,
    ours: Binary,
    theirs: Binary,
    confidence: float,
    draws: Indices,
) -> float:
    """The one-sided lower bound of the paired difference.

    One-sided, since a gate asks only whether ours is worse: all that may go wrong lies at one end.
    """
    return float(np.quantile(paired_differences(statistic, truth, ours, theirs, draws), 1 - confidence))


@dataclass(frozen=True)
class Resampled:
    """k means: of all rows (`value`, float64 [k]) and of each bootstrap resample of them (`draws` [count, k]).

    `rows` [k] is on how many each rests.
    """

    value: Values
    draws: Values
    rows: Values

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
        return cls(means(np.ones((1, len(values))))[0], np.concatenate(drawn), known.sum(axis=0))

    def estimate(self, column: int) -> Estimate:
        """A column's mean with its 95 % interval."""
        return Estimate.of(self.value[column], self.draws[:, column])

    def share(self, column: int) -> Estimate:
        """The same for a mean of figures from 0 to 1, none of which need be alike: no difference, no cost."""
        return Estimate.of_share(self.value[column], self.draws[:, column], int(self.rows[column]))


def _ratio(above: Values, below: Values) -> Values:
    """Elementwise above / below, NaN where nothing lies below."""
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)
