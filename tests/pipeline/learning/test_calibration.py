"""Calibration finds a planted slope, planted offsets and planted pulls, and invents none."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit

from pipeline.learning.calibration import STRENGTHS, Calibration, fit_calibration
from pipeline.metrics.multilabel import expected_calibration_error
from pipeline.runtime.arrays import FloatMatrix

SLOPE, OFFSET = 1.8, np.array([-1.0, -0.5, 0.0])


def _planted(rows: int = 6000, seed: int = 0) -> tuple[FloatMatrix, FloatMatrix, FloatMatrix]:
    """Scores, labels drawn from them, and the probabilities they were drawn with."""
    random = np.random.default_rng(seed)
    scores = random.normal(0, 1.5, (rows, len(OFFSET))).astype(np.float32)
    probability = expit(SLOPE * scores + OFFSET)
    return scores, (random.random(probability.shape) < probability).astype(np.float32), probability


def _folds(rows: int) -> np.ndarray:
    return np.arange(rows, dtype=np.int64) % 3


@pytest.fixture(scope="module")
def fitted() -> Calibration:
    scores, labels, _ = _planted()
    return fit_calibration(scores, labels, _folds(len(scores)))


def test_the_planted_slope_and_offsets_are_recovered(fitted: Calibration) -> None:
    assert fitted.slope == pytest.approx(SLOPE, abs=0.1)
    assert fitted.offset == pytest.approx(OFFSET, abs=0.1)


def test_probabilities_on_new_rows_mean_what_they_say(fitted: Calibration) -> None:
    scores, labels, probability = _planted(seed=1)
    found = fitted.probabilities(scores)
    assert found.dtype == np.float32
    assert np.abs(found - probability).mean() < 0.02
    raw = expit(scores).astype(np.float32)
    assert expected_calibration_error(labels > 0.5, found) < 0.02
    assert expected_calibration_error(labels > 0.5, raw) > 0.05


def test_a_rare_candidate_offset_is_drawn_towards_the_others() -> None:
    random = np.random.default_rng(2)
    scores = np.zeros((40, 11), dtype=np.float32)
    labels = (random.random(scores.shape) < 0.5).astype(np.float32)
    labels[:, 0] = 0.0
    labels[0, 0] = 1.0
    offset = fit_calibration(scores, labels, _folds(40)).offset
    own_best = np.log(1 / 39)
    assert own_best + 1 < offset[0] < offset[1:].min()


def test_a_score_that_says_nothing_gets_no_slope() -> None:
    scores, labels, _ = _planted()
    shuffled = np.random.default_rng(3).permutation(scores)
    assert fit_calibration(shuffled, labels, _folds(len(scores))).slope < 0.1


def test_independent_labels_do_not_pull_each_other(fitted: Calibration) -> None:
    assert fitted.strength == 0.0


@pytest.fixture(scope="module")
def pulled() -> tuple[Calibration, FloatMatrix, FloatMatrix]:
    """Candidates 0 and 1 always stand together, 2 and 3 never do, and each has a weak score of its own."""
    random = np.random.default_rng(4)
    first = random.random(1500) < 0.4
    labels = np.column_stack([first, first, ~first, first & (random.random(1500) < 0.5)]).astype(np.float32)
    scores = (2 * (labels - 0.5) + random.normal(0, 2.0, labels.shape)).astype(np.float32)
    return fit_calibration(scores, labels, _folds(1500)), scores, labels


def test_labels_that_occur_together_pull_each_other(pulled: tuple[Calibration, FloatMatrix, FloatMatrix]) -> None:
    calibration = pulled[0]
    assert calibration.strength in STRENGTHS[1:]
    assert calibration.lift[0, 1] > 0.5
    assert calibration.lift[0, 2] < -0.5
    assert (np.diag(calibration.lift) == 0).all()
    sure, unsure = np.array([[0, 4, 0, 0], [0, -4, 0, 0]], dtype=np.float32)
    with_friend, without = calibration.probabilities(np.stack([sure, unsure]))[:, 0]
    assert with_friend > without


def test_the_pull_helps_on_rows_that_it_has_not_seen(pulled: tuple[Calibration, FloatMatrix, FloatMatrix]) -> None:
    calibration, scores, labels = pulled
    plain = Calibration(calibration.slope, calibration.offset, calibration.lift, calibration.prior, 0.0)

    def loss(model: Calibration) -> float:
        p = np.clip(model.probabilities(scores).astype(np.float64), 1e-6, 1 - 1e-6)
        return float(-(labels * np.log(p) + (1 - labels) * np.log(1 - p)).mean())

    assert loss(calibration) < loss(plain)


def test_one_fold_leaves_nothing_to_judge_a_pull_on(pulled: tuple[Calibration, FloatMatrix, FloatMatrix]) -> None:
    _, scores, labels = pulled
    assert fit_calibration(scores, labels, np.zeros(len(scores), dtype=np.int64)).strength == 0.0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rows", [1, 2, 12])
def test_separable_or_empty_labels_give_finite_probabilities(rows: int) -> None:
    labels = np.zeros((rows, 3), dtype=np.float32)
    labels[::2, 0] = 1.0
    labels[:, 1] = 1.0
    scores = (20 * (labels - 0.5)).astype(np.float32)
    found = fit_calibration(scores, labels, _folds(rows)).probabilities(scores)
    assert np.isfinite(found).all()
    assert ((found > 0.5) == (labels > 0.5)).all() or rows == 1


def test_of_exclusive_labels_a_prompts_probabilities_sum_to_one() -> None:
    generator = np.random.default_rng(5)
    right = generator.integers(4, size=600)
    labels = np.eye(4, dtype=np.float32)[right]
    scores = (2.0 * labels + generator.normal(size=labels.shape)).astype(np.float32)
    found = fit_calibration(scores[:300], labels[:300], _folds(300), exclusive=True)
    probability = found.probabilities(scores[300:])
    assert probability.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    likeliest, hit = probability.max(axis=1), probability.argmax(axis=1) == right[300:]
    assert abs(likeliest.mean() - hit.mean()) < 0.04, "they mean what they say"
    again = Calibration.from_json(json.loads(json.dumps(found.to_json())))
    assert np.array_equal(again.probabilities(scores), found.probabilities(scores))


def test_a_calibration_survives_json_to_the_last_bit(pulled: tuple[Calibration, FloatMatrix, FloatMatrix]) -> None:
    calibration, scores, _ = pulled
    again = Calibration.from_json(json.loads(json.dumps(calibration.to_json())))
    assert again.probabilities(scores).tobytes() == calibration.probabilities(scores).tobytes()
