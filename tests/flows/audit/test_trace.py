"""`switchtender trace`: the same with and without the index, no writing, and "could not look" is never "none"."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.trace import ROOT, SyntheticStore
from flows.audit.trace import RowInVersion, tracing
from flows.audit.trace_index import rebuild_index, update_index
from flows.records.promotion_log import PROMOTED, Promotion, record_promotion
from flows.records.removal_log import PRUNED, RemovalEntry, record_removal
from flows.records.serving_log import record_swap
from flows.registry.versions import versions_of
from flows.workspace.project import Project
from pipeline.runtime.errors import InputError, SwitchtenderError, VerificationFailed
from pipeline.runtime.tables import sha256_text
from pipeline.versions.folder import EVIDENCE, LINEAGE
from pipeline.versions.trace_index import RowState
from switchtender.verbs.trace import trace

KEPT = RowState("p1", sha256_text("one"), "kept", "train", "", "train", "email", "", "", True)
RELABELLED = replace(KEPT, fate="relabelled", stage="label_noise", agents="email|legal")
HELD_OUT = replace(
    KEPT, prompt_id="p2", text_sha256=sha256_text("two"), stage="evaluate", split="holdout", taught=False
)
GONE = replace(KEPT, prompt_id="p3", text_sha256=sha256_text("three"), agents="sql")
REWRITTEN = replace(KEPT, prompt_id="p3", text_sha256=sha256_text("three, mended"), agents="sql")
CHILD = replace(KEPT, prompt_id="a1", text_sha256=sha256_text("ein"), fate="augmented", parents="p1|p3", agents="legal")
REFUSED = replace(CHILD, prompt_id="a2", text_sha256=sha256_text("zwei"), fate="refused", split="", taught=False)
HISTORY = ([KEPT, HELD_OUT, GONE, CHILD, REFUSED], [RELABELLED, HELD_OUT, CHILD], [RELABELLED, HELD_OUT, REWRITTEN])
"""Version 1 served, version 2 serves, version 3 is the latest."""


@pytest.fixture
def store(tmp_path: Path) -> SyntheticStore:
    store = SyntheticStore(tmp_path / "a project").prepare()
    for number, rows in enumerate(HISTORY, start=1):
        store.register(number, rows)
    for number in "12":
        put_into_service(store, number)
    return store


def put_into_service(store: SyntheticStore, number: str) -> None:
    at = f"2026-01-0{number}T03:00:00+00:00"
    record_promotion(store.project, Promotion(at, "ana", PROMOTED, "", number, "better", ""))


def prune(store: SyntheticStore, number: str, listed: bool = True) -> None:
    record_removal(store.project, RemovalEntry("2026-01-09T00:00:00+00:00", "ana", PRUNED, "old", versions=(number,)))
    shutil.rmtree(store.folder(int(number)).parent.parent)
    if not listed:
        unlist(store, number)


def unlist(store: SyntheticStore, number: str) -> None:
    with closing(sqlite3.connect(store.project.mlflow_database)) as mlflow, mlflow:
        mlflow.execute("update model_versions set current_stage = 'Deleted_Internal' where version = ?", (number,))


def trace_row(project: Project, prompt_id: str = "", text: str = "") -> list[RowInVersion]:
    with tracing(project) as asked:
        return asked.row(prompt_id, text)


def trace_agent(project: Project, agent: str) -> list[RowInVersion]:
    with tracing(project) as asked:
        return asked.agent(agent)[1]


def removed_since(project: Project, version: str) -> list[RowInVersion]:
    with tracing(project) as asked:
        return asked.removed_since(version)[1]


def short(rows: list[RowInVersion]) -> list[tuple[str, str, str, str, bool]]:
    return [(row.version, row.through, row.fate, "|".join(row.agents), row.taught) for row in rows]


P1 = [
    ("1", "", "kept", "email", True),
    ("1", "a1", "augmented", "legal", True),
    ("1", "a2", "refused", "legal", False),
    ("2", "", "relabelled", "email|legal", True),
    ("2", "a1", "augmented", "legal", True),
    ("3", "", "relabelled", "email|legal", True),
]


def files(root: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in (root, *root.rglob("*"))}


def every_answer(store: SyntheticStore) -> list[list[RowInVersion]]:
    project = store.project
    return [
        *(trace_row(project, prompt_id=row) for row in ("p1", "p2", "p3", "a1", "p4")),
        *(trace_row(project, text=text) for text in ("one", "two", "three", "ein", "other")),
        *(trace_agent(project, agent) for agent in ("email", "legal", "sql")),
        *(removed_since(project, number) for number in "123"),
    ]


class TestRows:
    def test_by_id_in_every_version_directly_and_through_augmented_rows(self, store: SyntheticStore) -> None:
        assert short(trace_row(store.project, "p1")) == P1

    def test_when_each_version_served(self, store: SyntheticStore) -> None:
        spells = {row.version: row.served for row in trace_row(store.project, "p2")}
        assert [spell.until for spell in spells["1"]] == [spells["2"][0].since]
        assert [spell.until for spell in spells["2"]] == [""]
        assert spells["3"] == ()

    def test_a_holdout_row_is_listed_and_did_not_teach(self, store: SyntheticStore) -> None:
        assert {(row.split, row.taught, row.held) for row in trace_row(store.project, "p2")} == {
            ("holdout", False, True)
        }

    def test_an_id_with_two_texts_and_each_text_by_itself(self, store: SyntheticStore) -> None:
        by_id = [row for row in trace_row(store.project, "p3") if not row.through]
        assert [(row.version, row.text_sha256) for row in by_id] == [
            ("1", GONE.text_sha256),
            ("3", REWRITTEN.text_sha256),
        ]
        assert short(trace_row(store.project, text="three, mended")) == [("3", "", "kept", "sql", True)]
        assert short(trace_row(store.project, text="three")) == [
            ("1", "", "kept", "sql", True),
            ("1", "a1", "augmented", "legal", True),
            ("1", "a2", "refused", "legal", False),
        ]

    def test_an_augmented_row_by_its_own_id(self, store: SyntheticStore) -> None:
        assert [(row.version, row.through) for row in trace_row(store.project, "a1")] == [("1", ""), ("2", "")]

    def test_an_agent_in_the_version_in_service_and_not_in_the_latest(self, store: SyntheticStore) -> None:
        assert [(row.version, row.prompt_id) for row in trace_agent(store.project, "legal")] == [
            ("2", "a1"),
            ("2", "p1"),
        ]
        assert trace_agent(store.project, "sql") == []

    def test_removed_by_id_and_text_without_augmented_rows(self, store: SyntheticStore) -> None:
        gone = removed_since(store.project, "1")
        assert [(row.version, row.prompt_id, row.text_sha256) for row in gone] == [("1", "p3", GONE.text_sha256)]
        assert removed_since(store.project, "2") == removed_since(store.project, "3") == []
        with pytest.raises(InputError, match="no version 9"):
            removed_since(store.project, "9")


class TestIndex:
    def test_missing_complete_rebuilt_and_begun_late_say_the_same(self, store: SyntheticStore) -> None:
        without = every_answer(store)
        update_index(store.project, versions_of(store.project).number("2"))
        assert every_answer(store) == without
        for version in versions_of(store.project).all:
            update_index(store.project, version)
        assert every_answer(store) == without
        assert rebuild_index(store.project).versions == 3
        assert every_answer(store) == without
        assert [len(answer) for answer in without[:5]] == [6, 3, 5, 2, 0]

    def test_with_it_the_versions_are_not_read(self, store: SyntheticStore) -> None:
        rebuild_index(store.project)
        expected = every_answer(store)
        shutil.rmtree(store.project.artifacts)
        assert every_answer(store) == expected

    def test_a_stale_entry_is_not_believed(self, store: SyntheticStore) -> None:
        rebuild_index(store.project)
        with closing(sqlite3.connect(store.project.mlflow_database)) as mlflow, mlflow:
            for table in ("model_versions", "model_version_tags"):
                mlflow.execute(f"delete from {table} where version = 3")
        store.register(3, [replace(KEPT, agents="travel")], materials=1)
        assert short(trace_row(store.project, "p1")) == [*P1[:-1], ("3", "", "kept", "travel", True)]
        update_index(store.project, versions_of(store.project).number("3"))
        with tracing(store.project) as asked:
            assert short(asked.row("p1")) == [*P1[:-1], ("3", "", "kept", "travel", True)]
            assert asked.read_directly == 0

    def test_nor_is_a_damaged_one(self, store: SyntheticStore) -> None:
        rebuild_index(store.project)
        expected = every_answer(store)
        path = store.project.trace_index
        content = path.read_bytes().replace(b"relabelled", b"kept______")
        assert content != path.read_bytes()
        path.write_bytes(content)
        assert every_answer(store) == expected
        update_index(store.project, versions_of(store.project).number("3"))
        assert every_answer(store) == expected

    def test_again_it_changes_nothing(self, store: SyntheticStore) -> None:
        version = versions_of(store.project).number("1")
        update_index(store.project, version)
        before = files(store.project.var)
        update_index(store.project, version)
        assert files(store.project.var) == before

    @pytest.mark.parametrize("indexed", [True, False])
    def test_a_read_leaves_no_file_behind_and_changes_none(self, store: SyntheticStore, indexed: bool) -> None:
        if indexed:
            rebuild_index(store.project)
        before = files(store.root)
        every_answer(store)
        assert files(store.root) == before


class TestMissingFiles:
    def test_a_version_whose_files_are_gone_is_an_error(self, store: SyntheticStore) -> None:
        shutil.rmtree(store.folder(2).parent.parent)
        for ask in (lambda: trace_row(store.project, "p1"), lambda: rebuild_index(store.project)):
            with pytest.raises(VerificationFailed, match="switchtender verify 2"):
                ask()
        assert not (store.project.trace_index).exists()

    def test_so_is_one_whose_lineage_is_not_as_recorded(self, store: SyntheticStore) -> None:
        path = store.folder(2) / EVIDENCE / LINEAGE
        path.write_bytes((store.folder(3) / EVIDENCE / LINEAGE).read_bytes())
        with pytest.raises(VerificationFailed, match="lineage of version 2 is not as recorded"):
            trace_row(store.project, "p1")

    def test_so_is_one_whose_provenance_was_exchanged_with_it(self, store: SyntheticStore) -> None:
        shutil.rmtree(store.folder(2))
        shutil.copytree(store.folder(3), store.folder(2))
        with pytest.raises(VerificationFailed, match="lineage of version 2 is not as recorded"):
            update_index(store.project, versions_of(store.project).number("2"))

    @pytest.mark.parametrize("listed", [True, False])
    def test_a_pruned_version_keeps_its_rows_through_a_rebuild(self, store: SyntheticStore, listed: bool) -> None:
        rebuild_index(store.project)
        expected = every_answer(store)[:10]
        prune(store, "1", listed)
        assert every_answer(store)[:10] == expected
        assert rebuild_index(store.project).carried == ("1",)
        assert every_answer(store)[:10] == expected
        assert [row.prompt_id for row in removed_since(store.project, "1")] == ["p3"]
        with tracing(store.project) as asked:
            assert asked.unknown() == []

    @pytest.mark.parametrize("listed", [True, False])
    def test_pruned_before_it_was_indexed_is_told(self, store: SyntheticStore, listed: bool) -> None:
        prune(store, "1", listed)
        with tracing(store.project) as asked:
            assert short(asked.row("p1")) == P1[3:]
            assert asked.unknown() == ["1"]
        with pytest.raises(SwitchtenderError, match="pruned before it was indexed"):
            removed_since(store.project, "1")

    def test_served_and_then_deleted_in_mlflow_is_told(self, store: SyntheticStore) -> None:
        unlist(store, "1")
        with tracing(store.project) as asked:
            assert asked.unknown() == ["1"]


@pytest.fixture
def inside(store: SyntheticStore, monkeypatch: pytest.MonkeyPatch) -> SyntheticStore:
    monkeypatch.chdir(store.root)
    monkeypatch.setenv("COLUMNS", "80")
    return store


def printed(capsys: pytest.CaptureFixture[str], row: str = "", **options: str | bool) -> str:
    trace(row, **options)  # type: ignore[arg-type]
    return capsys.readouterr().out


@pytest.mark.usefixtures("inside")
class TestCommand:
    def test_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        value = json.loads(printed(capsys, "p1", as_json=True))
        assert (value["row"], value["serving"], value["serving_holds_it"]) == ("p1", "2", True)
        facts = [
            (row["version"], row["through"] or "", row["fate"], "|".join(row["agents"]), row["taught"])
            for row in value["versions"]
        ]
        assert facts == P1
        assert [spell["until"] for spell in value["versions"][3]["served"]] == [None]

    def test_a_row_that_only_versions_out_of_service_hold(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert json.loads(printed(capsys, text="three, mended", as_json=True))["serving_holds_it"] is False
        assert printed(capsys, text="three, mended").endswith("No version in service holds it.\n")

    def test_the_closing_line_says_how_the_version_in_service_holds_it(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        learnt = "Version 2, in service, learnt from it"
        assert printed(capsys, "p1").endswith(f"{learnt} directly and through a1.\n")
        assert printed(capsys, "p3").endswith(f"{learnt} through a1.\n")
        assert printed(capsys, "p2").endswith("was judged on it and did not learn from it.\n")

    def test_a_version_that_another_server_still_answers_with_is_in_service(
        self, inside: SyntheticStore, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record_swap(inside.project, "3", "", server="api")
        assert "Version 3, in service, learnt" in printed(capsys, text="three, mended")

    def test_the_table_fits_80_columns(self, capsys: pytest.CaptureFixture[str]) -> None:
        table = printed(capsys, "p1")
        assert max(map(len, table.splitlines())) <= 80
        for word in ("relabelled", "directly", "through a1", "no, as a2", "now", "never"):
            assert word in table

    def test_versions_that_say_the_same_and_never_served_share_a_line(
        self, inside: SyntheticStore, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for number in (4, 5, 7):
            inside.register(number, HISTORY[2])
        table = printed(capsys, "p2")
        assert "3 to 5" in table
        assert "7 " in table
        assert "to 7" not in table

    def test_agent_and_removed_since(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert printed(capsys, agent="legal").endswith("Rows that taught legal in version 2: 2.\n")
        assert json.loads(printed(capsys, agent="sql", as_json=True)) == {"agent": "sql", "version": "2", "rows": []}
        value = json.loads(printed(capsys, removed_since="1", as_json=True))
        assert (value["latest"], [row["prompt_id"] for row in value["rows"]]) == ("3", ["p3"])

    def test_reindex_alone_and_with_a_question(
        self, inside: SyntheticStore, capsys: pytest.CaptureFixture[str]
    ) -> None:
        trace("p1")
        assert "read without the index: 3" in capsys.readouterr().err
        assert json.loads(printed(capsys, reindex=True, as_json=True)) == {"versions": 3, "carried": []}
        (inside.project.trace_index).unlink()
        assert json.loads(printed(capsys, "p1", reindex=True, as_json=True))["row"] == "p1"
        trace("p1")
        assert capsys.readouterr().err == ""

    @pytest.mark.parametrize("question", [{}, {"row": "p1", "text": "one"}, {"agent": "sql", "removed_since": "1"}])
    def test_no_question_or_two(self, capsys: pytest.CaptureFixture[str], question: dict[str, str]) -> None:
        with pytest.raises(InputError, match="name one of"):
            printed(capsys, **question)

    def test_none_found_is_not_could_not_look(self, inside: SyntheticStore, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(InputError, match="no version has ever known row p99"):
            printed(capsys, "p99")
        with pytest.raises(InputError, match="no agent 'leagl'"):
            printed(capsys, agent="leagl")
        prune(inside, "1")
        with pytest.raises(SwitchtenderError, match=r"nothing is known any more of the rows of 1") as caught:
            printed(capsys, "p99")
        assert not isinstance(caught.value, InputError)


def test_a_warm_answer_loads_no_heavy_library(store: SyntheticStore) -> None:
    rebuild_index(store.project)
    program = (
        "import sys; from switchtender.verbs.trace import trace; trace('p1', as_json=True); "
        "heavy = {'pandas', 'numpy', 'pyarrow', 'mlflow', 'sqlalchemy', 'torch', 'prefect', 'model_signing'}; "
        "print(sorted(heavy & sys.modules.keys()), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=store.root, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert json.loads(done.stdout)["row"] == "p1"
