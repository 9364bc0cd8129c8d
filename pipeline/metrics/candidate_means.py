"""Each candidate's mean quality and cost, and the candidates that stand out by them."""

from __future__ import annotations

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.metrics.preference import preferred
from pipeline.runtime.arrays import Values

_PRIOR_PROMPTS = 10.0
"""A mean weighs as much as what it is shrunk towards at this many prompts; where all were tried nothing changes."""


def best_single(part: Outcomes) -> int:
    """The column of highest mean quality, of equals the cheaper; few prompts are shrunk towards the mean of all."""
    return int(preferred(*mean_quality_and_cost(part)))


def cheapest(part: Outcomes) -> int:
    """The column of least mean cost, among those whose cost is known."""
    return int(np.nanargmin(mean_cost(part)))


def dearest(part: Outcomes) -> int:
    """The column of highest mean cost, among those whose cost is known."""
    return int(np.nanargmax(mean_cost(part)))


def mean_quality_and_cost(part: Outcomes) -> tuple[Values, Values]:
    """Each candidate's mean quality, shrunk as in `best_single` (-inf where never tried), and mean cost; [c] each."""
    return shrunk_quality(part.quality.astype(np.float64)), mean_cost(part)


def shrunk_quality(quality: Values, towards: Values | None = None) -> Values:
    """Shrunk mean quality of each candidate, float64 [c]; -inf where never tried.

    Of many candidates the highest plain mean is often that of one tried twice, by luck.
    """
    tried = (~np.isnan(quality)).sum(axis=0)
    total = np.where(np.isnan(quality), 0.0, quality).sum(axis=0)
    prior = known_mean(quality) if towards is None else towards
    shrunk = (total + _PRIOR_PROMPTS * np.nan_to_num(prior)) / (tried + _PRIOR_PROMPTS)
    return np.asarray(np.where(tried > 0, shrunk, -np.inf))


def mean_cost(part: Outcomes) -> Values:
    return known_mean(part.cost.astype(np.float64), axis=0)


def known_mean(values: Values, axis: int | None = None) -> Values:
    """The mean of what is known, NaN where nothing is."""
    known = ~np.isnan(values)
    total, count = np.where(known, values, 0.0).sum(axis=axis), known.sum(axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
