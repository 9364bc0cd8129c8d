"""Which candidate is taken where several are worth the same, the cheaper one, and which fit a budget.

One rule for routers and baselines.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pipeline.runtime.arrays import Binary, Indices

Cells = npt.NDArray[np.floating]
SAME = 1e-6
"""Worths this near are equal: qualities are float32, and what is computed of them differs in the last digits."""


def preferred(worth: Cells, price: Cells) -> Indices:
    """The column of highest worth in each row; `worth` is [n, c] or [c], and so is `price`, in USD.

    Of equals the one of lower known price (NaN: unknown, so behind every known one), then the first.
    """
    best = _steps_below(worth, worth.max(axis=-1, keepdims=True)) == 0
    price = np.where(np.isnan(price), np.finfo(np.float64).max, price)
    return np.asarray(np.where(best, price, np.inf).argmin(axis=-1), dtype=np.int64)


def affordable(cost: Cells | float, budget: float) -> Binary:
    """Where a cost is known and at most the budget, both in USD.

    Compared in float32, as costs are kept: there a price of .0005 is .00050000002, which would not fit its own budget.
    """
    return np.asarray(np.asarray(cost, dtype=np.float32) <= np.float32(budget))


def order_of(worth: Cells, price: Cells, tiers: Indices) -> Indices:
    """Every column of each row, int64 [n, c]: by lower tier, then by higher worth, of equals as in `preferred`."""
    first = tiers == tiers.min(axis=1, keepdims=True)
    # Counted from the best that may be chosen, so that what ties with it is not parted from it by rounding.
    below = _steps_below(worth, np.where(first, worth, -np.inf).max(axis=1, keepdims=True))
    return np.lexsort((np.where(np.isnan(price), np.inf, price), below, tiers), axis=1)


def _steps_below(worth: Cells, top: Cells) -> Cells:
    """How many steps of SAME a worth lies below the top one; all the same where nothing is worth anything."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.nan_to_num(np.round((top.astype(np.float64) - worth) / SAME), posinf=np.inf)
