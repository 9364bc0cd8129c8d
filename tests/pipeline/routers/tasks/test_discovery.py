"""The two stages on planted data: communities, winners, task heads, assignment, shortlists, rankings, evidence."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from pipeline.data.outcomes import Outcomes
from pipeline.routers.tasks.assignment import TaskClassifier
from pipeline.routers.tasks.discovery import DiscoverySettings, TaskPartition, chosen_discovery, discovered
from pipeline.routers.tasks.graph import PromptGraph, agreement, communities, gathered_small, nearest, ranks, utility
from pipeline.routers.tasks.mixing import MixingWeights, TaskEstimates, chosen_mixing
from pipeline.routers.tasks.shrunken_means import (
    ShrinkagePrior,
    errors,
    joined_means,
    shortlists,
    standard_error,
    task_means,
)
from pipeline.routers.tasks.task_heads import TaskHeads
from pipeline.routers.tasks.task_summary import TaskSummaries
from pipeline.routers.text.character_ngrams import CharacterNgrams
from pipeline.routers.text.prompt_features import NAMES, surface
from pipeline.runtime.arrays import FloatMatrix

pytestmark = pytest.mark.usefixtures("one_thread")
NAN = float("nan")


def planted(prompts: int, tasks: int, width: int = 24, noise: float = 0.12) -> tuple[FloatMatrix, np.ndarray]:
    """Unit vectors around random directions, and the direction of each."""
    random = np.random.default_rng(3)
    centres = random.normal(size=(tasks, width))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    task = np.arange(prompts) % tasks
    vectors = centres[task] + noise * random.normal(size=(prompts, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), task


def answers(task: np.ndarray, right: np.ndarray) -> FloatMatrix:
    """Quality 0 or 1 with chances `right` [tasks, c]."""
    return (np.random.default_rng(5).random((len(task), right.shape[1])) < right[task]).astype(np.float32)


def outcomes_of(quality: FloatMatrix, prompts: list[str] | None = None, is_labels: bool = False) -> Outcomes:
    ids = tuple(f"p{i}" for i in range(len(quality)))
    names = tuple("abcdefgh"[: quality.shape[1]])
    return Outcomes(ids, tuple(prompts or ids), names, quality, np.full_like(quality, NAN), is_labels)


WINNERS = np.full((8, 4), 0.3)
WINNERS[np.arange(8), np.arange(8) % 4] = 0.9


def test_planted_communities_are_recovered() -> None:
    vectors, task = planted(400, 8)
    neighbours = nearest(vectors, vectors, 10, itself=True)
    edges = PromptGraph.of(neighbours, ranks(answers(task, WINNERS)))
    for share in (0.0, 1.0):
        assert adjusted_rand_score(task, communities(edges, share, 1.0, 400, 0)) >= 0.9
    chosen = chosen_discovery(vectors, outcomes_of(answers(task, WINNERS)), 3, 0)
    found = discovered(neighbours, outcomes_of(answers(task, WINNERS)), chosen, 0)
    assert adjusted_rand_score(task, found.task) >= 0.9


def test_agreement_in_the_edges_parts_prompts_that_look_alike() -> None:
    task = np.arange(24) % 2
    left, right = np.triu_indices(24, 1)
    alike = np.where(task[left] == task[right], 1.8, 0.2).astype(np.float32)
    edges = PromptGraph(left, right, np.ones(len(left), np.float32), alike)
    assert communities(edges, 0.0, 1.0, 24, 0).max() == 0
    np.testing.assert_array_equal(communities(edges, 1.0, 1.0, 24, 0), task)


def test_planted_winners_are_found_in_each_task() -> None:
    _, task = planted(400, 8)
    means = task_means(answers(task, WINNERS), task, np.zeros(8, np.int64), ShrinkagePrior(30.0, 30.0))
    np.testing.assert_array_equal(means.argmax(axis=1), np.arange(8) % 4)


def test_where_all_prompts_are_alike_there_is_one_task() -> None:
    vectors, task = planted(300, 1, noise=1.0)
    quality = answers(task, np.array([[0.7, 0.4, 0.5]]))
    how = chosen_discovery(vectors, outcomes_of(quality), 3, 0)
    means = discovered(nearest(vectors, vectors, how.neighbours, itself=True), outcomes_of(quality), how, 0)
    expected = task_means(quality, means.task, means.group, how.prior)
    assert (expected.argmax(axis=1) == 0).all()
    np.testing.assert_allclose(expected.mean(axis=0), [0.7, 0.4, 0.5], atol=0.08)


def test_a_table_that_is_too_small_for_tasks_gets_one() -> None:
    vectors, task = planted(16, 4)
    how = chosen_discovery(vectors, outcomes_of(answers(task, WINNERS[:4])), 3, 0)
    assert (how.coarse, how.fine) == (0.0, 0.0)
    assert (
        len(discovered(nearest(vectors, vectors, 10, True), outcomes_of(answers(task, WINNERS[:4])), how, 0).group) == 1
    )


def test_communities_are_the_same_each_time_and_ordered_by_size() -> None:
    vectors, task = planted(300, 5)
    edges = PromptGraph.of(nearest(vectors, vectors, 10, True), ranks(answers(task, WINNERS[:5])))
    first, again = (communities(edges, 0.5, 4.0, 300, 7) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (np.diff(np.bincount(first)) <= 0).all()


def test_a_small_community_joins_the_one_it_has_most_edges_to() -> None:
    edges = PromptGraph(
        *(np.array(ends) for ends in ([0, 1, 3, 4, 6], [1, 2, 4, 5, 4])), np.ones(5, np.float32), np.ones(5)
    )
    community = np.array([0, 0, 0, 1, 1, 1, 2])
    found = gathered_small(community, edges, 2, np.zeros(7, np.int64))
    assert found[6] == found[4] != found[0]
    alone = gathered_small(community, edges.where(np.arange(5) < 4), 2, np.array([0, 0, 0, 1, 1, 1, 1]))
    assert alone[6] == alone[4] != alone[0]
    all_small = gathered_small(community, edges, 9, np.array([0, 0, 0, 1, 1, 1, 1]))
    assert all_small.tolist() == [1, 1, 1, 0, 0, 0, 0]


def test_neighbours_are_exact_and_leave_oneself_out() -> None:
    vectors, _ = planted(60, 6, noise=0.4)
    found = nearest(vectors, vectors, 5, itself=True)
    cosine = vectors @ vectors.T - 9 * np.eye(60)
    np.testing.assert_array_equal(found.places, np.argsort(-cosine, axis=1, kind="stable")[:, :5])
    assert nearest(vectors[:1], vectors[:1], 5, itself=True).places.shape == (1, 0)


def test_rank_biased_overlap_with_ties_and_missing_cells() -> None:
    quality = np.array(
        [[0.9, 0.5, 0.1], [0.9, 0.5, 0.1], [0.1, 0.5, 0.9], [1, 1, 0], [1, 1, 1], [0.9, NAN, 0.1], [NAN, NAN, 1]],
        np.float32,
    )
    ranked = ranks(quality)
    assert ranked.tolist() == [[1, 2, 3], [1, 2, 3], [3, 2, 1], [1, 1, 3], [0, 0, 0], [1, 4, 2], [0, 0, 0]]
    found = agreement(ranked, np.array([0, 0, 0, 0, 0, 3]), np.array([1, 2, 3, 4, 5, 6]))
    # Depth 1 weighs 1, depth 2 weighs .8: opposite orders share the middle one at depth 2, a tie comes in whole.
    expected = [1, (0 + 0.8 * 0.5) / 1.8, (2 / 3 + 0.8) / 1.8, NAN, (1 + 0.8 * 2 / 3) / 1.8, NAN]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_a_ranking_may_count_the_cost_and_never_takes_an_unknown_one_for_low() -> None:
    quality, cost = np.array([[1, 0.9, 0.9]], np.float32), np.array([[0.3, 0.1, NAN]], np.float32)
    assert ranks(utility(quality, cost, 0.0)).tolist() == [[1, 2, 2]]
    assert ranks(utility(quality, cost, 1.0)).tolist() == [[2, 1, 4]]


def test_a_tied_prompt_is_neutral_in_the_graph() -> None:
    vectors, task = planted(90, 3)
    quality = answers(task, WINNERS[:3])
    quality[:30] = 1.0
    edges = PromptGraph.of(nearest(vectors, vectors, 8, True), ranks(quality))
    tied = (edges.left < 30) | (edges.right < 30)
    np.testing.assert_allclose(edges.weights(1.0)[tied], edges.weights(0.0)[tied], rtol=1e-5)
    assert not np.allclose(edges.weights(1.0)[~tied], edges.weights(0.0)[~tied])


def test_task_heads_beat_the_general_ones_where_tasks_differ_and_do_no_harm_where_not() -> None:
    """In each task another feature decides, with another sign, which of two candidates is right."""
    random = np.random.default_rng(0)
    task = np.arange(1600) % 4
    features = random.normal(size=(1600, 8)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    belongs = np.eye(4, dtype=np.float32)[task]
    learn, ask = np.arange(1600) < 1200, np.arange(1600) >= 1200
    for differ in (True, False):
        sign = np.where(task % 2 == 0, 1, -1) if differ else 1
        first = (features[:, 0] * sign > 0).astype(np.float32)
        quality = np.stack([first, 1 - first], axis=1)
        heads = TaskHeads.fit(features[learn], quality[learn], belongs[learn], np.ones((4, 2), np.bool_), 0)
        found = heads.of(features[ask], belongs[ask])
        general, headed = ((each.argmax(axis=1) == (first[ask] < 0.5)).mean() for each in (found.general, found.headed))
        assert headed > general + 0.3 if differ else headed >= general - 0.02
        assert headed > 0.85
        held_out = [(np.arange(400), _estimates(found.general, found.headed))]
        mixing = chosen_mixing(held_out, outcomes_of(quality[ask]))
        assert mixing.task_heads == 1.0 or not differ


def _estimates(general: FloatMatrix, headed: FloatMatrix) -> TaskEstimates:
    flat = np.full(general.shape, 0.5)
    n = len(general)
    return TaskEstimates(flat, flat, general, headed, headed, np.ones(n, np.float32), np.zeros(n, np.bool_))


def test_a_candidate_that_is_not_shortlisted_has_no_task_head_and_missing_cells_teach_nothing() -> None:
    vectors, task = planted(200, 4)
    quality = answers(task, WINNERS[:4])
    short = np.ones((4, 4), np.bool_)
    short[:, 3] = False
    belongs = np.eye(4, dtype=np.float32)[task]
    found = TaskHeads.fit(vectors, quality, belongs, short, 0).of(vectors, belongs)
    np.testing.assert_array_equal(found.general[:, 3], found.headed[:, 3])
    assert not np.allclose(found.general[:, 0], found.headed[:, 0])
    quality[:, 1] = NAN
    untried = TaskHeads.fit(vectors, quality, belongs, short, 0).of(vectors, belongs).headed
    assert np.isfinite(untried).all()
    np.testing.assert_allclose(untried[:, 1], 0.5, atol=0.1)


def test_abstaining_falls_back_to_the_general_heads() -> None:
    estimates = TaskEstimates(
        np.array([[0.9, 0.1]] * 3), np.full((3, 2), 0.2), *(np.array([[0.2, 0.6]] * 3, np.float32),) * 2,
        np.full((3, 2), 0.1, np.float32), np.array([0.9, 0.4, 0.9], np.float32), np.array([False, False, True]),
    )  # fmt: skip
    how = MixingWeights(alpha=0.0, level=0.0, task_heads=1.0, floor=0.5)
    assert estimates.abstains(how).tolist() == [False, True, True]
    np.testing.assert_allclose(estimates.mixed(how), [[0.9, 0.1], [0.2, 0.6], [0.2, 0.6]], atol=1e-6)
    np.testing.assert_allclose(estimates.uncertainty(how), [[0.2, 0.2], [0.1, 0.1], [0.1, 0.1]], atol=1e-6)
    half = MixingWeights(alpha=0.5, level=0.5, task_heads=1.0, floor=0.0)
    np.testing.assert_allclose(estimates.mixed(half)[0], [0.55, 0.35], atol=1e-6)


def test_assignment_finds_tasks_is_calibrated_and_knows_what_is_strange() -> None:
    vectors, task = planted(600, 6, noise=0.25)
    found = TaskClassifier.fit(vectors[:400], task[:400], 6, 0)
    probability = found.of(vectors[400:])
    right = probability.argmax(axis=1) == task[400:]
    assert right.mean() > 0.9
    assert abs(probability.max(axis=1).mean() - right.mean()) < 0.05
    assert found.is_new(vectors[400:]).mean() < 0.05
    elsewhere = np.linalg.svd(found.centres)[2][-1:].astype(np.float32)
    assert found.is_new(elsewhere).all()


def test_means_shrink_to_the_group_and_never_take_a_missing_cell_for_zero() -> None:
    quality = np.array([[1, 0], [1, 0], [0, 1], [0, NAN]], np.float32)
    task, group = np.array([0, 0, 1, 1]), np.array([0, 0])
    free = task_means(quality, task, group, ShrinkagePrior(0.0, 1e-9))
    firm = task_means(quality, task, group, ShrinkagePrior(0.0, 1e9))
    assert free[0, 0] - free[0, 1] > 0.9
    assert firm[0, 0] - firm[0, 1] == pytest.approx(0.5 - 1 / 3, abs=1e-6)
    untried = task_means(
        np.array([[1, NAN], [1, NAN]], np.float32), np.zeros(2, int), np.zeros(1, int), ShrinkagePrior(1.0, 1.0)
    )
    np.testing.assert_allclose(untried, [[1.0, 0.5]])
    exact = errors(np.array([[0.9, 0.2]]), np.array([[1.0, NAN]], np.float32))
    assert (exact.contrast, exact.level) == (0.0, pytest.approx(0.01))


def test_the_standard_error_falls_with_what_was_seen() -> None:
    _, task = planted(400, 8)
    quality = answers(task, WINNERS)
    quality[:, 1][::2] = NAN
    means = task_means(quality, task, np.zeros(8, np.int64), ShrinkagePrior(1.0, 1.0))
    many, few = (standard_error(quality[:n], task[:n], means, ShrinkagePrior(1.0, 1.0)) for n in (400, 80))
    assert (many > 0).all()
    assert (many < few).all()
    assert many[0, 0] < many[0, 1]


def test_a_few_equal_answers_are_no_certainty() -> None:
    _, task = planted(400, 8)
    quality = answers(task, WINNERS)[:, :2]
    quality[:, 1] = NAN
    quality[:6, 1] = 1.0
    means = task_means(quality, task, np.zeros(8, np.int64), ShrinkagePrior(100.0, 30.0))
    error = standard_error(quality, task, means, ShrinkagePrior(100.0, 30.0))
    assert (error[:, 1] > 4 * error[:, 0]).all()
    assert error[:, 1].min() > 0.1


def test_a_joining_candidate_has_the_means_that_it_would_have_had() -> None:
    _, task = planted(400, 8)
    quality, group = answers(task, WINNERS), np.zeros(8, np.int64)
    whole = task_means(quality, task, group, ShrinkagePrior(10.0, 10.0))
    three = task_means(quality[:, :3], task, group, ShrinkagePrior(10.0, 10.0))
    joined = joined_means(three, quality[:, 3], np.eye(8, dtype=np.float32)[task], group, ShrinkagePrior(10.0, 10.0))
    np.testing.assert_allclose(joined, whole[:, 3], atol=0.12)


def test_a_shortlist_grows_until_it_covers_what_is_preferred() -> None:
    quality = np.array([[1, 0, 0]] * 6 + [[0, 1, 0]] * 3 + [[0, 0, 1]] * 1 + [[1, 1, 1]] * 30, np.float32)
    task, means = np.zeros(40, np.int64), quality.mean(axis=0, keepdims=True).astype(np.float64)
    assert shortlists(quality, task, means, 0.5).tolist() == [[True, False, False]]
    assert shortlists(quality, task, means, 0.9).tolist() == [[True, True, False]]
    assert shortlists(quality, task, means, 1.0).tolist() == [[True, True, True]]
    assert shortlists(quality[10:], task[10:], means).sum() == 1


def test_grams_tell_scripts_apart_and_are_the_same_in_any_batch() -> None:
    texts = [f"下列关于珠江流域的说法错误的是{i}" for i in range(6)] + [f"what is the answer to {i}?" for i in range(6)]
    grams = CharacterNgrams.fit(texts, 4, 0)
    vectors = grams.of(texts)
    likeness = vectors @ vectors.T
    assert likeness[:6, :6].min() > likeness[:6, 6:].max() + 0.3
    np.testing.assert_allclose(grams.of(texts[3:4]), vectors[3:4], atol=1e-6)
    assert not grams.of([""]).any()


def test_the_surface_shows_script_digits_and_options() -> None:
    found = surface(["珠江", "ABC", "12", "Which?\nA. one\nB. two\nC. three", ""])
    place = {name: i for i, name in enumerate(NAMES)}
    assert found.shape == (5, len(NAMES))
    assert found[:, place["han"]].tolist() == [1, 0, 0, 0, 0]
    assert found[1, place["capital"]] == found[2, place["digit"]] == 1
    assert found[3, place["options"]] == pytest.approx(0.5)
    assert found[0, place["options"]] == 0


def test_the_evidence_of_a_task_is_readable() -> None:
    prompts = [
        f"solve the quadratic equation number {i}" if i % 2 else f"translate this french poem {i}" for i in range(40)
    ]
    task = np.arange(40) % 2
    features = np.eye(2, dtype=np.float32)[task]
    quality = np.stack([task, np.full(40, NAN)], axis=1).astype(np.float32)
    evidence = TaskSummaries.of(
        outcomes_of(quality, prompts), TaskPartition(task, np.arange(2)), features, np.eye(2, dtype=np.float32)
    )
    first, second = evidence.tasks(("a", "b"), np.ones((2, 2), np.bool_))
    assert first.size == second.size == 20
    assert any("french" in phrase for phrase in first.phrases)
    assert any("equation" in phrase for phrase in second.phrases)
    assert not set(first.phrases) & set(second.phrases)
    assert set(first.nearest) <= {f"p{i}" for i in range(0, 40, 2)}
    best, untried = second.candidates
    assert (best.candidate, best.tried, best.mean) == ("a", 20, 1.0)
    assert 0.7 < best.low < best.high == 1.0
    assert untried.tried == 0
    assert np.isnan(untried.mean)
    assert evidence.map.places.shape == (40, 2)


def test_discovery_settings_differ_as_their_fields_say() -> None:
    vectors, task = planted(300, 2, noise=0.3)
    quality = answers(task, WINNERS[:2])
    neighbours = nearest(vectors, vectors, 10, True)
    coarse = discovered(neighbours, outcomes_of(quality), DiscoverySettings(coarse=0.25, fine=0.0), 0)
    fine = discovered(neighbours, outcomes_of(quality), DiscoverySettings(coarse=0.25, fine=2.0), 0)
    assert len(fine.group) > len(coarse.group)
    for t, group in enumerate(fine.group):
        assert set(coarse.task[fine.task == t]) == {group}
