"""The paper's decider, its theta chosen on other folds, and pools along the price ladder."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.operating_point import Scored, chosen_theta, operating_picks, pools, price_ladder, theta_points
from pipeline.data.outcomes import Outcomes
from pipeline.data.prices import Priced, Prices
from pipeline.runtime.errors import InputError

PRICE = (10.0, 4.0, 1.0)


def scored(scores: list[list[float]], quality: list[list[float]], folds: list[int] | None = None) -> Scored:
    """Candidates `dear`, `middle` and `cheap`, of which each call costs its price; the first is the reference."""
    rows, few = np.shape(scores)
    cost = np.tile(np.float32(PRICE[:few]), (rows, 1))
    ids = tuple(map(str, range(rows)))
    outcomes = Outcomes(
        ids, ids, ("dear", "middle", "cheap")[:few], np.float32(quality), cost, is_labels=False,
        folds=np.array(folds or [0] * rows),
    )  # fmt: skip
    return Scored(outcomes, np.float64(scores), cost.astype(np.float64), 0)


@pytest.mark.parametrize(
    ("theta", "expected"),
    [(0.0, [0, 1, 2, 1]), (0.1, [1, 1, 2, 1]), (0.3, [2, 1, 2, 2]), (9.0, [2, 2, 2, 2])],
    ids=["the leader, of equals the cheaper", "one near it", "the cheapest of the near", "the cheapest"],
)
def test_the_cheapest_within_theta_of_the_leader_is_taken(theta: float, expected: list[int]) -> None:
    scores = [[0.9, 0.8, 0.7], [0.5, 0.9, 0.1], [0.2, 0.3, 0.8], [0.6, 0.6, 0.4]]
    found = scored(scores, np.zeros((4, 3)).tolist())
    assert found.decided(theta).tolist() == expected


def test_thetas_go_from_the_leader_alone_to_the_cheapest_of_all() -> None:
    found = scored([[0.9, 0.8], [0.9, 0.6], [0.5, 0.9], [0.9, 0.4]], np.zeros((4, 2)).tolist())
    assert found.thetas(steps=3) == pytest.approx([0.0, 0.1, 0.3, 0.4, 0.5])
    assert found.decided(found.thetas()[-1]).tolist() == [1, 1, 1, 1]


def test_a_point_tells_share_accept_rate_and_cost_beside_the_references() -> None:
    found = scored([[0.9, 0.8], [0.9, 0.6], [0.5, 0.9], [0.9, 0.4]], [[1, 1], [1, 0], [0.97, 0.95], [0, 1]])
    leader, half = theta_points(found, [0.0, 0.35])
    assert (leader.share, leader.accept_rate, leader.relative_cost) == (0.75, 1.0, pytest.approx(34 / 40))
    assert (half.share, half.accept_rate, half.relative_cost) == (0.25, 0.75, pytest.approx(22 / 40))


def test_of_the_thetas_that_are_accepted_often_enough_the_cheapest_is_chosen() -> None:
    found = scored([[0.9, 0.8], [0.9, 0.6], [0.9, 0.5], [0.9, 0.4]], [[1, 1], [1, 1], [1, 0], [1, 0]])
    assert 0.29 < chosen_theta(found, least=0.95) < 0.4
    assert 0.39 < chosen_theta(found, least=0.75) < 0.5
    assert chosen_theta(found, least=0.5) == pytest.approx(0.5)


def test_where_none_is_accepted_often_enough_the_highest_accept_rate_is_chosen() -> None:
    found = scored([[0.8, 0.9], [0.9, 0.8], [0.9, 0.5]], [[1, 0], [1, 1], [1, 0]])
    assert 0.09 < chosen_theta(found, least=0.95) < 0.4


def test_theta_is_chosen_on_the_other_folds_alone() -> None:
    careful, careless = [[1, 0]] * 3, [[1, 1]] * 3
    scores = [[0.9, 0.8], [0.9, 0.7], [0.9, 0.6]] * 2
    found = scored(scores, careful + careless, [0, 0, 0, 1, 1, 1])
    picks, thetas = operating_picks(found)
    assert picks.tolist() == [1, 1, 1, 0, 0, 0], "what fold 1 allows is used on fold 0, and the reverse"
    assert thetas == pytest.approx([0.3, 0.0])
    other = replace(found.outcomes, quality=np.float32(careless + careless))
    again, _ = operating_picks(replace(found, outcomes=other))
    assert again[:3].tolist() == picks[:3].tolist(), "a fold's own outcomes have no say in its theta"


def test_without_other_folds_there_is_no_operating_point() -> None:
    with pytest.raises(InputError, match="give a table with 2 or more"):
        operating_picks(scored([[0.9, 0.8]], [[1, 1]]))


def test_pools_are_spread_evenly_over_the_ladder_of_list_prices() -> None:
    priced = {"d": (0.2, 0.1), "a": (9.0, 1.0), "c": (0.1, 0.2), "b": (8.0, 9.0), "e": (0.5, 5.0), "f": (3.0, 8.0)}
    listed = {
        name: Priced(name=name, usd_per_million_in=into, usd_per_million_out=out)
        for name, (into, out) in priced.items()
    }
    prices = Prices("", listed, "prices.yaml")
    ladder = price_ladder(("f", "e", "d", "c", "b", "a"), prices)
    assert ladder == ("c", "d", "e", "a", "f", "b")
    found = pools(ladder, ("b", "d"), [2, 3, 4, 6])
    assert found == [("b", "d"), ("c", "e", "b"), ("c", "e", "a", "b"), ladder]
    with pytest.raises(InputError, match="no candidate 'x'"):
        pools(ladder, ("b", "x"), [2])
    for size in (1, 7):
        with pytest.raises(InputError, match="ask for 2 to 6"):
            pools(ladder, ("b", "d"), [size])
