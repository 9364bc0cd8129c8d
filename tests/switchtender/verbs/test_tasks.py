"""`switchtender tasks` on a router's folder: the tasks, a page of them, and prompts that match none."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from planted_models import planted

from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import write_table
from switchtender.verbs.fit import fit
from switchtender.verbs.tasks import tasks

BEST = {"code": "coder", "poem": "poet", "sum": "cheap"}


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    place = tmp_path_factory.mktemp("tasks")
    write_table(planted()[0], place / "table.csv")
    settings = f"train: {{router: tasks, encoder: '{tiny_encoder}', max_tokens: 32}}\n"
    (place / "params.yaml").write_text(settings, encoding="utf-8")
    fit(place / "table.csv", place / "router", "tasks", params=place / "params.yaml", threads=1, as_json=True)
    return place / "router"


def test_each_task_is_of_one_kind_and_told_with_who_is_best_in_it(
    router: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    tasks(folder=router, as_json=True)
    found = json.loads(capsys.readouterr().out)["tasks"]
    assert sum(task["size"] for task in found) == 300
    for task in found:
        (kind,) = {name.split("-")[0] for name in task["nearest"]}
        assert task["candidates"][0]["candidate"] == BEST[kind]
    tasks(folder=router)
    assert set(BEST.values()) <= set(capsys.readouterr().out.split())


def test_prompts_of_a_kind_of_their_own_are_drift(
    router: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    strange = [f"ΔΕΝ καταλαβαίνω τίποτα από το κείμενο {i} που γράφεται εδώ" for i in range(5)]
    known = ["Write a lazy function that sorts a list of buoys", "Compose a loud poem about the storm for a wedding"]
    asked = pd.DataFrame({"prompt_id": [f"q{i}" for i in range(7)], "prompt": [*strange, *known]})
    write_table(asked, tmp_path / "asked.csv")
    capsys.readouterr()
    tasks(folder=router, prompts=tmp_path / "asked.csv", html=tmp_path / "tasks.html", as_json=True)
    drift = json.loads(capsys.readouterr().out)["drift"]
    assert (drift["prompts"], drift["new"]) == (7, 5)
    assert set(drift["clusters"][0]["prompt_ids"]) == {f"q{i}" for i in range(5)}
    assert "Prompts that match no task" in (tmp_path / "tasks.html").read_text(encoding="utf-8")


def test_a_router_without_tasks_is_refused(router: Path, tmp_path: Path) -> None:
    fit(router.parent / "table.csv", tmp_path / "other", "tfidf", threads=1, as_json=True)
    with pytest.raises(InputError, match="has no tasks; 'switchtender fit --router tasks' trains one"):
        tasks(folder=tmp_path / "other")
