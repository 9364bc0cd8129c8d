"""The index of `trace`: it says what the lineage tables say, whatever the order, and is trusted only when whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.trace import write_lineage
from pipeline.runtime.errors import SwitchtenderError
from pipeline.runtime.tables import sha256_text
from pipeline.versions.trace_index import (
    DAMAGED,
    MISSING,
    SOUND,
    Found,
    Indexed,
    RowState,
    TraceIndex,
    in_memory,
    lineage_rows,
    read_index,
    state_of,
    write_index,
)

ROW = RowState("p1", sha256_text("one"), "kept", "train", "", "train", "email|legal", "", "", True)
OTHER = replace(ROW, prompt_id="p2", text_sha256=sha256_text("two"), agents="sql")
CHILD = replace(ROW, prompt_id="a1", fate="augmented", agents="email|sql", parents="p1|p2", method="compose")
Tables = dict[str, list[RowState]]


def entry(version: str, digest: str = "d") -> Indexed:
    return Indexed(version, f"nightly-{version}", digest, digest)


def filler(tables: Tables, digest: str = "d") -> Callable[[TraceIndex], None]:
    def fill(index: TraceIndex) -> None:
        for version, rows in tables.items():
            index.add(entry(version, digest), rows)

    return fill


def told(found: list[Found]) -> list[tuple[str, RowState]]:
    return sorted(((each.version, each.row) for each in found), key=str)


def expected(tables: Tables, wanted: Callable[[RowState], bool]) -> list[tuple[str, RowState]]:
    return sorted(((version, row) for version, rows in tables.items() for row in set(rows) if wanted(row)), key=str)


class TestAnswers:
    def test_a_row_is_found_in_each_version_that_knew_it_with_its_label_at_the_time(self, tmp_path: Path) -> None:
        relabelled = replace(ROW, agents="travel", fate="relabelled")
        write_index(tmp_path / "i.db", filler({"1": [ROW, OTHER], "2": [relabelled], "3": [OTHER], "10": [ROW]}))
        with read_index(tmp_path / "i.db") as index:
            assert told(index.of_id("p1")) == [("1", ROW), ("10", ROW), ("2", relabelled)]
            assert {found.run_key for found in index.of_id("p1")} == {"nightly-1", "nightly-2", "nightly-10"}
            assert told(index.of_text(sha256_text("two"))) == [("1", OTHER), ("3", OTHER)]
            assert index.of_id("p") == []

    def test_an_augmented_row_is_found_by_each_of_its_parents(self) -> None:
        with in_memory() as index:
            filler({"1": [ROW, CHILD]})(index)
            assert told(index.of_parent("p1")) == told(index.of_parent("p2")) == [("1", CHILD)]
            assert index.of_parent("p1|p2") == []

    def test_only_rows_that_taught_an_agent_in_that_version_answer_for_it(self) -> None:
        held_out = replace(OTHER, split="holdout", taught=False, agents="email")
        with in_memory() as index:
            filler({"1": [ROW, held_out, CHILD], "2": [ROW]})(index)
            assert told(index.of_agent("email", "1")) == sorted([("1", ROW), ("1", CHILD)], key=str)
            assert told(index.of_agent("email", "2")) == [("2", ROW)]
            assert index.of_agent("emai", "1") == []

    def test_versions_share_a_state(self, tmp_path: Path) -> None:
        write_index(tmp_path / "i.db", filler({str(number): [ROW, OTHER] for number in range(50)}))
        with closing(sqlite3.connect(tmp_path / "i.db")) as stored:
            assert stored.execute("select count(*) from states").fetchone() == (2,)
            assert stored.execute("select count(*) from members").fetchone() == (100,)

    @settings(max_examples=40)
    @given(
        st.dictionaries(
            st.sampled_from("123456"),
            st.lists(
                st.builds(
                    RowState,
                    prompt_id=st.sampled_from(["p1", "p2", "a|b"]),
                    text_sha256=st.sampled_from(["x", "y"]),
                    fate=st.sampled_from(["kept", "flagged"]),
                    stage=st.just("train"),
                    reason=st.sampled_from(["", 'with "quotes", | and \x1f']),
                    split=st.sampled_from(["train", "holdout", ""]),
                    agents=st.sampled_from(["", "email", "email|sql"]),
                    parents=st.sampled_from(["", "p1", "p1|p2", "p1|p1"]),
                    method=st.just(""),
                    taught=st.booleans(),
                ),
                max_size=6,
            ),
        ),
        st.randoms(use_true_random=False),
    )
    def test_it_says_what_the_tables_say_in_whatever_order_they_came(self, tables: Tables, draw: object) -> None:
        shuffled = list(tables.items())
        draw.shuffle(shuffled)  # type: ignore[attr-defined]
        for order in (tables, dict(shuffled)):
            with in_memory() as index:
                filler({version: [CHILD] for version in tables}, "older")(index)
                filler(order)(index)
                assert told(index.of_id("p1")) == expected(tables, lambda row: row.prompt_id == "p1")
                assert told(index.of_text("y")) == expected(tables, lambda row: row.text_sha256 == "y")
                assert told(index.of_parent("p1")) == expected(tables, lambda row: "p1" in row.parents.split("|"))
                for version in tables:
                    only = {version: tables[version]}
                    assert told(index.of_version(version)) == expected(only, lambda row: True)
                    assert told(index.of_agent("sql", version)) == expected(
                        only, lambda row: row.taught and "sql" in row.agents.split("|")
                    )


class TestAdding:
    def test_the_same_version_again_changes_no_byte(self, tmp_path: Path) -> None:
        path = tmp_path / "i.db"
        write_index(path, filler({"1": [ROW]}))
        before = path.read_bytes()
        write_index(path, filler({"1": [OTHER]}))
        assert path.read_bytes() == before

    def test_another_digest_replaces_the_rows_and_leaves_other_versions(self, tmp_path: Path) -> None:
        path = tmp_path / "i.db"
        write_index(path, filler({"1": [ROW], "2": [ROW]}))
        write_index(path, filler({"1": [OTHER]}, "another"))
        with read_index(path) as index:
            assert index.versions() == {"1": entry("1", "another"), "2": entry("2")}
            assert told(index.of_id("p1")) == [("2", ROW)]
            assert told(index.of_id("p2")) == [("1", OTHER)]

    def test_a_version_that_fails_half_way_leaves_the_index_as_it_was(self, tmp_path: Path) -> None:
        path = tmp_path / "i.db"
        write_index(path, filler({"1": [ROW]}))
        before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

        def fill(index: TraceIndex) -> None:
            index.add(entry("2"), (row for row in [OTHER, None]))  # type: ignore[misc]

        with pytest.raises(TypeError):
            write_index(path, fill)
        assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before

    def test_in_one_transaction(self) -> None:
        with in_memory() as index:
            with pytest.raises(TypeError):
                index.add(entry("1"), (row for row in [ROW, None]))  # type: ignore[misc]
            assert index.versions() == {}
            assert index.of_id("p1") == []

    def test_anew_forgets_what_was_there(self, tmp_path: Path) -> None:
        path = tmp_path / "i.db"
        write_index(path, filler({"1": [ROW]}))
        write_index(path, filler({"2": [ROW]}), anew=True)
        with read_index(path) as index:
            assert list(index.versions()) == ["2"]


class TestTrust:
    def test_sound_missing_damaged(self, tmp_path: Path) -> None:
        path = tmp_path / "i.db"
        assert state_of(path) == MISSING
        write_index(path, filler({"1": [ROW]}))
        assert state_of(path) == SOUND

    @pytest.mark.parametrize("place", [0, 0.3, 0.9])
    def test_one_flipped_byte_and_nothing_is_read_from_it(self, tmp_path: Path, place: float) -> None:
        path = tmp_path / "i.db"
        write_index(path, filler({"1": [ROW]}))
        content = bytearray(path.read_bytes())
        content[int(place * len(content))] ^= 1
        path.write_bytes(content)
        assert state_of(path) == DAMAGED
        with read_index(path) as index:
            assert index.versions() == {}

    @pytest.mark.parametrize("digests", [None, b"", b"\xff\xfe", b"release-0 {}"])
    def test_nor_without_its_digest_or_from_another_release(self, tmp_path: Path, digests: bytes | None) -> None:
        path = tmp_path / "i.db"
        write_index(path, filler({"1": [ROW]}))
        noted = tmp_path / "i.db.sha256"
        if digests is None:
            noted.unlink()
        else:
            own = noted.read_text().split()[1].encode()
            noted.write_bytes(digests.replace(b"{}", own))
        assert state_of(path) == DAMAGED

    def test_a_damaged_one_is_set_aside_and_begun_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "i.db"
        path.write_bytes(b"not a database")
        write_index(path, filler({"1": [ROW]}))
        assert (tmp_path / "i.damaged").read_bytes() == b"not a database"
        with read_index(path) as index:
            assert list(index.versions()) == ["1"]

    def test_cut_short_between_the_two_files_either_index_is_trusted(self, tmp_path: Path) -> None:
        path = tmp_path / "i.db"
        write_index(path, filler({"1": [ROW]}))
        old = path.read_bytes()
        write_index(path, filler({"2": [ROW]}))
        assert state_of(path) == SOUND
        path.write_bytes(old)
        assert state_of(path) == SOUND

    def test_a_reader_goes_on_while_it_is_replaced(self, tmp_path: Path) -> None:
        path = tmp_path / "i.db"
        write_index(path, filler({"1": [ROW]}))
        with read_index(path) as index:
            write_index(path, filler({"2": [ROW]}))
            assert told(index.of_id("p1")) == [("1", ROW)]

    def test_an_index_that_is_read_cannot_be_written(self, tmp_path: Path) -> None:
        path = tmp_path / "i.db"
        write_index(path, filler({"1": [ROW]}))
        with read_index(path) as index, pytest.raises(sqlite3.OperationalError, match="readonly"):
            index.add(entry("2"), [ROW])


class TestLineageTables:
    def test_rows_come_back_as_written_across_batches(self, tmp_path: Path) -> None:
        rows = [replace(ROW, prompt_id=f"p{number}", taught=number % 2 == 0) for number in range(2500)]
        write_lineage(rows, tmp_path / "lineage.parquet")
        assert list(lineage_rows(tmp_path / "lineage.parquet")) == rows

    @pytest.mark.parametrize("content", [b"", b"PAR1 but no more"])
    def test_what_is_no_table_is_named(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "lineage.parquet").write_bytes(content)
        with pytest.raises(SwitchtenderError, match=r"lineage\.parquet cannot be read"):
            list(lineage_rows(tmp_path / "lineage.parquet"))
