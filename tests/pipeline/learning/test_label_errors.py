"""Labels that are wrong are found, whatever the slip, and come with what they should be."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.learning.label_errors import find_label_errors, pooled, rank_suspects
from pipeline.runtime.arrays import FloatMatrix

NAMES = ("coding", "email", "finance", "legal", "sql", "travel")
ROWS = 40
Rows = tuple[pd.DataFrame, FloatMatrix, dict[str, str]]


def joined(label: np.ndarray) -> str:
    return "|".join(name for name, one in zip(NAMES, label, strict=True) if one)


@pytest.fixture
def planted() -> Rows:
    """Rows of one or two agents, the probabilities of models that understand them, and by id the truth of three."""
    generator = np.random.default_rng(7)
    truth = np.zeros((ROWS, len(NAMES)), dtype=bool)
    for row in truth:
        row[generator.choice(len(NAMES), generator.integers(1, 3), replace=False)] = True
    truth[0], truth[1] = np.eye(len(NAMES), dtype=bool)[[0, 2]]
    truth[2] = truth[0] | truth[1]
    probabilities = np.where(truth, generator.uniform(0.55, 0.99, truth.shape), generator.uniform(0, 0.3, truth.shape))
    given = truth.copy()
    given[0, [0, 4]] = False, True
    given[1, 5] = True
    given[2, 2] = False
    ids = [f"p{number:02}" for number in range(ROWS)]
    rows = pd.DataFrame({"prompt_id": ids, "prompt": ids, "agents": [joined(row) for row in given]})
    right = {ids[number]: joined(truth[number]) for number in range(3)}
    return rows.assign(phrase="", review=""), probabilities.astype(np.float32), right


@pytest.mark.parametrize("row", ["p00", "p01", "p02"], ids=["swapped", "added", "dropped"])
def test_a_planted_slip_of_each_kind_is_found_with_the_right_label(planted: Rows, row: str) -> None:
    rows, probabilities, right = planted
    ranked = rank_suspects(rows, probabilities, NAMES, ROWS).set_index("prompt_id")
    assert ranked["rank"][row] <= len(right) + 1
    assert ranked["suggested"][row] == right[row]
    given, true = (set(text.split("|")) for text in (ranked["agents"][row], right[row]))
    assert all(f"{name} 0." in ranked["doubted"][row] for name in given - true)
    assert all(f"{name} 0." in ranked["missing"][row] for name in true - given)


def test_a_suggestion_differs_by_one_slip_and_is_never_empty(planted: Rows) -> None:
    rows, probabilities, _ = planted
    given = np.array([[name in text.split("|") for name in NAMES] for text in rows["agents"]])
    for probability in (probabilities, 1 - probabilities):
        suggested = find_label_errors(probability, given).suggested
        assert suggested.any(axis=1).all()
        assert ((suggested != given).sum(axis=1) >= 1).all()
        assert ((suggested & ~given).sum(axis=1) <= 1).all()
        assert ((given & ~suggested).sum(axis=1) <= 1).all()


def test_a_single_agent_cannot_be_wrong_about_itself() -> None:
    found = find_label_errors(np.array([[0.1], [0.9]], dtype=np.float32), np.ones((2, 1), dtype=bool))
    assert found.quality.tolist() == [1.0, 1.0]
    assert found.suggested.all()


def test_the_order_is_that_of_the_quality_and_phrases_go_first(planted: Rows) -> None:
    rows, probabilities, right = planted
    rows.loc[[30, 31], "phrase"] = "'x' grips sql"
    ranked = rank_suspects(rows, probabilities, NAMES, 1)
    assert set(ranked["prompt_id"]) == {"p30", "p31"}
    ranked = rank_suspects(rows, probabilities, NAMES, ROWS)
    assert set(ranked["prompt_id"][:2]) == {"p30", "p31"}
    assert ranked["quality"][2:].is_monotonic_increasing
    assert set(ranked["prompt_id"][2:6]) >= set(right)


def test_a_row_is_no_more_suspect_for_having_several_agents() -> None:
    """Three agents of which one is somewhat unlikely, beside one agent as unlikely."""
    given = np.zeros((2, len(NAMES)), dtype=bool)
    given[0, 0], given[1, :3] = True, True
    probability = np.full(given.shape, 0.1, dtype=np.float32)
    probability[0, 0], probability[1, :3] = 0.2, (0.2, 0.9, 0.9)
    probability[0, 5] = 0.7
    first, second = find_label_errors(probability, given).log_odds
    assert first > second


def test_models_are_pooled_where_they_saw_a_row_and_mean_what_they_say(planted: Rows) -> None:
    rows, probabilities, _ = planted
    given = np.array([[name in text.split("|") for name in NAMES] for text in rows["agents"]])
    unseen = probabilities.copy()
    unseen[5] = np.nan
    both = pooled([unseen, 1 - (1 - probabilities) ** 2], given, np.arange(ROWS) % 3)
    assert both.shape == given.shape
    assert np.isfinite(both).all()
    assert abs(both.sum() - given.sum()) < 0.05 * given.sum()
