"""A malformed table is one line that says what, where and what to do; a written table is whole or not there."""

from __future__ import annotations

import csv
import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.runtime.errors import SwitchtenderError, TableError
from pipeline.runtime.tables import read_table, write_json, write_table, write_whole

TEXT = st.text(st.characters(exclude_categories=("Cs",)))
NOBODY = 65534


def refusal(path: Path, *required: str) -> str:
    """The one line with which a table is refused."""
    with pytest.raises(TableError) as error:
        read_table(path, required)
    message = str(error.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert re.search("; [a-z]", message), "no word on what to do"
    assert error.value.exit_code == 2
    return message[len(str(path)) :]


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may read everything, so file permissions are tried as another user."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can reach and write in (pytest's own are closed to others)."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        yield folder


MALFORMED: list[tuple[str, bytes, str]] = [
    ("empty.csv", b"", " is empty; it needs a header and at least one row"),
    ("header_only.csv", b"a,b\n", " has no rows; it needs at least one"),
    ("blank.csv", b"\n\n", " has no rows; it needs at least one"),
    ("utf16.csv", "a,b\n1,ö\n".encode("utf-16"), ", line 1: not UTF-8; save the file as UTF-8"),
    ("latin1.csv", "a\nx\nsüß\n".encode("latin-1"), ", line 3: not UTF-8; save the file as UTF-8"),
    ("latin1_far_down.csv", b"a\n" + b"x\n" * 20_000 + b"\xe9\n", ", line 20002: not UTF-8; save the file as UTF-8"),
    ("too_few.csv", b"a,b\n1,2\n3\n", ", line 3: 1 fields where the header has 2; quote commas"),
    ("too_many.csv", b"a,b\n1,2\n3,4,5\n", ", line 3: 3 fields where the header has 2; quote commas"),
    ("after_multi_line.csv", b'a,b\n"1\n2\r\n\n3",x\ny\n', ", line 6: 1 fields where the header has 2; quote commas"),
    ("multi_line.csv", b'a,b\n1,2\n"3\n4"\n5,6\n', ", line 3: 1 fields where the header has 2; quote commas"),
    ("twice.csv", b"a,b,a\n1,2,3\n", " names the column 'a' twice; rename one"),
    ("open_quote.csv", b'a,b\n1,2\n"3,4\n5,6\n', ", line 3: unexpected end of data; mend the quoting there"),
    ("open_header.csv", b'"a,b\n1,2\n', ", line 1: unexpected end of data; mend the quoting there"),
    ("stray_quote.csv", b'a,b\n"1"x,2\n', ", line 2: ',' expected after '\"'; mend the quoting there"),
    ("empty.jsonl", b"", " has no rows; it needs at least one"),
    ("broken.jsonl", b'{"a": 1}\n\n{"a": 1\n', ", line 3: not JSON (Expecting ',' delimiter); mend that line"),
    ("list.jsonl", b'{"a": 1}\n[1]\n', ", line 2: not a JSON object; write one object a line"),
    ("latin1.jsonl", '{"a": 1}\n{"a": "ü"}\n'.encode("latin-1"), ", line 2: not UTF-8; save the file as UTF-8"),
    (
        "semicolons.csv",
        b"\xef\xbb\xbfa;b\r\n1;2, 3\r\n",
        ": its fields are separated by semicolons; export it again, separated by commas",
    ),
    ("tabs.csv", b"a\tb\n1\t2\n", ": its fields are separated by tabs; export it again, separated by commas"),
    ("hint.csv", b"sep=,\na,b\n1,2\n", ", line 1: 'sep=,' is a hint for Excel, not the header; remove that line"),
    (
        "comma_end.csv",
        b"a,b\n1,2,\n",
        ", line 2: 3 fields where the header has 2, since it ends with a comma; remove that comma",
    ),
    ("commas.csv", b"a,b,,\n1,2,,\n", ": its lines end with commas, so that columns have no name; remove those commas"),
    (
        "surrogate.jsonl",
        b'{"a": "x"}\n{"a": "y\\ud83d"}\n',
        ", line 2: a text has half a surrogate pair, which is no character; send valid Unicode",
    ),
    (
        "surrogate_key.jsonl",
        b'{"\\udc00": ["x"]}\n',
        ", line 1: a text has half a surrogate pair, which is no character; send valid Unicode",
    ),
    ("key_twice.jsonl", b'{"a": 1, "b": 2, "a": 3}\n', ", line 1: not JSON (the key 'a' stands twice); mend that line"),
    ("sheet.xlsx", b"PK", ": unknown ending '.xlsx'; use .csv, .parquet or .jsonl"),
    ("no_ending", b"a\n1\n", ": unknown ending ''; use .csv, .parquet or .jsonl"),
]


@pytest.mark.parametrize(("name", "content", "message"), MALFORMED, ids=[case[0] for case in MALFORMED])
def test_a_malformed_file_is_named_with_its_line_and_the_remedy(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    assert refusal(tmp_path / name) == message


@pytest.mark.parametrize("line", ['{"a": ' + "9" * 5000 + "}", "[" * 100_000], ids=["huge_number", "deep_nesting"])
def test_json_that_python_cannot_hold_is_refused_by_line(line: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text(f'{{"a": 1}}\n{line}\n', encoding="utf-8")
    assert re.fullmatch(r", line 2: not JSON \(.+\); mend that line", refusal(path))


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"PAR1\x00\x00PAR1"], ids=["empty", "csv", "truncated"])
def test_a_file_that_only_ends_in_parquet_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(content)
    assert re.fullmatch(r" is not a Parquet file \(.+\); export it again", refusal(tmp_path / "rows.parquet"))


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl", ""])
def test_a_missing_file_and_a_directory_are_told_apart(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"rows{ending}"
    missing = " does not exist; check the path" if ending else ": unknown ending ''; use .csv, .parquet or .jsonl"
    assert refusal(path) == missing
    path.mkdir()
    assert refusal(path) == " is a directory; name a .csv, .parquet or .jsonl file in it"


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert refusal(tmp_path / "file" / "rows.csv") == " cannot be read (Not a directory); check the path"


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".jsonl"])
def test_a_file_or_folder_that_may_not_be_read_is_refused(ending: str, open_folder: Path) -> None:
    path = open_folder / "closed" / f"rows{ending}"
    write_table(pd.DataFrame({"a": ["1"]}), path)
    for closed in (path, path.parent):
        closed.chmod(0o000)
        with unprivileged():
            assert refusal(path) == " may not be read by this user; check its permissions"
        closed.chmod(0o755)


