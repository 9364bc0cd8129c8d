"""The router `tasks` from prompts to a saved folder: determinism, joining, edge tables, missing cells, drift."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted_subjects import SUBJECTS, subject_table

from pipeline.data.folds import make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.routers.base.protocol import Fitted
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.systems import SYSTEMS, open_router
from pipeline.routers.tasks.mixing import MixingWeights
from pipeline.routers.tasks.router import FACTS, TENSORS, TasksScorer
from pipeline.routers.tasks.shrunken_means import fallback
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")
NAN = float("nan")
STRANGE = "ΔΕΝ καταλαβαίνω τίποτα από όλα αυτά που γράφονται εδώ"


def table(prompts: int = 120, candidates: int = 4, is_labels: bool = False) -> Outcomes:
    return subject_table(prompts, candidates, is_labels)


def fitted(outcomes: Outcomes, encoder: Path) -> CalibratedRouter:
    router = CalibratedRouter(TasksScorer(FrozenEmbedding(str(encoder), 64), 0))
    router.fit(outcomes, make_folds(outcomes, 3, 0))
    return router


def scorer_of(router: CalibratedRouter) -> TasksScorer:
    assert isinstance(router.scorer, TasksScorer)
    return router.scorer


def vectors_of(router: CalibratedRouter, prompts: tuple[str, ...]) -> FloatMatrix:
    assert router.scorer.embedding is not None
    return router.scorer.embedding.embed(prompts)


@pytest.fixture(scope="module")
def learnt(tiny_encoder: Path) -> tuple[CalibratedRouter, Fitted]:
    router = CalibratedRouter(TasksScorer(FrozenEmbedding(str(tiny_encoder), 64), 0))
    return router, router.fit(table(), make_folds(table(), 3, 0))


@pytest.fixture(scope="module")
def router(learnt: tuple[CalibratedRouter, Fitted]) -> CalibratedRouter:
    return learnt[0]


def test_it_sends_each_subject_to_the_candidate_that_masters_it(learnt: tuple[CalibratedRouter, Fitted]) -> None:
    router, fit = learnt
    asked = [subject.format(i + 500, 3) for i in range(10) for subject in SUBJECTS]
    assert (router.predict(asked).quality.argmax(axis=1) == np.arange(40) % 4).mean() > 0.9
    assert (fit.held_out.argmax(axis=1) == np.arange(120) % 4).mean() > 0.9


def test_its_tasks_can_be_read(router: CalibratedRouter) -> None:
    tasks = scorer_of(router).tasks()
    assert sum(task.size for task in tasks) == 120
    assert 4 <= len(tasks) <= 12
    for task in tasks:
        subjects = {int(name.split("-")[1]) % 4 for name in task.nearest}
        assert len(subjects) == 1
        best = task.candidates[0]
        assert best.candidate == f"model-{subjects.pop()}"
        assert best.shortlisted
        assert best.low < best.mean < best.high
    assert scorer_of(router).prompt_map().places.shape == (120, 2)


def test_two_fits_are_the_same_to_the_byte(router: CalibratedRouter, tiny_encoder: Path, tmp_path: Path) -> None:
    np.random.default_rng().random(3)
    router.save(tmp_path / "one")
    fitted(table(), tiny_encoder).save(tmp_path / "two")
    for name in (TENSORS, FACTS, "router.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_saved_router_answers_the_same_and_holds_no_prompt(router: CalibratedRouter, tmp_path: Path) -> None:
    router.save(tmp_path)
    again = open_router(tmp_path)
    asked = table().prompts[:30]
    np.testing.assert_array_equal(router.predict(asked).quality, again.predict(asked).quality)
    assert scorer_of(again).tasks() == scorer_of(router).tasks()
    np.testing.assert_array_equal(scorer_of(again).prompt_map().places, scorer_of(router).prompt_map().places)
    facts = (tmp_path / FACTS).read_text(encoding="utf-8")
    assert json.loads(facts)["evidence"]["prompt_ids"][0] == "id-0"
    assert not any(prompt in facts for prompt in table().prompts)


def test_a_candidate_that_joins_changes_nothing_of_the_others(router: CalibratedRouter, tmp_path: Path) -> None:
    router.save(tmp_path / "before")
    router = open_router(tmp_path / "before")
    scorer_of(router).mixing = MixingWeights(alpha=0.5, level=0.5)
    before, tasks = router.predict(table().prompts), scorer_of(router).tasks()
    known = table()
    newcomer = np.where(np.arange(120) % 4 == 1, 1.0, 0.0).astype(np.float32)
    newcomer[::3] = NAN
    quality = np.column_stack([known.quality, newcomer])
    wider = replace(known, candidates=(*known.candidates, "new"), quality=quality, cost=np.full_like(quality, NAN))
    router.join(wider)
    after = router.predict(known.prompts)
    assert after.candidates == wider.candidates
    np.testing.assert_array_equal(before.quality, after.quality[:, :4])
    poems = np.arange(120) % 4 == 1
    assert after.quality[poems, 4].mean() > after.quality[~poems, 4].mean() + 0.2
    for old, new in zip(tasks, scorer_of(router).tasks(), strict=True):
        assert set(old.candidates) < set(new.candidates)
    router.save(tmp_path / "after")
    np.testing.assert_array_equal(open_router(tmp_path / "after").predict(known.prompts).quality, after.quality)
    with pytest.raises(InputError, match="names the known candidates first"):
        scorer_of(router).join(known)
    never = np.column_stack([quality, np.full(120, NAN, np.float32)])
    with pytest.raises(InputError, match="'never' was tried on no prompt"):
        scorer_of(router).join(replace(wider, candidates=(*wider.candidates, "never"), quality=never))


def test_a_prompt_like_no_task_is_marked(router: CalibratedRouter) -> None:
    known = table().prompts
    strange = (STRANGE,)
    scorer = scorer_of(router)
    assert scorer.is_new(known, vectors_of(router, known)).mean() < 0.05
    assert scorer.is_new(strange, vectors_of(router, strange)).all()
    estimates = scorer.estimates(strange, vectors_of(router, strange))
    found = estimates.mixed(replace(scorer.mixing, leads=-1))
    np.testing.assert_allclose(found[0], fallback(table().quality), atol=1e-6)
    before = replace(estimates, overall=None)  # as a version of an earlier release has it
    np.testing.assert_allclose(before.mixed(replace(scorer.mixing, leads=-1)), estimates.general)


def test_one_lucky_answer_of_one_who_joined_is_not_the_best_where_nothing_is_known(router: CalibratedRouter) -> None:
    model, known = scorer_of(router)._fitted()[0], table().quality
    lucky, luckless = (np.full((len(known), 1), NAN, np.float32) for _ in range(2))
    lucky[0], luckless[0] = 1, 0
    belongs = np.full((len(known), len(model.group)), 1 / len(model.group), np.float32)
    how = scorer_of(router).settings.discovery
    one = model.joined(lucky, belongs, how)
    together = model.joined(np.hstack([lucky, luckless]), belongs, how)
    assert one.overall is not None
    assert together.overall is not None
    np.testing.assert_array_equal(one.joined(luckless, belongs, how).overall, together.overall)
    assert together.overall[:4] == pytest.approx(fallback(known))
    assert together.overall[4] < together.overall[:4].max() + 0.06


def test_every_estimate_has_an_uncertainty(router: CalibratedRouter) -> None:
    asked = table().prompts[:8]
    found = scorer_of(router).uncertainty(asked, vectors_of(router, asked))
    assert found.shape == (8, 4)
    assert ((found > 0) & (found < 0.5)).all()


@pytest.mark.parametrize(
    "outcomes",
    [
        pytest.param(table(2), id="two prompts"),
        pytest.param(table(40, candidates=1), id="one candidate"),
        pytest.param(replace(table(40), quality=np.ones((40, 4), np.float32)), id="all tied"),
        pytest.param(replace(table(40), prompts=(SUBJECTS[0],) * 40), id="one prompt many times"),
    ],
)
def test_edge_tables_work(outcomes: Outcomes, tiny_encoder: Path, tmp_path: Path) -> None:
    router = fitted(outcomes, tiny_encoder)
    found = router.predict(outcomes.prompts)
    assert np.isfinite(found.quality).all()
    assert found.chosen.any(axis=1).all()
    router.save(tmp_path)
    np.testing.assert_array_equal(open_router(tmp_path).predict(outcomes.prompts).quality, found.quality)


def test_one_prompt_is_refused_in_one_line(tiny_encoder: Path) -> None:
    with pytest.raises(InputError, match="at least 2 prompts"):
        fitted(table(1), tiny_encoder)


def test_labels_give_logits_that_are_calibrated(tiny_encoder: Path) -> None:
    known = table()
    labels = np.eye(4, dtype=np.float32)[np.arange(120) % 4]
    router = fitted(replace(known, quality=labels, is_labels=True), tiny_encoder)
    scores = router.scorer.scores(known.prompts, vectors_of(router, known.prompts))
    assert scores.min() < -1 < 1 < scores.max()
    assert (router.predict(known.prompts).chosen == (labels > 0.5)).mean() > 0.9


def test_half_of_the_cells_are_enough_and_a_candidate_that_was_never_tried_is_worth_a_half(tiny_encoder: Path) -> None:
    known = table(160, candidates=5)
    quality = np.where(np.random.default_rng(2).random(known.quality.shape) < 0.5, NAN, known.quality).astype(
        np.float32
    )
    quality[:, 4] = NAN
    found = fitted(replace(known, quality=quality), tiny_encoder).predict(known.prompts).quality
    assert (found[:, :4].argmax(axis=1) == np.arange(160) % 4).mean() > 0.9
    assert np.isfinite(found).all()
    assert abs(found[:, 4].mean() - 0.5) < 0.2


def test_it_is_a_system() -> None:
    assert "tasks" in SYSTEMS


def test_it_tells_which_tasks_a_prompt_is_taken_for(router: CalibratedRouter) -> None:
    found = router.explain(SUBJECTS[2].format(700, 3))
    assert found is not None
    first = found["tasks"][0]
    assert "python" in " ".join(first["phrases"])
    assert max(first["quality"], key=first["quality"].get) == "model-2"
    assert found["quality"]["model-2"] == max(found["quality"].values())
    assert not found["new"]
    strange = router.explain(STRANGE)
    assert strange is not None
    assert strange["new"]
