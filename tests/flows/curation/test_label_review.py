"""Label review as the page does it: what is still to decide, decisions written whole, and what the service was told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from sandbox import ROOT
from suspected_labels import AGENTS, MANY, prompt_of, suspected

from flows.curation.dataset_cache import DatasetCache
from flows.curation.label_review import add_decision, decided_by, suspects_of, take_back
from flows.service.feedback import latest_hints
from flows.workspace import runs
from flows.workspace.project import Project
from pipeline.data.label_reviews import DROP, KEEP, RELABEL, read_reviews
from pipeline.data.label_suspects import LabelDecision
from pipeline.runtime.errors import InputError
from pipeline.runtime.tables import read_table, sha256_text, write_table
from pipeline.runtime.track import MODELS

DAY = "2026-11-22"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return suspected(tmp_path)


def decision(number: int, what: str = KEEP, agents: tuple[str, ...] = (), **facts: Any) -> LabelDecision:
    digest = sha256_text(prompt_of(number))
    return LabelDecision(**{**{"prompt_id": f"p{number}", "text_sha256": digest, "decision": what, "agents": agents,
                               "reviewer": "ana", "note": ""}, **facts})  # fmt: skip


def decide(project: Project, *decisions: LabelDecision) -> None:
    for one in decisions:
        add_decision(project, DatasetCache(project), one, DAY)


def lines(project: Project) -> pd.DataFrame:
    return read_table(project.root / "data" / "label_reviews.csv")


def left(project: Project) -> list[str]:
    return [suspect.prompt_id for suspect in suspects_of(project, DatasetCache(project)).left]


def test_what_is_decided_is_not_shown_again(project: Project) -> None:
    assert left(project)[:3] == ["p0", "p1", "p2"]
    decide(project, decision(0), decision(2, RELABEL, ("sql",)))
    assert left(project)[:2] == ["p1", "p3"]
    assert len(left(project)) == 2 * MANY - 2


def test_a_decision_on_another_text_leaves_the_suspect_open(project: Project) -> None:
    stale = f"p1,{sha256_text('an older wording')},keep,,ben,2026-01-01,\n"
    with (project.root / "data" / "label_reviews.csv").open("a") as file:
        file.write(stale)
    assert "p1" in left(project)


def test_rows_that_were_changed_or_removed_since_are_counted_not_shown(project: Project) -> None:
    path = project.root / "data" / "prompts.csv"
    rows = read_table(path).drop(columns="line")
    rows.loc[0, "prompt"] = "another text"
    rows.loc[1, "agents"] = "sql"
    write_table(rows.drop(index=2), path)
    found = suspects_of(project, DatasetCache(project))
    assert found.gone == 3
    assert left(project)[0] == "p3"


@pytest.mark.parametrize(
    "note",
    ["a, b", 'she said "no"', "first line\nsecond, line", "ends with \\", "=1+1", "\t@SUM(A1)", "'=1", "Größe ☂"],
)
def test_notes_come_back_as_they_were_typed(project: Project, note: str) -> None:
    decide(project, decision(0, DROP, note=note), decision(1))
    found = lines(project)
    assert found["prompt_id"].tolist() == ["p0", "p1"]
    assert read_reviews(AGENTS, project.root / "data" / "label_reviews.csv")["p0"].note == note


def test_line_ends_and_control_characters_of_a_note_cannot_break_the_file(project: Project) -> None:
    decide(project, decision(0, note="one\r\ntwo\rthree\x00\x1b"), decision(1))
    assert lines(project)["note"].tolist() == ["one\ntwo\nthree", ""]


def test_a_file_without_a_last_newline_is_continued_on_a_new_line(project: Project) -> None:
    path = project.root / "data" / "label_reviews.csv"
    path.write_text(path.read_text() + f"p5,{sha256_text(prompt_of(5))},keep,,ben,2026-01-01,seen")
    before = path.read_bytes()
    decide(project, decision(0, RELABEL, ("sql", "email")))
    assert path.read_bytes().startswith(before)
    assert lines(project)["agents"].tolist() == ["", "sql|email"]
    assert lines(project)["reviewed_on"].tolist() == ["2026-01-01", DAY]


DECIDE_MANY = """
import runpy, sys
from pathlib import Path
from flows.workspace.project import Project
here = runpy.run_path(sys.argv[1])
for number in range(int(sys.argv[3]), int(sys.argv[3]) + here["MANY"]):
    here["decide"](Project(Path(sys.argv[2])), here["decision"](number, reviewer=sys.argv[4]))