def test_a_missing_column_is_named_beside_those_found(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("prompt_id,text\n1,x\n", encoding="utf-8")
    assert refusal(path, "prompt_id", "prompt") == " lacks the column 'prompt' (found: prompt_id, text); add it"


def test_each_row_remembers_the_line_on_which_it_began(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b'\xef\xbb\xbfa,b\r\n1,"two\nlines"\r\n\r\n,007\r\n')
    frame = read_table(path)
    assert frame.to_dict("list") == {"a": ["1", ""], "b": ["two\nlines", "007"], "line": [2, 5]}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([("a\rb", "c")], ".csv")
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5), st.sampled_from([".csv", ".jsonl", ".parquet"]))
def test_any_text_comes_back_as_it_was_written(tmp_path: Path, rows: list[tuple[str, str]], ending: str) -> None:
    path = tmp_path / f"rows{ending}"
    write_table(pd.DataFrame(rows, columns=["a", "b"], dtype=object), path)
    frame = read_table(path)
    assert list(zip(frame["a"], frame["b"], strict=True)) == rows


# --- Whole or not at all.


class Unwritable:
    """A value at which a writer stops midway."""

    def __str__(self) -> str:
        raise RuntimeError("the disk is gone")


def raise_midway(path: Path) -> None:
    path.write_text("half a ta", encoding="utf-8")
    raise RuntimeError("the disk is gone")


