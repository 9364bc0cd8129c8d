"""`label`: what is added, by whom, and what a refusal prints; the rules themselves are tested with `flows.curation`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from suspected_labels import suspected

from flows.curation import new_rows
from flows.curation.row_check import RefusedRow
from pipeline.data.dataset import COLUMNS, DATASET
from pipeline.runtime.errors import InputError
from switchtender.verbs.label import add, import_

REFUSED = {"twice": RefusedRow("the prompt", "p1", "prompt_text_unique", "line 2 of data/prompts.csv", "leave it out")}


class _Check:
    """In place of Great Expectations, which takes seconds to import: refuses a prompt by its text."""

    def __init__(self, *_: object) -> None:
        pass

    def run(self, _: str, after: str, new: list[tuple[str, str]]) -> tuple[list[RefusedRow], list[str]]:
        return [REFUSED["twice"]] * after.count("twice"), ["rule 'x' would stop the night"] * after.count("flood")


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "params.yaml").write_text("models: {validate: {table: data/prompts.csv}}\n")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (suspected(tmp_path).root / DATASET).write_text(",".join(COLUMNS) + "\nq07,One,sql,ana,desk,2026-01-01\n")
    monkeypatch.setattr(new_rows, "RowCheck", _Check)
    monkeypatch.setattr(new_rows, "who_am_i", lambda _: "Ana <ana@example.org>")
    monkeypatch.setattr("flows.records.promotion_log.who_am_i", lambda _: "Ana <ana@example.org>")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def last(project: Path) -> list[str]:
    return (project / DATASET).read_text().splitlines()[-1].split(",")


def test_a_prompt_is_added_with_what_was_not_said_filled_in(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add("Two", "email,sql")
    assert last(project)[:5] == ["q08", "Two", "email|sql", "Ana <ana@example.org>", "written"]
    said = capsys.readouterr().out
    assert "added: 1 row, q08" in said
    assert "annotator: Ana <ana@example.org>, by default git's user" in said
    add("Three", "sql", annotator="ben", source="desk")
    assert last(project)[:5] == ["q09", "Three", "sql", "ben", "desk"]
    assert "git's user" not in capsys.readouterr().out


def test_a_table_is_imported_whole(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "desk.csv").write_text("prompt,agents,source,score\nTwo,email|sql,,1\nThree,sql,shop,2\n")
    import_(Path("desk.csv"), annotator="ben", as_json=True)
    done = capsys.readouterr()
    facts: dict[str, Any] = json.loads(done.out)
    assert [row["source"] for row in facts["added"]] == ["desk", "shop"]
    assert "not read of desk.csv: score" in done.err
    assert last(project)[:5] == ["q09", "Three", "sql", "ben", "shop"]


@pytest.mark.parametrize("text", ["twice", "twice, twice", "flood"])
@pytest.mark.parametrize("as_json", [True, False])
def test_a_refusal_writes_nothing(text: str, as_json: bool, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (project / DATASET).read_bytes()
    with pytest.raises(InputError, match="nothing was written"):
        add(text, "sql", as_json=as_json)
    assert (project / DATASET).read_bytes() == before
    said = capsys.readouterr().out
    if as_json:
        facts = json.loads(said)
        assert (facts["added"], len(facts["refused"]), len(facts["broken"])) == (
            [],
            text.count("twice"),
            "flood" in text,
        )
    else:
        assert ("prompt_text_unique" in said) == (text.count("twice") > 1), "one refusal is told by the error alone"


def test_a_dry_run_writes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (project / DATASET).read_bytes()
    add("Two", "sql", dry_run=True)
    assert (project / DATASET).read_bytes() == before
    assert "would be added: 1 row, q08" in capsys.readouterr().out


@pytest.mark.parametrize("agents", ["sql,,email", ",", "sql,"])
def test_a_list_of_agents_with_a_hole_is_refused(agents: str) -> None:
    with pytest.raises(InputError, match="list of agents"):
        add("Two", agents)
