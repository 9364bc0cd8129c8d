"""Expected costs: lines over a prompt's tokens, in USD or, where prices are known, in tokens of the answer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pipeline.data.outcomes import Outcomes
from pipeline.data.prices import Priced
from pipeline.routers.base.cost_model import CostModel, cross_fit_costs, fit_costs, prices_of, tokens_in
from pipeline.runtime.arrays import Values
from pipeline.runtime.errors import InputError

NAN = np.nan


def paid(*columns: list[float], dtype: type = np.float64) -> Outcomes:
    """Outcomes of which only the costs matter, a column a candidate."""
    cost = np.array(columns, dtype=dtype).T
    rows, names = range(len(cost)), tuple(f"c{i}" for i in range(cost.shape[1]))
    quality = np.zeros(cost.shape, dtype=np.float32)
    return Outcomes(tuple(f"p{i}" for i in rows), ("x",) * len(cost), names, quality, cost, False)


def again(model: CostModel) -> CostModel:
    return CostModel.from_json(json.loads(json.dumps(model.to_json(), allow_nan=False)))


def test_tokens_are_a_quarter_of_the_bytes_and_at_least_one() -> None:
    assert tokens_in(["", "abc", "a" * 400, "日本", "a" * 41, "\ud800"]).tolist() == [1.0, 1.0, 100.0, 1.5, 10.25, 1.0]


def test_a_line_is_pulled_towards_the_mean_as_if_by_ten_more_prompts() -> None:
    tokens = np.array([10.0, 20.0, 30.0, 40.0])
    model = fit_costs(tokens, paid((1 + 0.1 * tokens).tolist()))
    slope = 50 / (500 + 10 * 125)  # variance of the tokens: 125
    assert model.usd(np.array([0.0, 100.0]))[:, 0] == pytest.approx([3.5 - 25 * slope, 3.5 + 75 * slope])


def test_what_falls_with_length_is_its_mean_and_no_cost_is_below_zero() -> None:
    tokens = np.array([10.0, 40.0] * 50)
    model = fit_costs(tokens, paid([6.0, 0.0] * 50, [0.0, 6.0] * 50))
    assert model.usd(np.array([1.0, 1e6]))[:, 0].tolist() == [3.0, 3.0]
    through_zero = 12_000 / 85_000  # least squares without a level: sum of xy over sum of xx
    assert model.usd(np.array([10.0]))[0, 1] == pytest.approx(10 * through_zero)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_constant_cost_stays_exactly_that(dtype: type) -> None:
    model = fit_costs(np.array([1.0, 7.0, 9.0]), paid([0.018] * 3, [0.0000004] * 3, [0.0] * 3, dtype=dtype))
    for found in (model, again(model)):
        assert found.usd(np.array([5.0]))[0].tolist() == [0.018, 0.0000004, 0.0]
    assert model.to_json() == [0.018, 0.0000004, 0.0], "as routers were saved that knew means only"


def test_missing_costs_are_left_out_and_unknown_ones_stay_unknown() -> None:
    model = fit_costs(np.array([1.0, 2.0, 3.0]), paid([NAN, 2.0, 4.0], [NAN, NAN, 5.0], [NAN] * 3))
    found = again(model).usd(np.array([2.5]))[0]
    slope = 1.0 / (0.5 + 10 * 2 / 3)
    assert found[:2] == pytest.approx([3.0 + 0 * slope, 5.0])
    assert np.isnan(found[2])


PRICES = np.array([[1.0, 2.0], [10.0, 30.0], [3.0, 0.0]])


def test_with_prices_answers_have_lengths_that_other_prices_are_put_to() -> None:
    tokens = np.array([10.0, 20.0, 30.0])
    lengths = [100.0, 100.0, 100.0]
    costs = [((tokens * p_in + np.array(lengths) * p_out) / 1e6).tolist() for p_in, p_out in PRICES]
    model = again(fit_costs(tokens, paid(*costs), PRICES))
    assert model.lengths(np.array([50.0]))[0, :2] == pytest.approx([100.0, 100.0])
    assert model.usd(np.array([50.0]))[0] == pytest.approx([250e-6, 3500e-6, 150e-6])
    dearer = np.array([[3.0, 4.0], [0.0, 0.0], [3.0, 1.0]])
    assert model.usd(np.array([50.0]), dearer)[0, :2] == pytest.approx([550e-6, 0.0])
    assert np.isnan(model.usd(np.array([50.0]), dearer)[0, 2]), "free answers told nothing of their length: not zero"


def test_lengths_may_fall_with_the_prompt_but_not_below_zero_nor_beyond_what_was_seen() -> None:
    tokens = np.array([10.0, 50.0] * 200)
    answers = np.where(tokens == 10.0, 90.0, 10.0)
    model = fit_costs(tokens, paid(((tokens + 2 * answers) / 1e6).tolist()), np.array([[1.0, 2.0]]))
    slope = -80 / 40 * 400 / 410
    assert model.lengths(np.array([10.0, 30.0, 50.0]))[:, 0] == pytest.approx([50 - 20 * slope, 50.0, 50 + 20 * slope])
    assert model.lengths(np.array([1.0, 9e9]))[:, 0] == pytest.approx([50 - 20 * slope, 50 + 20 * slope])
    assert fit_costs(tokens, paid([1e-9] * 400), np.array([[1.0, 2.0]])).lengths(np.array([30.0]))[0, 0] == 0.0


def test_prices_are_read_off_entries_in_their_order() -> None:
    entries = [
        Priced(name=n, usd_per_million_in=a, usd_per_million_out=b) for n, a, b in [("x", 1.0, 2.0), ("y", 0, 3)]
    ]
    assert prices_of(entries).tolist() == [[1.0, 2.0], [0.0, 3.0]]


def test_without_prices_at_the_fit_other_prices_change_nothing() -> None:
    model = CostModel.constant([0.5])
    assert model.usd(np.array([9.0]), np.array([[99.0, 99.0]])).tolist() == [[0.5]]
    assert np.isnan(model.lengths(np.array([9.0]))).all()


def test_a_row_does_not_tell_its_own_expectation() -> None:
    tokens, folds = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 0, 1, -1])
    held_out = cross_fit_costs(tokens, paid([1.0, 1.0, 5.0, 5.0]), folds)
    assert held_out[:, 0] == pytest.approx([5.0, 5.0, held_out[2, 0], NAN], nan_ok=True)
    changed = cross_fit_costs(tokens, paid([1.0, 1.0, 700.0, 5.0]), folds)
    assert changed[2, 0] == held_out[2, 0]


def test_candidates_join_behind_the_others_which_keep_their_lines() -> None:
    tokens = np.array([1.0, 2.0, 3.0])
    first, second = fit_costs(tokens, paid([1.0, 2.0, 4.0])), fit_costs(tokens, paid([7.0] * 3))
    both = first.joined(second)
    assert both.usd(tokens)[:, 0].tobytes() == first.usd(tokens)[:, 0].tobytes()
    assert both.usd(tokens)[:, 1].tolist() == [7.0] * 3
    with pytest.raises(InputError, match="fitted without the prices of a pool"):
        first.joined(fit_costs(tokens, paid([7.0] * 3), np.array([[1.0, 1.0]])))


costs = arrays.arrays(
    np.float64, (6, 2), elements=st.one_of(st.just(NAN), st.floats(0, 10, allow_subnormal=False).map(lambda x: x / 100))
)
sizes = arrays.arrays(np.float64, 6, elements=st.floats(1, 1e5))


@settings(max_examples=150)
@given(costs, sizes, st.floats(1, 1e6), st.booleans())
def test_a_cost_is_never_negative_and_unknown_exactly_where_nothing_is_known(
    cost: Values, tokens: Values, asked: float, priced: bool
) -> None:
    model = fit_costs(tokens, paid(*cost.T.tolist()), np.array([[1.0, 2.0], [0.5, 4.0]]) if priced else None)
    found = model.usd(np.array([asked]))[0]
    assert (np.isnan(found) == np.isnan(cost).all(axis=0)).all()
    assert (found[~np.isnan(found)] >= 0).all()
    assert again(model).usd(np.array([asked])).tobytes() == model.usd(np.array([asked])).tobytes()
