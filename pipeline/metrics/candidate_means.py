"""Each candidate's mean quality and cost, and the candidates that stand out by them."""

from __future__ import annotations

import numpy as np

from pipeline.data.outcomes import Outcomes
from pipeline.metrics.preference import preferred
from pipeline.runtime.arrays import FloatMatrix, Values

_PRIOR_PROMPTS = 10.0
"""A mean weighs as much as what it is shrunk towards at this many prompts; where all were tried nothing changes."""

_MOST_SCARCE = 0.5
"""With more scarcity a candidate is no best one: it was tried on fewer than some ten prompts, and others on more."""


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
    """Each candidate's mean quality, shrunk as in `best_single`, and mean cost; [c] each.

    Quality is -inf where it was never tried, or so seldom beside others that one lucky answer would make it the best.
    """
    quality = part.quality.astype(np.float64)
    return np.where(scarcity(quality) > _MOST_SCARCE, -np.inf, shrunk_quality(quality)), mean_cost(part)


def shrunk_quality(quality: Values, towards: Values | None = None) -> Values:
    """Shrunk mean quality of each candidate, float64 [c]; -inf where never tried.

    Of many candidates the highest plain mean is often that of one tried twice, by luck.
    """
    tried = (~np.isnan(quality)).sum(axis=0)
    total = np.where(np.isnan(quality), 0.0, quality).sum(axis=0)
    prior = known_mean(quality) if towards is None else towards
    shrunk = (total + _PRIOR_PROMPTS * np.nan_to_num(prior)) / (tried + _PRIOR_PROMPTS)
    return np.asarray(np.where(tried > 0, shrunk, -np.inf))


def scarcity(quality: FloatMatrix | Values) -> Values:
    """How far what outcomes [n, c] say of each candidate is to be drawn to what is said of all, float64 [c] in 0..1.

    0 for those tried most often, and where all were tried on every prompt; near 1 for one tried once or twice: as
    `shrunk_quality` has it, beside those tried most often. 0 for one never tried, of which nothing is said.
    """
    tried = (~np.isnan(quality)).sum(axis=0)
    weight = tried / (tried + _PRIOR_PROMPTS)
    return np.asarray(np.where(tried > 0, 1.0 - weight / max(float(weight.max(initial=0.0)), 1e-9), 0.0))


def mean_cost(part: Outcomes) -> Values:
    return known_mean(part.cost.astype(np.float64), axis=0)


def known_mean(values: Values, axis: int | None = None) -> Values:
    """The mean of what is known, NaN where nothing is."""
    known = ~np.isnan(values)
    total, count = np.where(known, values, 0.0).sum(axis=axis), known.sum(axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
