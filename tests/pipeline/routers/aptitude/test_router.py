"""The router `aptitude`: its test, what answers tell of a candidate, unseen candidates, and edge tables."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted_subjects import SUBJECTS, subject, subject_table

from pipeline.data.folds import make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.routers.aptitude.capability import Capability, accuracy, in_words
from pipeline.routers.aptitude.items import AptitudeTest, chosen_test, digest, drawn, inclusion, raked
from pipeline.routers.aptitude.platt_scaling import PlattScaling, fit_platt_scaling
from pipeline.routers.aptitude.router import FACTS, TENSORS, AptitudeScorer
from pipeline.routers.base.settings import AptitudeParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import open_router
from pipeline.routers.text.prompt_features import PromptFeatures
from pipeline.runtime.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")
NAN = float("nan")


def table(prompts: int = 240, candidates: int = 4, is_labels: bool = False) -> Outcomes:
    return subject_table(prompts, candidates, is_labels)


def with_new(outcomes: Outcomes, **columns: np.ndarray) -> Outcomes:
    """The same with candidates more, by their qualities [n]."""
    quality = np.column_stack([outcomes.quality, *columns.values()]).astype(np.float32)
    names = (*outcomes.candidates, *columns)
    return replace(outcomes, candidates=names, quality=quality, cost=np.full_like(quality, NAN))


def fitted(outcomes: Outcomes, encoder: Path, params: AptitudeParams | None = None) -> CalibratedRouter:
    router = CalibratedRouter(AptitudeScorer(FrozenEmbedding(str(encoder), 64), 0, params or AptitudeParams(shots=8)))
    router.fit(outcomes, make_folds(outcomes, 3, 0))
    return router


def scorer_of(router: CalibratedRouter) -> AptitudeScorer:
    assert isinstance(router.scorer, AptitudeScorer)
    return router.scorer


@pytest.fixture(scope="module")
def router(tiny_encoder: Path) -> CalibratedRouter:
    return fitted(table(), tiny_encoder)


def again(router: CalibratedRouter, folder: Path) -> CalibratedRouter:
    """A copy that a test may change."""
    router.save(folder)
    return open_router(folder)


def test_of(outcomes: Outcomes, params: AptitudeParams) -> AptitudeTest:
    random = np.random.default_rng(0)
    vectors = random.normal(size=(len(outcomes), 8)).astype(np.float32)
    features = PromptFeatures.fit(outcomes.prompts, 0).of(outcomes.prompts, vectors)
    return chosen_test(outcomes, features, params, 0)[0]


test_of.__test__ = False  # type: ignore[attr-defined]


@pytest.mark.parametrize(("tasks", "shots", "items", "parts"), [(50, 20, 60, 3), (2, 5, 10, 2), (50, 500, 60, 1)])
def test_the_test_is_at_most_a_quarter_with_fewer_tasks_before_fewer_shots(
    tasks: int, shots: int, items: int, parts: int
) -> None:
    test = test_of(table(), AptitudeParams(tasks=tasks, shots=shots))
    assert len(test) == items
    assert len(test.share) == parts
    assert np.bincount(test.task).max() == min(shots, 60)
    assert test.share.sum() == pytest.approx(1)
    assert set(test.digests) <= {digest(text) for text in table().prompts}


def test_inclusion_probabilities_add_up_to_what_is_drawn() -> None:
    chance = inclusion(np.array([100.0, 1, 1, 1, 1]), 3)
    assert chance.sum() == pytest.approx(3)
    np.testing.assert_allclose(chance, [1, 0.5, 0.5, 0.5, 0.5])


def test_weights_undo_what_the_choice_of_hard_items_does_to_a_mean() -> None:
    random = np.random.default_rng(3)
    failing = random.random(2000)
    informativeness = 0.25 + 0.75 * 4 * failing * (1 - failing)
    right = (random.random(2000) < np.where((failing > 0.3) & (failing < 0.7), 0.2, 0.9)).astype(float)
    plain, weighted = [], []
    for seed in range(60):
        items, weight = drawn(informativeness, np.zeros(2000, dtype=np.int64), 200, seed)
        plain.append(right[items].mean())
        weighted.append((right[items] * weight).sum() / weight.sum())
    assert abs(np.mean(weighted) - right.mean()) < 0.01
    assert abs(np.mean(plain) - right.mean()) > 0.05


def test_items_are_chosen_without_those_out_of_view(tiny_encoder: Path) -> None:
    known = table()
    hard = with_new(known, newcomer=np.random.default_rng(5).random(len(known)) < 0.5)
    scorers = [
        AptitudeScorer(FrozenEmbedding(str(tiny_encoder), 64), 0, AptitudeParams(shots=8), None, out_of_view)
        for out_of_view in ((), ("newcomer",))
    ]
    for scorer in scorers:
        scorer.fit(hard)
    alone = fitted(known, tiny_encoder)
    assert scorers[1].test.digests == scorer_of(alone).test.digests
    assert scorers[0].test.digests != scorers[1].test.digests


def test_no_item_is_learnt_from(router: CalibratedRouter, monkeypatch: pytest.MonkeyPatch, tiny_encoder: Path) -> None:
    lessons = []
    monkeypatch.setattr(
        "pipeline.routers.aptitude.attention_reader.AttentionReader.fit",
        lambda self, training_set, *others: lessons.append(training_set),
    )
    scorer = AptitudeScorer(FrozenEmbedding(str(tiny_encoder), 64), 0, AptitudeParams(shots=8))
    twice = table().rows(np.r_[np.arange(240), np.arange(0, 240, 4)])
    scorer.fit(replace(twice, prompt_ids=tuple(map(str, range(len(twice))))))
    (training_set,) = lessons
    assert not set(map(digest, training_set.prompts)) & set(training_set.test.digests)
    assert len(set(training_set.test.digests)) == len(training_set.test)
    assert len(set(training_set.prompts)) + len(training_set.test) == 240


def test_accuracy_is_told_by_task_and_in_words() -> None:
    test = test_of(table(), AptitudeParams(tasks=4, shots=10))
    right = np.zeros((len(test), 2), dtype=np.float32)
    right[test.task == 0, 0] = 1
    right[:, 1] = NAN
    right[test.task == 1, 1] = 1
    found = accuracy(test, right)
    assert found.mean[0, 0] > 0.7 > 0.2 > found.mean[1:, 0].max()
    assert found.answered[:, 1].tolist() == [0, *[10], *[0] * (len(test.share) - 2)]
    assert (found.error[1, 1] < np.delete(found.error[:, 1], 1)).all()
    words = in_words(test, Capability(("one", "two"), right, ("open weights", "")))
    lines = [each.in_order(np.arange(len(test.share))) for each in words]
    assert lines[0][0] == "open weights"
    assert len(lines[0]) == 1 + len(test.share)
    assert len(lines[1]) == 1
    assert all(word in lines[0][1] for word in test.keywords[0])
    assert lines[0][1].endswith(f"{100 * found.mean[0, 0]:.0f} % right")
    assert words[1].of(np.array([0, 1])) == lines[1], "a task that was not tried has no line"


def test_it_sends_each_subject_to_the_candidate_that_masters_it(router: CalibratedRouter) -> None:
    asked = [text.format(i + 500, 3) for i in range(10) for text in SUBJECTS]
    assert (router.predict(asked).quality.argmax(axis=1) == np.arange(40) % 4).mean() > 0.9


def test_an_oracle_and_a_hopeless_one_are_placed_first_and_last_unseen(
    router: CalibratedRouter, tmp_path: Path
) -> None:
    router = again(router, tmp_path / "copy")
    known = table()
    router.join(with_new(known, oracle=np.ones(len(known)), hopeless=np.zeros(len(known))))
    quality = router.predict([text.format(i + 900, 5) for i in range(10) for text in SUBJECTS]).quality
    assert (quality.argmax(axis=1) == 4).all()
    assert (quality.argmin(axis=1) == 5).all()
    assert quality[:, 4].min() > 0.8
    assert quality[:, 5].max() < 0.2


def test_an_unseen_specialist_is_known_by_what_it_masters(router: CalibratedRouter, tmp_path: Path) -> None:
    router = again(router, tmp_path / "copy")
    router.join(with_new(table(), coder=(subject(240) == 2).astype(float)))
    found = router.predict([text.format(i + 900, 5) for i in range(10) for text in SUBJECTS])
    expected = found.quality[:, 4].reshape(10, 4)
    assert expected[:, 2].min() > 0.6 > 0.3 > expected[:, [0, 1, 3]].max()
    assert not found.chosen[:, 4].reshape(10, 4)[:, [0, 1, 3]].any()


def test_a_candidate_that_joins_changes_nothing_of_the_others(router: CalibratedRouter, tmp_path: Path) -> None:
    before = router.predict(table().prompts).quality
    router = again(router, tmp_path / "copy")
    router.join(with_new(table(), newcomer=np.ones(240)))
    np.testing.assert_array_equal(router.predict(table().prompts).quality[:, :4], before)
    router = again(router, tmp_path / "joined")
    assert router.candidates[-1] == "newcomer"
    np.testing.assert_array_equal(router.predict(table().prompts).quality[:, :4], before)


def test_who_answered_no_item_is_refused(router: CalibratedRouter, tmp_path: Path) -> None:
    router = again(router, tmp_path / "copy")
    items = set(scorer_of(router).test.digests)
    known = table()
    others = np.flatnonzero([digest(text) not in items for text in router.followed(known.prompts)])
    with pytest.raises(InputError, match=r"'newcomer' answered none of the test's \d+ items; write them with"):
        router.join(with_new(known.rows(others), newcomer=np.ones(len(others))))
    assert router.candidates == known.candidates


def test_a_right_answer_more_never_lowers_a_score(router: CalibratedRouter) -> None:
    scorer = scorer_of(router)
    test, random = scorer.test, np.random.default_rng(2)
    answers = (random.random((len(test), 12)) < 0.5).astype(np.float32)
    answers[random.random(answers.shape) < 0.3] = NAN
    better = np.where((answers == 0) & (random.random(answers.shape) < 0.3), 1, answers).astype(np.float32)
    names = tuple(map(str, range(12)))
    features = scorer.features_of(table().prompts[:60])
    logits = [
        scorer._reader.logits(test, Capability(names, given, ("",) * 12), (), features) for given in (answers, better)
    ]
    assert (logits[1] >= logits[0] - 1e-5).all()
    assert (logits[1] > logits[0] + 1e-3).any()


def test_the_order_of_the_items_changes_nothing(router: CalibratedRouter) -> None:
    scorer = scorer_of(router)
    test, order = scorer.test, np.random.default_rng(0).permutation(len(scorer.test))
    features = scorer.features_of(table().prompts[:40])
    turned = replace(test, features=test.features[order], task=test.task[order], weight=test.weight[order])
    capability = replace(scorer.capability, answers=scorer.capability.answers[order])
    np.testing.assert_allclose(
        scorer._reader.logits(turned, capability, (), features),
        scorer._reader.logits(test, scorer.capability, (), features),
        atol=1e-4,
    )


def test_fewer_answers_leave_more_doubt(router: CalibratedRouter, tmp_path: Path) -> None:
    router = again(router, tmp_path / "copy")
    half = (np.arange(240) // 4 % 2).astype(float)
    few = np.where(np.arange(240) < 64, half, NAN)
    router.join(with_new(table(), many=half, few=few))
    scorer = scorer_of(router)
    asked = table().prompts[120:160]
    error = scorer.uncertainty(asked, scorer.frozen.embed(router.followed(asked)))
    assert error.shape == (40, 6)
    assert error[:, 5].mean() > 1.05 * error[:, 4].mean()


def test_two_fits_are_the_same_to_the_byte(router: CalibratedRouter, tiny_encoder: Path, tmp_path: Path) -> None:
    np.random.default_rng().random(3)
    router.save(tmp_path / "one")
    fitted(table(), tiny_encoder).save(tmp_path / "two")
    for name in (TENSORS, FACTS, "lean.safetensors", "router.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_saved_router_answers_the_same_and_holds_no_prompt(router: CalibratedRouter, tmp_path: Path) -> None:
    copy = again(router, tmp_path)
    asked = table().prompts[:30]
    np.testing.assert_array_equal(router.predict(asked).quality, copy.predict(asked).quality)
    facts = (tmp_path / FACTS).read_text(encoding="utf-8")
    assert json.loads(facts)["test"]["digests"] == list(scorer_of(router).test.digests)
    assert not any(prompt in facts for prompt in table().prompts)


@pytest.mark.parametrize("loss", ["pointwise", "group"])
def test_either_loss_learns_and_keeps_qualities_in_range(tiny_encoder: Path, loss: str) -> None:
    router = fitted(table(120), tiny_encoder, AptitudeParams.model_validate({"loss": loss, "shots": 6}))
    found = router.predict(table(120).prompts)
    assert ((found.quality >= 0) & (found.quality <= 1)).all()
    assert (found.quality.argmax(axis=1) == subject(120)).mean() > 0.8


@pytest.mark.parametrize(
    ("prompts", "candidates"), [(2, 2), (3, 1), (30, 1), (60, 3)], ids=["two prompts", "one candidate", "few", "some"]
)
def test_small_tables_work(tiny_encoder: Path, prompts: int, candidates: int) -> None:
    router = fitted(table(prompts, candidates), tiny_encoder)
    found = router.predict(table(8).prompts)
    assert found.quality.shape == (8, candidates)
    assert np.isfinite(found.quality).all()
    assert found.chosen.sum() == 8


def test_gaps_ties_and_labels_work(tiny_encoder: Path) -> None:
    gappy = table(80)
    gappy.quality[np.random.default_rng(0).random(gappy.quality.shape) < 0.5] = NAN
    for outcomes in (gappy, replace(table(80), quality=np.ones((80, 4), np.float32)), table(80, is_labels=True)):
        found = fitted(outcomes, tiny_encoder).predict(table(8).prompts)
        assert np.isfinite(found.quality).all()


def test_augmented_rows_are_not_learnt_from(tiny_encoder: Path) -> None:
    outcomes = table(96, is_labels=True)
    copies = outcomes.rows(np.r_[np.arange(96), np.arange(12)])
    copies = replace(
        copies,
        prompts=(*outcomes.prompts, *(f"please, {text}" for text in outcomes.prompts[:12])),
        quality=np.vstack([outcomes.quality, 1 - outcomes.quality[:12]]),
        augmented=np.arange(108) >= 96,
    )
    scorers = [AptitudeScorer(FrozenEmbedding(str(tiny_encoder), 64), 0, AptitudeParams(shots=8)) for _ in range(2)]
    for scorer, rows in zip(scorers, (outcomes, copies), strict=True):
        scorer.fit(rows)
    vectors = scorers[0].frozen.embed(outcomes.prompts)
    np.testing.assert_array_equal(*(scorer.scores(outcomes.prompts, vectors) for scorer in scorers))


def test_one_line_calibrates_all_candidates_and_keeps_their_order() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=(4000, 3))
    quality = (random.random(truth.shape) < 1 / (1 + np.exp(-truth))).astype(np.float32)
    logits = (2.5 * truth - 0.7).astype(np.float32)
    logits[:100] = NAN
    scale = fit_platt_scaling(logits, quality)
    assert scale.slope == pytest.approx(0.4, abs=0.03)
    assert scale.offset == pytest.approx(0.28, abs=0.05)
    assert fit_platt_scaling(np.full((2, 2), NAN, np.float32), quality[:2, :2]) == PlattScaling()
    assert fit_platt_scaling(-logits, quality).slope > 0


def test_it_tells_which_tasks_speak_for_a_choice(router: CalibratedRouter) -> None:
    found = router.explain(SUBJECTS[2].format(700, 3))
    assert found is not None
    first = found["tasks"][0]
    assert "python" in " ".join(first["phrases"])
    assert first["share"] > 0.5
    assert (
        max(first["quality"], key=first["quality"].get) == "model-2" == max(found["quality"], key=found["quality"].get)
    )
    assert sum(task["share"] for task in found["tasks"]) <= 1 + 1e-6


def test_weights_show_the_pool_as_it_is_over_all_prompts() -> None:
    known = table()
    random = np.random.default_rng(0)
    hard = replace(known, quality=(random.random(known.quality.shape) < random.random((240, 1))).astype(np.float32))
    test = test_of(hard, AptitudeParams(shots=15))
    answers = test.answers(hard)
    shown = (answers.mean(axis=1) * test.weight).sum() / test.weight.sum()
    assert shown == pytest.approx(hard.quality.mean(), abs=1e-6)
    assert abs(answers.mean() - hard.quality.mean()) > 0.01
    assert (raked(test.weight, np.ones(len(test)), 0.5) == test.weight).all()
