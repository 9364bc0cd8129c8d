"""Prompts assigned to tasks by an encoder that was fine-tuned to tell them, and tasks found among descriptions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted_subjects import SUBJECTS, subject_table

from pipeline.data.folds import make_folds
from pipeline.encoders.causal_lm import causal_identity
from pipeline.routers.base.settings import FinetuningParams, TasksParams
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.finetuned_assignment import finetuned_assignment
from pipeline.routers.systems import new_router, open_router
from pipeline.routers.tasks import assignment_selection
from pipeline.routers.tasks.assignment_selection import chosen_assignment
from pipeline.routers.tasks.descriptions import SETTING, TaskDescriptions
from pipeline.routers.tasks.discovery import DiscoverySettings
from pipeline.routers.tasks.encoder_assignment import FOLDER, EncoderAssignment
from pipeline.routers.tasks.router import TasksScorer
from pipeline.runtime.errors import InputError, VerificationFailed

pytestmark = pytest.mark.usefixtures("one_thread")
SETTLED = {
    "neighbours": (10,), "agreement": (0.0,), "coarse": (1.0,), "fine": (0.0,), "group_prior": (10.0,),
    "task_prior": (30.0,), "members": (2,), "penalty": (1e-2,),
}  # fmt: skip


def params(encoder: Path, **tasks: object) -> FinetuningParams:
    told = TasksParams.model_validate({**SETTLED, **tasks})
    return FinetuningParams(encoder=str(encoder), max_tokens=32, epochs=8, batch_size=8, tasks=told)


def fitted(encoder: Path, **tasks: object) -> CalibratedRouter:
    outcomes = subject_table(80, 4, False)
    router = new_router("tasks", params(encoder, **tasks), 0)
    router.fit(outcomes, make_folds(outcomes, 2, 0))
    return router


def scorer_of(router: CalibratedRouter) -> TasksScorer:
    assert isinstance(router.scorer, TasksScorer)
    return router.scorer


def test_a_fine_tuned_encoder_tells_tasks_apart_and_is_calibrated(tiny_encoder: Path) -> None:
    texts = [SUBJECTS[i % 4].format(i, 3) for i in range(120)]
    found = finetuned_assignment(texts, np.arange(120) % 4, 4, params(tiny_encoder), 0)
    asked, right = [SUBJECTS[i % 4].format(i + 700, 3) for i in range(40)], np.arange(40) % 4
    probability = found.of(asked)
    np.testing.assert_allclose(probability.sum(axis=1), 1, atol=1e-5)
    assert (probability.argmax(axis=1) == right).mean() > 0.9
    assert found.loss(asked, right) < 0.5


def test_a_router_with_its_own_assignment_is_the_same_after_saving_and_loading(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    router = fitted(tiny_encoder, assignment="finetuned")
    asked = subject_table(80, 4, False).prompts[:12]
    router.save(tmp_path / "router")
    again = open_router(tmp_path / "router")
    model = scorer_of(again)._fitted()[0]
    assert isinstance(model.encoder, EncoderAssignment)
    np.testing.assert_array_equal(again.predict(asked).quality, router.predict(asked).quality)
    assert again.explain(asked[0]) == router.explain(asked[0])
    again.save(tmp_path / "twice")
    for path in (tmp_path / "router" / FOLDER).iterdir():
        assert path.read_bytes() == (tmp_path / "twice" / FOLDER / path.name).read_bytes()
    (tmp_path / "router" / FOLDER / "encoder.onnx").write_bytes(b"no graph")
    with pytest.raises(VerificationFailed, match="damaged encoder"):
        open_router(tmp_path / "router")


def test_auto_takes_the_assignment_of_less_held_out_loss(tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = subject_table(80, 4, False)
    features = np.random.default_rng(0).normal(size=(80, 8)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    asked: list[int] = []

    def finetune(texts: object, task: object, count: int) -> EncoderAssignment:
        asked.append(count)
        return made

    made = finetuned_assignment([SUBJECTS[0], SUBJECTS[1]] * 12, np.arange(24) % 2, 2, params(tiny_encoder), 0)
    how = DiscoverySettings(coarse=1.0, fine=0.0)
    for linear, expected in ((9.0, finetune), (0.1, None)):
        monkeypatch.setattr(EncoderAssignment, "loss", lambda *_: 1.0)
        monkeypatch.setattr(assignment_selection.TaskClassifier, "loss", lambda *_, loss=linear: loss)
        told = TasksParams(assignment="auto")
        assert chosen_assignment(told, finetune, outcomes, features, None, how, 0) is expected
    assert asked[0] > 1
    assert chosen_assignment(TasksParams(), finetune, outcomes, features, None, how, 0) is None
    with pytest.raises(InputError, match=r"tasks\.assignment auto needs an encoder"):
        chosen_assignment(TasksParams(assignment="auto"), None, outcomes, features, None, how, 0)


def test_descriptions_are_what_edges_are_between_and_only_a_fit_asks_for_them(
    tiny_encoder: Path, tiny_causal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, described = fitted(tiny_encoder), fitted(tiny_encoder, descriptions=str(tiny_causal))
    identity = causal_identity(str(tiny_causal), SETTING)
    assert scorer_of(plain).descriptions.identity == ""
    tasks = [scorer_of(router).prompt_map().task for router in (plain, described)]
    assert not np.array_equal(*tasks)
    described.save(tmp_path)
    monkeypatch.setattr(TaskDescriptions, "of", None)
    again = open_router(tmp_path)
    assert scorer_of(again).descriptions.identity == identity
    asked = subject_table(80, 4, False).prompts[:6]
    np.testing.assert_array_equal(again.predict(asked).quality, described.predict(asked).quality)


def test_a_prompt_is_described_once_the_same_in_any_company(tiny_causal: Path) -> None:
    said: list[str] = []
    prompts = [subject.format(1, 2) for subject in SUBJECTS]
    together = TaskDescriptions(str(tiny_causal), said.append).of([*prompts, prompts[0]])
    alone = TaskDescriptions(str(tiny_causal)).of(prompts[2:3])
    assert together[0] == together[-1]
    assert together[2] == alone[0]
    assert all(text and "\n" not in text for text in together)
    assert said == ["tasks described for 4 of 4 prompts"]


def test_a_model_that_is_not_there_is_named_with_its_setting() -> None:
    with pytest.raises(InputError, match=r"tasks\.descriptions"):
        TaskDescriptions("no/such/folder").of(["a prompt"])


def test_prices_in_rankings_without_any_cost_are_refused_before_anything_is_learnt(tmp_path: Path) -> None:
    outcomes = subject_table(8, 4, False)
    outcomes = replace(outcomes, cost=np.full_like(outcomes.quality, np.nan))
    router = new_router("tasks", params(tmp_path / "no encoder", quality_per_usd=1.0), 0)
    with pytest.raises(InputError, match=r"tasks\.quality_per_usd .* no cost is known; add costs, or set 0"):
        router.fit(outcomes, make_folds(outcomes, 2, 0))
