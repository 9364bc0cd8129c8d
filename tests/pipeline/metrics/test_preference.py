"""Of equals the cheaper, whatever the names say and wherever the columns stand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from pipeline.metrics.preference import SAME, order_of, preferred

NAN, BARRED = np.nan, -np.inf


@pytest.mark.parametrize(
    ("worth", "price", "expected"),
    [
        ([0.5, 0.9, 0.7], [1, 9, 1], 1),
        ([0.9, 0.9, 0.9], [3, 2, 1], 2),
        ([0.9, 0.9, 0.1], [NAN, 5, 0], 1),
        ([0.9, 0.9, 0.9], [NAN, NAN, NAN], 0),
        ([0.9, 0.9 - SAME / 4, 0.1], [2, 1, 0], 1),
        ([0.9, 0.9 - 2 * SAME, 0.1], [2, 1, 0], 0),
        ([BARRED, BARRED, 0.1], [1, 0, 9], 2),
        ([BARRED, BARRED, BARRED], [2, 1, 3], 1),
    ],
)
def test_the_highest_worth_and_of_equals_the_lowest_known_price(
    worth: list[float], price: list[float], expected: int
) -> None:
    for columns in itertools.permutations(range(3)):
        made = preferred(np.array(worth)[list(columns)], np.array(price)[list(columns)])
        same = [c for c in range(3) if (worth[c], price[c]) == (worth[expected], price[expected])]
        assert columns[int(made)] in same or (np.isnan(price).all() and made == 0)


def test_the_order_begins_with_the_preferred_and_tiers_come_before_all() -> None:
    random = np.random.default_rng(0)
    worth = random.integers(0, 4, (300, 5)) / 4
    price = np.where(random.random((300, 5)) < 0.3, NAN, random.integers(1, 4, (300, 5)))
    one_tier = np.zeros(worth.shape, dtype=np.int64)
    assert (order_of(worth, price, one_tier)[:, 0] == preferred(worth, price)).all()
    tiers = random.integers(0, 2, worth.shape)
    order = order_of(worth, price, tiers)
    ranked = np.take_along_axis(tiers, order, axis=1)
    assert (np.diff(ranked, axis=1) >= 0).all()
    assert (np.sort(order, axis=1) == np.arange(5)).all()