"""


def test_two_people_at_once_lose_nothing(project: Project) -> None:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    both = [
        subprocess.Popen(
            [sys.executable, "-c", DECIDE_MANY, __file__, str(project.root), str(first), name],
            env=os.environ | {"PYTHONPATH": path},
        )
        for first, name in ((0, "ana"), (MANY, "ben"))
    ]
    assert [process.wait() for process in both] == [0, 0]
    assert sorted(lines(project)["prompt_id"]) == sorted(f"p{number}" for number in range(2 * MANY))
    assert left(project) == []


def test_the_second_of_two_people_hears_of_the_first(project: Project) -> None:
    decide(project, decision(0, DROP))
    with pytest.raises(InputError, match="ana has decided on p0 meanwhile: drop"):
        decide(project, decision(0, reviewer="ben"))
    decide(project, decision(0, KEEP, reviewer="ben", seen=DROP))
    assert lines(project)["decision"].tolist() == [DROP, KEEP]


def test_what_was_decided_is_taken_back_and_the_file_is_as_before(project: Project) -> None:
    path = project.root / "data" / "label_reviews.csv"
    first, second = decision(0, RELABEL, ("sql", "email"), note="=1, \ntwo"), decision(0, DROP, seen=RELABEL)
    decide(project, decision(1))
    before = path.read_bytes()
    decide(project, first)
    between = path.read_bytes()
    decide(project, second)
    take_back(project, second)
    assert path.read_bytes() == between
    take_back(project, first)
    assert path.read_bytes() == before
    with pytest.raises(InputError, match="not undone"):
        take_back(project, first)


def test_a_night_of_before_the_stage_has_its_suspects_beside_the_reviews(project: Project) -> None:
    stages = runs.clone_of(project, "nightly-1") / "var" / "stages"
    before = left(project)
    (stages / "suspects").rename(stages / "label_noise")
    assert left(project) == before != []


def test_what_one_has_decided_since_the_night_comes_back_in_its_order(project: Project) -> None:
    """What the night had taken in already, what another has decided since, and other people's are not among it."""
    folder = runs.clone_of(project, "nightly-1") / "var" / "stages" / "suspects" / "suspects.parquet"
    table = read_table(folder)
    write_table(table.assign(review=["keep" if row == "p0" else "" for row in table["prompt_id"]]), folder)
    mine = [decision(0), decision(3, RELABEL, ("sql",), note="=why"), decision(1), decision(2), decision(4)]
    decide(project, *mine, decision(1, DROP, reviewer="bo", seen=KEEP), decision(3, DROP, seen=RELABEL))
    found = decided_by(project, DatasetCache(project), "ana")
    assert [(one.prompt_id, one.decision) for one in found] == [("p2", KEEP), ("p4", KEEP), ("p3", DROP)]
    take_back(project, found[-1])
    found = decided_by(project, DatasetCache(project), "ana")
    assert found == (mine[1], mine[3], mine[4]), "what had been decided before stands again, where it was written"
    assert decided_by(project, DatasetCache(project), "") == ()


def test_what_somebody_decided_later_is_not_taken_back(project: Project) -> None:
    decide(project, decision(0), decision(0, DROP, reviewer="ben", seen=KEEP))
    before = (project.root / "data" / "label_reviews.csv").read_bytes()
    with pytest.raises(InputError, match="ben has decided on p0 meanwhile"):
        take_back(project, decision(0))
    assert (project.root / "data" / "label_reviews.csv").read_bytes() == before


def test_what_cannot_be_meant_is_not_written(project: Project) -> None:
    before = (project.root / "data" / "label_reviews.csv").read_bytes()
    for wrong in (
        decision(0, "maybe"),
        decision(0, RELABEL),
        decision(0, RELABEL, ("cooking",)),
        decision(0, KEEP, ("sql",)),
        replace(decision(0), text_sha256=sha256_text("another text")),
        replace(decision(0), prompt_id="p999"),
    ):
        with pytest.raises(InputError):
            decide(project, wrong)
    assert (project.root / "data" / "label_reviews.csv").read_bytes() == before


def test_hints_tell_the_prompt_where_the_dataset_has_it(project: Project) -> None:
    folder = project.var / "serving"
    folder.mkdir(parents=True)
    known = {"request_id": "r1", "index": 0, "version": "3", "chosen": ["coding"],
             "prompt_sha256": sha256_text(prompt_of(4))}  # fmt: skip
    other = {
        "request_id": "r2",
        "index": 0,
        "version": "3",
        "chosen": ["sql"],
        "prompt_sha256": sha256_text("elsewhere"),
    }
    said = [
        {
            "at": "2026-11-22T10:00:00+00:00",
            "request_id": "r1",
            "index": 0,
            "by": "app",
            "right": ["sql"],
            "note": "no",
        },
        {"at": "2026-11-22T11:00:00+00:00", "request_id": "r2", "index": 0, "by": "app", "accepted": False},
    ]
    (folder / "decisions.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in (known, other)))
    (folder / "feedback.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in said) + '{"torn')
    newest, older = latest_hints(project, DatasetCache(project))
    assert (older.row, older.prompt, older.chosen, older.right) == ("p4", prompt_of(4), ("coding",), ("sql",))
    assert (newest.row, newest.prompt, newest.verdict, newest.version) == ("", "", "not accepted", "3")


def test_each_track_reads_its_own_feedback_also_from_the_journal_that_both_shared(project: Project) -> None:
    """Both number their versions alike: what tells them apart is the decision's run key."""
    for folder, requests in (
        ("serving", {"old a": "nightly-1", "old m": "models-1", "unknown": ""}),
        ("serving/models", {"new m": "models-2", "odd": ""}),
    ):
        (project.var / folder).mkdir(parents=True, exist_ok=True)
        made = [
            {"request_id": request, "index": 0, "version": "1", "run_key": key} for request, key in requests.items()
        ]
        said = [{"at": f"2026-11-22T1{i}:00:00+00:00", "request_id": request, "index": 0, "accepted": True}
                for i, request in enumerate(requests)]  # fmt: skip
        for name, entries in (("decisions", [one for one in made if one["run_key"]]), ("feedback", said)):
            (project.var / folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in entries))
    of_agents = latest_hints(project, DatasetCache(project))
    assert [hint.request_id for hint in of_agents] == ["unknown", "old a"]
    (project.root / "params.yaml").write_text("models: {validate: {table: data/prompts.csv}}\n")
    models = project.on(MODELS)
    assert [hint.request_id for hint in latest_hints(models, DatasetCache(models))] == ["old m", "odd", "new m"]


def test_without_a_journal_there_are_no_hints(project: Project) -> None:
    assert latest_hints(project, DatasetCache(project)) == ()
