"""New rows join the dataset whole and tracked, or not at all, by the rules of the stage `validate`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from sandbox import Sandbox, copy_project

from flows.curation.new_rows import AddedRows, NewRow, add_rows, read_rows
from flows.workspace.lock import held
from flows.workspace.project import Project
from flows.workspace.snapshot import uncommitted_data
from pipeline.data.dataset import DATASET
from pipeline.encoders.frozen import FrozenEmbedding
from pipeline.runtime.arrays import FloatMatrix
from pipeline.runtime.errors import HeldByAnotherRun, InputError, TableError
from pipeline.runtime.tables import read_table, sha256_text
from pipeline.validation import prompt_table

FILES = (DATASET, Path("data/prompts.csv.dvc"), Path("data/holdout.txt"))
TRAIN = "Book me a sleeper to Bonn on the ninth and block both days for it"
GONE = "This text was taken out on request and shall stay away for good"


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    found = copy_project(tmp_path_factory.mktemp("new rows") / "project")
    with (found.root / "data/forgotten.csv").open("a") as file:
        file.write(f"p0900,{sha256_text(GONE)},2026-11-01,ana,asked\n")
    return found


@pytest.fixture
def project(sandbox: Sandbox, minilm: FrozenEmbedding, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """The shipped project with a row forgotten. What is embedded is remembered from test to test."""

    def remembered(prompts: Sequence[str], _: str) -> FloatMatrix:
        return minilm.embed(prompts)

    monkeypatch.setattr(prompt_table, "embed_for_comparison", remembered)
    before = contents(Project(sandbox.root))
    yield Project(sandbox.root)
    for path, content in before.items():
        (sandbox.root / path).write_bytes(content)


def contents(project: Project) -> dict[Path, bytes]:
    return {path: (project.root / path).read_bytes() for path in (*FILES, Path("params.yaml"))}


def row(prompt: str = TRAIN, agents: str = "travel|calendar", where: str = "row 1", **facts: str) -> NewRow:
    return NewRow(
        where, prompt, tuple(filter(None, agents.split("|"))), **{"annotator": "ana", "source": "desk", **facts}
    )


def test_rows_join_train_and_dvc_knows_them(project: Project, sandbox: Sandbox) -> None:
    before, last = contents(project), len(read_table(project.root / DATASET))
    rows = [
        row(),
        row('Put "Größe, Breite"\nof the shelf into a table', "coding", source="=x"),
    ]
    assert not add_rows(project, rows, dry_run=True).refused
    assert contents(project) == before
    done = add_rows(project, rows)
    done.require_sound()
    assert [one.prompt_id for one in done.rows] == ["p0901", "p0902"], "the id of a forgotten row is not given again"
    table = read_table(project.root / DATASET)
    assert table["prompt"].tolist()[last:] == [one.prompt for one in rows]
    assert table.iloc[-2].drop(["line", "added_on"]).tolist() == ["p0901", TRAIN, "travel|calendar", "ana", "desk"]
    assert (project.root / DATASET).read_bytes().startswith(before[DATASET])
    assert contents(project)[FILES[2]] == before[FILES[2]]
    assert uncommitted_data(project) == ["data/forgotten.csv", "data/prompts.csv.dvc"], "the pointer has the new bytes"
    assert (
        subprocess.run(
            [sys.executable, "-m", "dvc", "checkout", "-q", "data/prompts.csv.dvc"], cwd=project.root
        ).returncode
        == 0
    )
    assert "p0902" in (project.root / DATASET).read_text()


def test_what_would_be_put_aside_is_refused_and_nothing_is_written(project: Project) -> None:
    table = read_table(project.root / DATASET).set_index("prompt_id")
    held_out = (project.root / "data/holdout.txt").read_text().splitlines()[1:3]
    wrong = {
        "agent_known": row("Knit me a cap for the winter", "knitting"),
        "agents_present": row("Knit me a red scarf instead", ""),
        "agent_named_once": row("Plan a walk along the Ahr in May", "travel|travel"),
        "prompt_present": row(" ", "travel"),
        "prompt_length": row("ab", "travel"),
        "prompt_no_control_characters": row("Sing a song\x07 about the sea", "creative_writing"),
        "row_not_forgotten": row(GONE, "email"),
        "prompt_text_unique": row(table["prompt"]["p0002"].upper(), table["agents"]["p0002"]),
        "prompt_not_in_holdout": row(f"{table['prompt'][held_out[0]]}!", table["agents"][held_out[0]]),
        "prompt_id_unique": row("Where can I sail near Kiel", "travel", prompt_id="p0002"),
        "prompt_id_form": row("Where can I row near Kiel then", "travel", prompt_id="P 7"),
    }
    rows = [replace(one, where=f"new.csv, line {number}") for number, one in enumerate(wrong.values(), start=2)]
    twice = row("Which museums of Kiel are open late", "travel", where="new.csv, line 20")
    rows += [
        twice,
        replace(twice, where="new.csv, line 21"),
        row("Ask for p0900 once more", "email", prompt_id="p0900"),
    ]
    before = contents(project)
    done = add_rows(project, rows)
    assert contents(project) == before
    found = {(one.where, one.rule) for one in done.refused}
    assert {(one.where, rule) for one, rule in zip(rows, wrong, strict=False)} <= found
    assert ("row 1", "row_not_forgotten") in found
    again = next(one for one in done.refused if one.where == "new.csv, line 21")
    assert (again.rule, again.found) == ("prompt_text_unique", "new.csv, line 20")
    assert "new.csv, line 20" not in {one.where for one in done.refused}
    assert all(one.mend and one.mend[0].islower() for one in done.refused)
    with pytest.raises(InputError, match=r"13 of 14 rows are refused, the first is .*rule '.*; nothing was written"):
        done.require_sound()


def test_an_id_of_the_holdout_is_not_filled_by_a_new_row(project: Project) -> None:
    path = project.root / "data/holdout.txt"
    path.write_text(path.read_text() + "p0777\n")
    done = add_rows(project, [row(prompt_id="p0777")])
    assert [one.rule for one in done.refused] == ["holdout_is_frozen"]


def test_a_limit_of_the_whole_table_holds_too(project: Project) -> None:
    params = project.root / "params.yaml"
    params.write_text(params.read_text().replace("source_growth: 0.1", "source_growth: 0.001"))
    before = contents(project)
    with pytest.raises(
        InputError, match=r"rule 'source_grows_slowly' would stop the night: 1 unexpected, desk: .*nothing"
    ):
        add_rows(project, [row()]).require_sound()
    assert contents(project) == before


def test_a_table_that_is_to_be_filled_is_filled_row_by_row(project: Project) -> None:
    """It lacks nearly all that a night wants, which is no fault of the first rows."""
    (project.root / DATASET).write_text("prompt_id,prompt,agents,annotator,source,added_on\n")
    (project.root / "data/holdout.txt").write_text("")
    for number, prompt in enumerate((TRAIN, "Translate the menu of the Greek place"), start=1):
        done = add_rows(project, [row(prompt, "travel")])
        done.require_sound()
        assert done.rows[0].prompt_id == f"p{900 + number:04d}"


def test_a_night_that_is_under_way_is_waited_for(project: Project) -> None:
    before = contents(project)
    with held(project.lock, "a night"), pytest.raises(HeldByAnotherRun):
        add_rows(project, [row()])
    assert contents(project) == before


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_rows_are_read_from_each_kind_of_file(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"new.{ending}"
    facts = {"prompt": ["One, two", ""], "agents": ["sql| email", ""], "source": ["", "desk"], "score": ["1", "2"]}
    frame = pd.DataFrame(facts)
    if ending == "csv":
        frame.to_csv(path, index=False)
    elif ending == "parquet":
        frame.assign(agents=[["sql", "email"], []]).to_parquet(path)
    else:
        frame.assign(agents=[["sql", "email"], None]).to_json(path, orient="records", lines=True)
    rows, passed_over = read_rows(path)
    first = 2 if ending == "csv" else 1
    assert rows == [
        NewRow(f"{path}, line {first}", "One, two", ("sql", "email")),
        NewRow(f"{path}, line {first + 1}", "", (), source="desk"),
    ]
    assert passed_over == ["score"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"prompt": 7, "agents": "sql"}', "line 1: prompt is not text"),
        ('{"prompt": "a b c", "agents": "sql||email"}', "line 1: agents is 'sql||email'"),
        ('{"prompt": "a b c", "Agents ": "sql"}', "lacks the column 'agents'"),
        ('{"prompt": "a b c", "agents": "sql", "Source": "x"}', "rename it to 'source'"),
        ('{"prompt": "\\ud800", "agents": "sql"}', "surrogate"),
    ],
)
def test_cells_that_hold_something_else_are_refused_by_row(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "new.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(TableError, match=said.replace("|", r"\|")):
        read_rows(path)


def test_the_first_of_one_row_needs_no_count() -> None:
    assert AddedRows((row(),), (), ()).require_sound() is None
