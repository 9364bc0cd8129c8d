"""From probabilities to a decision: thresholds, at least one, and the single best."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.outcomes import FloatMatrix
from pipeline.policies import BestPolicy, Policy, SubsetPolicy, fit_subset_policy, policy_from_json


def _matrix(*rows: tuple[float, ...]) -> FloatMatrix:
    return np.array(rows, dtype=np.float32)


def _column(threshold: float, rows: int, positives: int) -> tuple[FloatMatrix, FloatMatrix]:
    """Probabilities of which those above a threshold are right, and no other."""
    probability = np.concatenate(
        [np.linspace(threshold + 0.02, 0.99, positives), np.linspace(0.01, threshold - 0.02, rows - positives)]
    )
    return probability.astype(np.float32), (np.arange(rows) < positives).astype(np.float32)


def test_each_candidate_is_chosen_from_its_own_threshold_on() -> None:
    policy = SubsetPolicy((0.5, 0.2), at_least_one=False)
    chosen = policy.choose(_matrix((0.5, 0.19), (0.49, 0.2), (0.9, 0.9), (0.0, 0.0)))
    assert chosen.tolist() == [[True, False], [False, True], [True, True], [False, False]]


def test_where_each_prompt_needs_one_the_nearest_to_its_threshold_is_chosen() -> None:
    policy = SubsetPolicy((0.5, 0.2), at_least_one=True)
    chosen = policy.choose(_matrix((0.35, 0.1), (0.45, 0.1), (0.6, 0.6)))
    assert chosen.tolist() == [[False, True], [True, False], [True, True]]


def test_at_least_one_is_learnt_from_the_labels() -> None:
    quality = _matrix((0.9, 0.1), (0.2, 0.8))
    assert fit_subset_policy(quality, _matrix((1, 0), (0, 1))).at_least_one
    assert not fit_subset_policy(quality, _matrix((1, 0), (0, 0))).at_least_one


def test_a_planted_threshold_is_found() -> None:
    quality, labels = _column(0.3, rows=400, positives=200)
    policy = fit_subset_policy(quality[:, None], labels[:, None])
    assert policy.thresholds[0] == pytest.approx(0.3, abs=0.03)


def test_a_common_candidate_has_its_own_threshold_and_a_rare_one_keeps_near_the_common_one() -> None:
    columns = [_column(0.3, 1000, 400), _column(0.6, 1000, 300), _column(0.9, 1000, 2)]
    quality, labels = (np.column_stack(part) for part in zip(*columns, strict=True))
    often, less, rare = fit_subset_policy(quality, labels).thresholds
    assert often == pytest.approx(0.3, abs=0.05)
    assert less == pytest.approx(0.6, abs=0.05)
    assert rare < 0.7


def test_a_candidate_without_positives_takes_the_common_threshold() -> None:
    quality, labels = _column(0.3, rows=400, positives=200)
    never = np.full_like(quality, 0.01)
    policy = fit_subset_policy(np.column_stack([quality, never]), np.column_stack([labels, np.zeros_like(labels)]))
    assert policy.thresholds[1] == pytest.approx(policy.thresholds[0], abs=0.05)
    assert not policy.choose(np.column_stack([quality, never]))[:, 1].any()


def test_the_best_policy_chooses_one_and_the_first_of_equals() -> None:
    chosen = BestPolicy().choose(_matrix((0.2, 0.9, 0.1), (0.5, 0.5, 0.5), (0.0, 0.0, 0.0)))
    assert chosen.argmax(axis=1).tolist() == [1, 0, 0]
    assert (chosen.sum(axis=1) == 1).all()


@pytest.mark.parametrize("policy", [SubsetPolicy((0.1234, 0.5), True), SubsetPolicy((0.3,), False), BestPolicy()])
def test_a_policy_survives_json(policy: Policy) -> None:
    assert policy_from_json(json.loads(json.dumps(policy.to_json()))) == policy


@pytest.mark.parametrize("policy", [SubsetPolicy((0.5, 0.5), True), BestPolicy()])
def test_choosing_leaves_the_probabilities_as_they_were(policy: Policy) -> None:
    quality = _matrix((0.1, 0.2), (0.9, 0.8))
    before = quality.copy()
    policy.choose(quality)
    assert (quality == before).all()
