"""Prompts that match no task: which are told as new, what clusters they make, and what page and report say of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from pipeline.data.folds import make_folds
from pipeline.data.outcomes import Outcomes
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.evaluation.outcome_facts import UnmatchedPrompts
from pipeline.evaluation.outcome_report import outcome_report
from pipeline.reports.night_facts import NightFacts
from pipeline.reports.night_report import render
from pipeline.routers.base.protocol import Predictions
from pipeline.routers.baselines.tfidf import TfidfScorer
from pipeline.routers.calibrated import CalibratedRouter
from pipeline.routers.tasks.drift import TaskDrift, drift_of
from pipeline.routers.tasks.router import TasksScorer
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.track import MODELS
from pipeline.stages.models_evaluate import MOST_NEW, drift_facts, models_report
from switchtender.app import app

pytestmark = pytest.mark.usefixtures("one_thread")
KNOWN = ("add the numbers {} and {}, how much is that", "Write a sad poem about autumn leaves, verse {} of {}")
GREEK = "ΔΕΝ καταλαβαίνω τίποτα από το κείμενο {} που γράφεται εδώ"
CODE = "```sql\nSELECT *\nFROM t{}\nWHERE x > 1;\n```"


def table(rows: int = 120) -> Outcomes:
    texts = tuple(KNOWN[i % 2].format(i, i % 7) for i in range(rows))
    quality = np.eye(2, dtype=np.float32)[np.arange(rows) % 2]
    ids = tuple(f"p{i}" for i in range(rows))
    return Outcomes(ids, texts, ("adder", "poet"), quality, np.full_like(quality, np.nan), False)


@pytest.fixture(scope="module")
def router(tiny_encoder: Path) -> CalibratedRouter:
    made = CalibratedRouter(TasksScorer(FrozenEmbedding(str(tiny_encoder), 64), 0))
    made.fit(table(), make_folds(table(), 3, 0))
    return made


@pytest.fixture(scope="module")
def folder(router: CalibratedRouter, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("router")
    router.save(place)
    return place


ASKED = {
    **{f"known-{i}": KNOWN[i % 2].format(i + 500, 3) for i in range(20)},
    **{f"greek-{i}": GREEK.format(i) for i in range(6)},
    **{f"code-{i}": CODE.format(i) for i in range(4)},
}


def drift(router: CalibratedRouter, asked: dict[str, str]) -> TaskDrift:
    assert isinstance(router.scorer, TasksScorer)
    texts = tuple(asked.values())
    return router.scorer.drift(tuple(asked), texts, router.scorer.frozen.embed(texts))


def test_new_prompts_are_found_and_stand_in_clusters_of_their_kind(router: CalibratedRouter) -> None:
    found = drift(router, ASKED)
    assert (found.prompts, found.new) == (30, 10)
    assert found.share == pytest.approx(1 / 3)
    kinds = [{name.split("-")[0] for name in cluster.prompt_ids} for cluster in found.clusters]
    assert kinds == [{"greek"}, {"code"}]
    assert [cluster.size for cluster in found.clusters] == [6, 4]
    assert found.alone == ()
    assert any("κείμενο" in phrase or "δεν" in phrase.lower() for phrase in found.clusters[0].phrases)
    assert drift(router, ASKED) == found


def test_one_new_prompt_is_alone_and_known_ones_are_none(router: CalibratedRouter) -> None:
    known = {name: text for name, text in ASKED.items() if name.startswith("known")}
    assert drift(router, known) == TaskDrift(20, (), ())
    assert drift(router, {**known, "greek-0": ASKED["greek-0"]}) == TaskDrift(21, (), ("greek-0",))
    assert TaskDrift(0, (), ()).share == 0


def test_clusters_are_joined_by_what_is_as_near_as_a_task_is_wide() -> None:
    def unit(*angles: float) -> FloatMatrix:
        return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)

    ids, features = tuple("abcde"), unit(0.0, 0.1, 1.5, 1.6, 3.0)
    new = np.ones(5, np.bool_)
    near = drift_of(ids, ids, features, new, 0.9, 0)
    assert sorted(sorted(cluster.prompt_ids) for cluster in near.clusters) == [["a", "b"], ["c", "d"]]
    assert near.alone == ("e",)
    assert drift_of(ids, ids, features, new, 0.9999, 0).alone == ids
    assert drift_of(ids, ids, features, ~new, 0.9, 0) == TaskDrift(5, (), ())


def test_a_router_tells_of_prompts_that_were_read_and_another_system_cannot(router: CalibratedRouter) -> None:
    texts = (KNOWN[0].format(3, 4), GREEK.format(1), " ".join([GREEK.format(2)] * 9))
    reading = router.read(texts)
    assert reading is not None
    assert len(reading.vectors) > 3, "the last is read in windows"
    new = router.is_new(texts, reading)
    assert new is not None
    assert new.tolist() == [False, True, True]
    assert isinstance(router.scorer, TasksScorer)
    turned = router.read(texts[::-1])
    assert turned is not None
    asked: list[FloatMatrix] = []
    with pytest.MonkeyPatch.context() as patch:  # both kinds of vectors tell the same here, so what is asked is noted
        patch.setattr(router.scorer, "is_new", lambda texts, vectors: asked.append(vectors))
        router.is_new(texts[::-1], turned)
    np.testing.assert_array_equal(asked[0], turned.vectors[turned.first])
    words = CalibratedRouter(TfidfScorer())
    words.fit(table(), make_folds(table(), 3, 0))
    assert words.is_new(texts, words.read(texts)) is None


# --- shown --------------------------------------------------------------------------------------------------------


def test_the_command_tells_how_many_of_a_table_match_no_task(folder: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked.csv"
    pd.DataFrame({"prompt_id": list(ASKED), "prompt": list(ASKED.values())}).to_csv(asked, index=False)
    run = CliRunner().invoke
    page = tmp_path / "tasks.html"
    said = run(app, ["tasks", "--from", str(folder), "--prompts", str(asked), "--html", str(page), "--json"])
    assert said.exit_code == 0, said.output
    found = json.loads(said.output)
    told = found["drift"]
    assert (told["prompts"], told["new"], told["share"]) == (30, 10, 0.333333)
    assert [cluster["size"] for cluster in told["clusters"]] == [6, 4]
    assert set(told["clusters"][1]["prompt_ids"]) == {f"code-{i}" for i in range(4)}
    assert sum(task["size"] for task in found["tasks"]) == 120
    html = page.read_text(encoding="utf-8")
    assert "Prompts that match no task" in html
    assert "<b>10</b> of 30" in html
    assert all(name in html for name in told["clusters"][0]["prompt_ids"][:5])
    table = run(app, ["tasks", "--from", str(folder), "--prompts", str(asked)]).output
    assert "10 of 30 prompts match no task (33.3 %)" in table
    assert "new 2" in table
    plain = run(app, ["tasks", "--from", str(folder), "--html", str(page), "--json"])
    assert "drift" not in json.loads(plain.output)
    assert "match no task" not in page.read_text(encoding="utf-8")


def test_metrics_and_report_give_how_many_of_the_holdout_match_no_task() -> None:
    assert drift_facts(("a",), None) is None
    facts = drift_facts(("a", "b", "c"), np.array([False, True, False]))
    assert facts == UnmatchedPrompts(prompts=3, new=1, share=0.333333, prompt_ids=("b",))
    many = drift_facts([f"p{i}" for i in range(99)], np.ones(99, np.bool_))
    assert many is not None
    assert (many.new, len(many.prompt_ids)) == (99, MOST_NEW)
    outcomes = table(3)
    always = Predictions(outcomes.candidates, outcomes.quality, outcomes.cost, np.array([[True, False]] * 3))
    metrics = models_report(outcome_report(always, outcomes), "h", facts)
    page = render(NightFacts("night-1", MODELS, metrics=metrics))
    assert "<b>1</b> of 3 prompts of the holdout match no task" in page
    assert "match no task" not in render(NightFacts("night-1", MODELS, metrics=replace(metrics, drift=None)))