WRITERS: dict[str, Callable[[Path], None]] = {
    "writer": lambda path: write_whole(path, raise_midway),
    "csv": lambda path: write_table(pd.DataFrame({"a": ["x"] * 5000 + [Unwritable()]}, dtype=object), path),
    "json": lambda path: write_json({"a": float("nan")}, path),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_writer_that_raises_midway_leaves_the_old_file_and_nothing_else(writer: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("old", encoding="utf-8")
    with pytest.raises((RuntimeError, ValueError)):
        WRITERS[writer](path)
    assert path.read_text(encoding="utf-8") == "old"
    assert [left.name for left in tmp_path.iterdir()] == ["rows.csv"]


def test_a_parquet_column_of_mixed_types_leaves_no_new_file(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="Expected bytes"):
        write_table(pd.DataFrame({"a": ["x", 1]}, dtype=object), tmp_path / "new" / "rows.parquet")
    assert list((tmp_path / "new").iterdir()) == []


def fill_disk(path: Path) -> None:
    path.write_text("half a ta", encoding="utf-8")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_one_line_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(SwitchtenderError, match=r"rows\.csv cannot be written \(No space left on device\); free some"):
        write_whole(path, fill_disk)
    assert [(left.name, left.read_text(encoding="utf-8")) for left in tmp_path.iterdir()] == [("rows.csv", "old")]


def test_a_place_that_cannot_be_written_is_refused(open_folder: Path) -> None:
    frame = pd.DataFrame({"a": ["1"]})
    (open_folder / "file").touch()
    (open_folder / "folder.csv").mkdir()
    (open_folder / "closed").mkdir(mode=0o555)
    (open_folder / "sealed").mkdir(mode=0o000)
    for name, reason in {
        "file/rows.csv": "cannot be written",
        "folder.csv": "is a directory; name a file in it",
        "closed/rows.csv": "cannot be written (Permission denied); choose another place",
        "sealed/in/rows.csv": "cannot be written (Permission denied); choose another place",
        "rows.xlsx": "unknown ending '.xlsx'",
    }.items():
        with unprivileged(), pytest.raises(TableError, match=re.escape(reason)) as error:
            write_table(frame, open_folder / name)
        assert "\n" not in str(error.value)
    assert sorted(path.name for path in open_folder.iterdir()) == ["closed", "file", "folder.csv", "sealed"]


def test_a_mark_of_byte_order_is_no_part_of_a_table(tmp_path: Path) -> None:
    row = b'{"a": "x", "b": "\\ud83d\\ude00"}\n'
    (tmp_path / "t.jsonl").write_bytes(b"\xef\xbb\xbf" + row + b"\xef\xbb\xbf" + row)
    frame = read_table(tmp_path / "t.jsonl", ("a",))
    assert frame["b"].tolist() == ["\U0001f600"] * 2
    assert frame["line"].tolist() == [1, 2]


def test_numbers_of_json_lines_and_parquet_stay_whole_beside_empty_cells(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"a": 9007199254740993}\n{"b": 1}\n')
    pd.DataFrame({"a": pd.array([9007199254740993, None], "Int64")}).to_parquet(tmp_path / "t.parquet")
    for name in ("t.jsonl", "t.parquet"):
        assert read_table(tmp_path / name)["a"].tolist()[0] == 9007199254740993


def test_an_index_with_a_name_is_a_column(tmp_path: Path) -> None:
    pd.DataFrame({"a": ["x"], "b": ["y"]}).set_index("a").to_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet", ("a", "b"))["a"].tolist() == ["x"]


def test_a_column_that_stands_twice_in_parquet_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "t.parquet")
    assert refusal(tmp_path / "t.parquet") == " names the column 'a' twice; rename one"


@pytest.mark.parametrize("name", ["Labels", " labels", "labels\u200b"])
def test_an_optional_column_in_another_writing_is_not_passed_over(name: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(f"a,{name}\n1,2\n", encoding="utf-8")
    with pytest.raises(TableError, match="which is not read; rename it to 'labels'"):
        read_table(tmp_path / "t.csv", ("a",), ("labels",))


def test_the_table_of_record_is_what_the_standard_reader_reads(tmp_path: Path) -> None:
    rows = [{"a": 'say "hi", twice', "b": "x\r\ny"}, {"a": "", "b": "ümlaut 🎈"}]
    write_table(pd.DataFrame(rows), tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == rows
